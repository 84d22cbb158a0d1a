#!/usr/bin/env python3
"""STEVE against real programs: client, `steve connect`, `steve-proxy serve`, app. See README.md."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from harness import Context

CASES = ["nginx", "curl", "uvicorn", "websockets", "grpc", "git", "chromium", "failures", "table", "smuggling",
         "doctor"]


def run_case(name: str, steve: Path | None, proxy: Path | None) -> bool:
    print(f"{name}:", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"steve-{name}-", ignore_cleanup_errors=True) as directory:
        context = Context(Path(directory), steve, proxy)
        try:
            importlib.import_module(f"case_{name}").run(context)
        except Exception as error:
            print(f"  FAIL  the case broke off: {type(error).__name__}: {error}", flush=True)
            context.failures += 1
        finally:
            context.end()
    outcome = f"{context.failures} failed" if context.failures else "passed"
    print(f"{name}: {outcome}, {time.monotonic() - began:.1f} s\n", flush=True)
    return not context.failures


def on_term(number: int, frame: object) -> None:
    sys.exit("told to stop")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steve", type=Path, help="the client binary, with dangerous-trust-anchor")
    parser.add_argument("--proxy", type=Path, help="the proxy binary")
    parser.add_argument("--direct", action="store_true", help="without STEVE: tests the tests")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    if not arguments.direct and not (arguments.steve and arguments.proxy):
        parser.error("needs --steve and --proxy, or --direct")
    signal.signal(signal.SIGTERM, on_term)
    binaries = (None, None) if arguments.direct else (arguments.steve.resolve(), arguments.proxy.resolve())

    failed = [name for name in arguments.cases or CASES if not run_case(name, *binaries)]
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
