"""Sequences: any order, gaps, never twice, a window of 64."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from report import expect
from session import REQUEST, Session, inner_request
from target import Target

import wire

WINDOW = 64


def run(t: Target) -> None:
    for order in ("ascending", "descending", "shuffled"):
        with t.check(f"{WINDOW} requests in flight at once, {order}"):
            in_flight(t, order)
    with t.check("sessions do not share sequences"):
        sessions = [t.session() for _ in range(3)]
        for _ in range(3):
            for session in sessions:
                t.alive(session)
    replays(t)
    window(t)


def post(session: Session, path: str, sequence: int) -> bytes:
    return wire.encode(session.envelope(sequence, wire.encode(inner_request("POST", path, {}, b""))))


def in_flight(t: Target, order: str) -> None:
    """The app answers none of them before it has all."""
    session = t.session()
    sequences = list(range(1, WINDOW + 1))
    if order == "descending":
        sequences.reverse()
    elif order == "shuffled":
        random.Random(64).shuffle(sequences)
    path = f"/meet/{WINDOW}/{session.keys.session_id.hex()}"

    def one(sequence: int) -> bytes | None:
        return session.request("POST", f"{path}?{sequence}", sequence=sequence).body

    with ThreadPoolExecutor(WINDOW) as pool:
        for sequence, body in zip(sequences, pool.map(one, sequences), strict=True):
            expect("body", f"{path}?{sequence}".encode(), body)


def replays(t: Target) -> None:
    with t.check("a replayed request: 409, and it is not executed again"):
        session = t.session()
        path = f"/echo/{session.keys.session_id.hex()}"
        body = post(session, path, 1)
        session.open(t.outer.post_cbor(REQUEST, body), 1)
        for _ in range(3):
            t.refused(REQUEST, body, 409)
        expect("executions", b"1", session.request("GET", f"/count{path}", sequence=2).body)
    with t.check("another request with a used sequence: 409"):
        session = t.session()
        session.request("POST", "/echo", sequence=1)
        t.refused(REQUEST, post(session, "/cookies", 1), 409)
        session.request("GET", "/echo", sequence=2)
    with t.check("a replay while the first is in flight: 409"):
        session = t.session()
        path = f"/meet/2/{session.keys.session_id.hex()}"
        body = post(session, path, 1)
        arrived = t.app.total + 1
        answer: list[bytes] = []
        thread = threading.Thread(target=lambda: answer.append(t.outer.post_cbor(REQUEST, body)))
        thread.start()
        while t.app.total < arrived and thread.is_alive():
            thread.join(0.01)
        t.refused(REQUEST, body, 409)
        session.request("POST", path, sequence=2)
        thread.join()
        session.open(answer[0], 1)
    with t.check("64 copies of one request at once: it is executed once"):
        session = t.session()
        body = post(session, "/echo", 1)
        with t.app_sees(1), ThreadPoolExecutor(WINDOW) as pool:
            statuses = list(pool.map(lambda _: t.outer.post(REQUEST, body).status, range(WINDOW)))
        expect("statuses", [200] + [409] * (WINDOW - 1), sorted(statuses))


def window(t: Target) -> None:
    with t.check("gaps are allowed, and what is in the window may still come"):
        session = t.session()
        for sequence in (1, 3, 10, 1000, 1000 - WINDOW + 1, 999, 1 << 40, (1 << 40) - 1, 1 << 63):
            expect(f"status of {sequence}", 200, session.request("GET", "/echo", sequence=sequence).status)
    for newest in (WINDOW + 1, 200, 1 << 50):
        with t.check(f"newest {newest}: the whole window is accepted once, nothing older"):
            session = t.session()
            session.request("GET", "/echo", sequence=newest)
            for sequence in range(newest - 1, newest - WINDOW, -1):
                expect(f"status of {sequence}", 200, session.request("GET", "/echo", sequence=sequence).status)
            for sequence in range(newest, newest - WINDOW, -1):
                t.refused(REQUEST, post(session, "/echo", sequence), 409)
            for sequence in {newest - WINDOW - 1, newest // 2, 1} - {0}:
                if sequence < newest - WINDOW:
                    t.refused(REQUEST, post(session, "/echo", sequence), 400, 409)
            expect("status of the next", 200, session.request("GET", "/echo", sequence=newest + 1).status)
    with t.check("a forged sequence far ahead does not move the window"):
        session = t.session()
        envelope = session.envelope(1, wire.encode(inner_request("POST", "/echo", {}, b"")))
        t.refused(REQUEST, wire.encode({**envelope, "sequence": b"\x7f" + bytes(7)}), 400)
        expect("status of 1", 200, session.request("GET", "/echo", sequence=1).status)
    with t.check("the last sequence there is does no harm"):
        session = t.session()
        last = (1 << 64) - 1
        status = t.outer.post(REQUEST, post(session, "/echo", last)).status
        if status not in (200, 400, 409):
            raise AssertionError(f"status {status}")
        if status == 200:
            t.refused(REQUEST, post(session, "/echo", last), 409)
            t.refused(REQUEST, post(session, "/echo", 1), 400, 409)
