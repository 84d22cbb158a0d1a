"""How long sessions live."""

from __future__ import annotations

import dataclasses
import time

from report import Skip
from session import CONFIRM
from target import Target

import wire

GRACE = 2.0
SHORT = 2


def run(t: Target) -> None:
    with t.check("a session not confirmed within expires_in_seconds: 401"):
        session = t.unconfirmed()
        if session.expires_in > t.longest_wait:
            raise Skip(f"expires after {session.expires_in} s; --wait {session.expires_in} waits for it")
        confirmed = t.session()
        time.sleep(session.expires_in + GRACE)
        t.refused(CONFIRM, wire.encode(session.confirmation()), 401)
        t.alive(confirmed)
    limits = {f"STEVE_SESSION_{name}": str(SHORT) for name in ("LIFETIME", "IDLE_TIMEOUT")}
    with t.start(limits) as (outer, root), t.check("limits of other sessions do not shorten the half hour of these"):
        short = dataclasses.replace(t, outer=outer, root=root)
        session = short.session()
        time.sleep(SHORT + GRACE)
        short.alive(session)
