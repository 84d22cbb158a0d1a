#!/usr/bin/env python3
"""STEVE in an emulated Nitro Enclave. See README.md."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "programs"))

from harness import MIB, Context
from enclave import Tools
from image import Image, Parts, build

CASES = ["evidence", "http", "nsm", "restart", "memory", "render"]


@dataclass
class Suite:
    """What all cases share."""

    tools: Tools
    parts: Parts
    image: Image
    # With the command `render`, which the static one in the image has not.
    operator: Path


def run_case(name: str, suite: Suite, steve: Path, proxy: Path) -> bool:
    print(f"{name}:", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"steve-{name}-", ignore_cleanup_errors=True) as directory:
        context = Context(Path(directory), steve, proxy)
        try:
            importlib.import_module(f"case_{name}").run(context, suite)
        except Exception as error:
            print(f"  FAIL  the case broke off: {type(error).__name__}: {error}", flush=True)
            context.failures += 1
        finally:
            context.end()
            if context.failures:
                show_consoles(context.work)
    outcome = f"{context.failures} failed" if context.failures else "passed"
    print(f"{name}: {outcome}, {time.monotonic() - began:.1f} s\n", flush=True)
    return not context.failures


def show_consoles(work: Path) -> None:
    for console in sorted(work.rglob("console-*")):
        lines = console.read_text(errors="replace").splitlines()[-20:]
        print(f"  --- end of {console.name} ---\n" + "\n".join(lines))


def on_term(number: int, frame: object) -> None:
    sys.exit("told to stop")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steve", type=Path, required=True, help="the client binary, with dangerous-trust-anchor")
    parser.add_argument("--static", type=Path, required=True, help="folder that scripts/build-static.sh has filled")
    parser.add_argument("--fetched", type=Path, required=True, help="folder that fetch.sh has made")
    parser.add_argument("--operator", type=Path, required=True, help="the operator's steve-proxy, with all commands")
    parser.add_argument("--nsm-device", type=Path, required=True, help="the binary of nsm-device/")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, on_term)
    steve, static, fetched = arguments.steve.resolve(), arguments.static.resolve(), arguments.fetched.resolve()
    tools = Tools(fetched / "qemu-system-x86_64", arguments.nsm_device.resolve(), "vhost-device-vsock")
    parts = Parts(
        kernel=fetched / "vmlinuz",
        kernel_config=fetched / "config",
        modules=fetched / "modules",
        init=static / "steve-init",
        proxy=static / "steve-proxy",
        app=static / "example-app",
        eif_build="eif_build",
    )
    with tempfile.TemporaryDirectory(prefix="steve-image-") as directory:
        began = time.monotonic()
        image = build(parts, Path(directory), "image")
        print(f"image: {image.size / MIB:.1f} MiB, measured in {time.monotonic() - began:.1f} s", flush=True)
        for name, value in image.pcrs().items():
            print(f"  {name} {value}", flush=True)
        suite = Suite(tools, parts, image, arguments.operator.resolve())
        names = arguments.cases or CASES
        failed = [name for name in names if not run_case(name, suite, steve, parts.proxy)]
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
