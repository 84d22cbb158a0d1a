"""What the cases are run against."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from app import App
from keys import Suite
from report import Report, expect, expect_in
from session import REQUEST, Offer, Outer, Reply, Session

import wire

ORIGIN = "https://app.example"
REFUSALS = (400, 401, 403, 404, 405, 408, 409, 411, 413, 415, 425)


@dataclass
class Target:
    suite: Suite
    outer: Outer
    root: bytes
    """The attester's root certificate, DER."""
    app: App
    report: Report
    start: Callable[[dict[str, str]], AbstractContextManager[tuple[Outer, bytes]]]
    """Starts one more proxy of this suite with these environment variables added."""
    longest_wait: float
    """Seconds that a case may wait for something to expire."""

    def check(self, name: str) -> AbstractContextManager[None]:
        return self.report.check(name)

    def unconfirmed(self) -> Session:
        session = Session.establish(self.outer, Offer(self.suite))
        session.verify(self.root)
        return session

    def session(self) -> Session:
        session = self.unconfirmed()
        session.confirm()
        return session

    @contextlib.contextmanager
    def app_sees(self, count: int) -> Iterator[None]:
        before = self.app.total
        yield
        expect("requests that the app saw", count, self.app.total - before)

    def refused(self, path: str, body: bytes, *statuses: int) -> Reply:
        """Posts it; nothing may reach the app."""
        with self.app_sees(0):
            reply = self.outer.post(path, body)
        expect_in("status", statuses or REFUSALS, reply.status)
        return reply

    def alive(self, session: Session) -> None:
        expect("status of a good request afterwards", 200, session.request("GET", "/echo").status)

    def refused_plaintext(self, plaintext: bytes, *statuses: int) -> None:
        """In a session of its own, for the server may end it."""
        session = self.session()
        self.refused(REQUEST, wire.encode(session.envelope(1, plaintext)), *statuses)


def expect_error(reply: Reply, name: str) -> None:
    expect("body of the refusal", {"error": name}, json.loads(reply.body))
