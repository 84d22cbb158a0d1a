"""Evidence of the real driver's NSM: accepted for the image that runs, refused for any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from chain import Outer, outer, steve
from enclave import BOOTS_LIMIT, Enclave
from enclave import run as run_command
from harness import Context, check, equal
from image import build

if TYPE_CHECKING:
    from run import Suite

# What `steve --help` says.
POLICY_REFUSES, EVIDENCE_INVALID = 3, 4


def run(context: Context, suite: Suite) -> None:
    enclave = Enclave(context, suite.tools, suite.image)
    context.step("boot", enclave.boot, BOOTS_LIMIT)
    way = outer(context, enclave)
    context.step("accepted with the PCRs of the EIF", lambda: accepted(context, enclave, way))
    other = build(suite.parts, context.work, "other", STEVE_LOG_LEVEL="debug")
    context.step("another image's PCRs", lambda: other_image(context, enclave, way, other.measurements))
    context.step("AWS's root", lambda: real_root(context, enclave, way))
    enclave.kill()
    way.relay.stop()
    way.caddy.stop()
    debug_mode(context, suite)


def accepted(context: Context, enclave: Enclave, way: Outer) -> str:
    done = steve(context, "verify", enclave, way, "--json")
    equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
    report = json.loads(done.stdout)
    outcomes = {line["check"]: line["outcome"] for line in report["checks"]}
    equal(set(outcomes.values()), {"passed"}, f"outcomes {outcomes}")
    return f"{len(outcomes)} checks passed: {', '.join(outcomes)}"


def other_image(context: Context, enclave: Enclave, way: Outer, pcrs: Path) -> str:
    pinned, running = json.loads(pcrs.read_text()), enclave.image.pcrs()
    different = [name for name in running if pinned[name] != running[name]]
    equal(different, ["PCR0", "PCR1"], "registers that differ for another configuration of the proxy")
    return refused(context, enclave, way, POLICY_REFUSES, "PCR0 expected", pcrs)


def real_root(context: Context, enclave: Enclave, way: Outer) -> str:
    """Without the option for development the client trusts AWS's root alone."""
    check(context.steve, "no client")
    command = [context.steve, "verify", "--pcrs", enclave.image.measurements, "--cacert", way.ca, way.url]
    done = run_command(command)  # type: ignore[arg-type]
    equal(done.returncode, EVIDENCE_INVALID, f"exit code ({done.stderr.decode()})")
    return last_line(done.stderr)


def debug_mode(context: Context, suite: Suite) -> None:
    """An enclave in debug mode measures nothing: PCR0 to PCR2 are zero."""
    zero = context.work / "zero.json"
    zero.write_text(json.dumps({f"PCR{index}": "0" * 96 for index in range(3)}))
    context.work = context.work / "debug"
    context.work.mkdir()
    enclave = Enclave(context, suite.tools, suite.image, measurements=zero)
    context.step("boot in debug mode", enclave.boot, BOOTS_LIMIT)
    way = outer(context, enclave)
    context.step("debug mode", lambda: refused(context, enclave, way, EVIDENCE_INVALID, "debug", None))


def refused(context: Context, enclave: Enclave, way: Outer, code: int, why: str, pcrs: Path | None) -> str:
    for command in ("verify", "request"):
        done = steve(context, command, enclave, way, path="/" if command == "request" else "", pcrs=pcrs)
        equal(done.returncode, code, f"exit code of steve {command} ({done.stderr.decode()})")
        check(why in done.stderr.decode(), f"{why!r} is not in {done.stderr.decode()}")
        equal(done.stdout, b"", "output")
    return f"exit code {code}: {last_line(done.stderr)}"


def last_line(output: bytes) -> str:
    return output.decode().strip().splitlines()[-1][:200]
