"""The NSM slow, failing, and working again: sessions go on, new clients are told to come back."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from chain import Outer, gateway, outer, steve
from enclave import BOOTS_LIMIT, Enclave
from harness import Context, Link, check, equal, fetch

if TYPE_CHECKING:
    from run import Suite

EVIDENCE = "/.well-known/steve/v3/evidence"
# What `steve --help` says.
TRANSPORT = 5
AT_ONCE = 20


def run(context: Context, suite: Suite) -> None:
    enclave = Enclave(context, suite.tools, suite.image, nsm=["--indefinite-length-maps"])
    context.step("boot", enclave.boot, BOOTS_LIMIT)
    way = outer(context, enclave)
    link = gateway(context, enclave, way)
    context.step("a slow NSM answers many with one document", lambda: batched(enclave))
    for error in ("InternalError", "InvalidOperation"):
        context.step(f"{error}: no new evidence", lambda e=error: fails(enclave, e))
        context.step(f"{error}: a new client", lambda: client_refused(context, enclave, way))
        context.step(f"{error}: the session goes on", lambda: session(link))
        context.step(f"{error}: recovery", lambda: recovers(context, enclave, way))
    context.step("the session goes on", lambda: session(link))


def challenge(enclave: Enclave) -> int:
    return enclave.get(EVIDENCE, method="POST", body=os.urandom(32))[0]


def batched(enclave: Enclave) -> str:
    enclave.nsm_fails(latency_ms=500)
    calls, answered = 'steve_evidence_calls_total{result="ok"}', "steve_challenges_answered_total"
    before = {name: enclave.metric(name) for name in (calls, answered)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda _: challenge(enclave), range(AT_ONCE)))
    enclave.nsm_fails()
    equal(set(statuses), {200}, "statuses")
    made, asked = (int(enclave.metric(name) - before[name]) for name in (calls, answered))
    equal(asked, AT_ONCE, "challenges answered")
    check(made < asked, f"{made} documents for {asked} challenges")
    return f"{made} documents for {asked} challenges"


def fails(enclave: Enclave, error: str) -> str:
    equal(enclave.health(), 200, "health before")
    enclave.nsm_fails(error=error)
    equal(challenge(enclave), 503, "status of evidence")
    equal(enclave.health(), 503, "health")
    equal(enclave.metric("steve_ready"), 0, "metric steve_ready")
    return "evidence 503, health 503"


def client_refused(context: Context, enclave: Enclave, way: Outer) -> str:
    done: subprocess.CompletedProcess[bytes] = steve(context, "verify", enclave, way)
    equal(done.returncode, TRANSPORT, f"exit code ({done.stderr.decode()})")
    check(b"503" in done.stderr, f"no 503 in {done.stderr.decode()}")
    return done.stderr.decode().strip().splitlines()[-1]


def session(link: Link) -> None:
    equal(len(fetch(link.url("/bytes/100000")).body), 100_000, "length")


def recovers(context: Context, enclave: Enclave, way: Outer) -> str:
    """By itself: nobody has to ask for evidence."""
    began = time.monotonic()
    enclave.nsm_fails()
    while enclave.health() != 200:
        time.sleep(0.05)
    waited = time.monotonic() - began
    done = steve(context, "verify", enclave, way)
    equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
    return f"ready after {waited:.1f} s"
