#!/usr/bin/env python3
"""Conformance of the proxy's STEVE-E2P-V2 mode: starts an app, starts the proxy for each suite, talks to it."""

from __future__ import annotations

import argparse
import functools
import importlib
import signal
import sys
import tempfile
from pathlib import Path

# The documents and X-Wing are those of the Python implementation of SPEC.md.
sys.path.append(str(Path(__file__).resolve().parents[3] / "protocol-spec" / "vectors"))

import app
from keys import SUITES
from report import Report, TimedOut
from target import Target

from proxy import Launcher

CASES = ["session", "malformed", "records", "app", "routing", "lifetime"]
TOTAL_LIMIT = 1200


def on_alarm(number: int, frame: object) -> None:
    raise TimedOut(f"no end within {TOTAL_LIMIT} s")


def on_term(number: int, frame: object) -> None:
    sys.exit("told to stop")


def run_suite(name: str, cases: list[str], launcher: Launcher, report: Report, wait: float) -> None:
    start = functools.partial(launcher.start, name)
    with start({}) as (outer, root):
        target = Target(SUITES[name], outer, root, launcher.app, report, start, wait)
        for case in cases:
            report.prefix = f"{name} {case}: "
            with report.check("the case came to its end"):
                importlib.import_module(f"case_{case}").run(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxy", type=Path, required=True, help="the proxy binary")
    parser.add_argument("--suite", choices=SUITES, help="only this one")
    parser.add_argument("--wait", type=float, default=15, help="seconds to wait at most for a session to expire")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, on_term)
    signal.alarm(TOTAL_LIMIT)

    report = Report()
    with tempfile.TemporaryDirectory(prefix="steve-e2p-v2-") as directory:
        work = Path(directory)
        command = [str(arguments.proxy.resolve()), "serve", "--e2p-v2"]
        launcher = Launcher(command, app.start(), work)
        for suite in [arguments.suite] if arguments.suite else SUITES:
            report.prefix = f"{suite}: "
            try:
                with report.check("the proxy ran"):
                    run_suite(suite, arguments.cases or CASES, launcher, report, arguments.wait)
            except TimedOut as error:
                report.failed.append(f"{suite}: {error}")
                break
        if report.failed and (work / "proxy.log").exists():
            print("--- end of the proxy's output ---")
            print("\n".join((work / "proxy.log").read_text(errors="replace").splitlines()[-40:]))
    for name in report.failed:
        print(f"failed: {name}")
    checks = report.passed + len(report.failed) + len(report.skipped)
    print(f"{checks} checks: {report.passed} passed, {len(report.failed)} failed, {len(report.skipped)} skipped")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
