#!/usr/bin/env python3
"""Runs the formal models with Verifpal and holds every result against models.toml.

A result that differs in either direction fails, and so does a query without an expected result or
without an answer.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# For one model. CPU time: how busy the machine is does not decide.
CPU_SECONDS = 120
MEMORY_BYTES = 4 << 30


class Failed(Exception):
    """What is wrong with one model."""


def replaced(lines, old, new):
    """Exactly one line, without its indentation, is `old`; it becomes the lines of `new`."""
    at = [number for number, line in enumerate(lines) if line.strip() == old]
    if len(at) != 1:
        raise Failed(f"{len(at)} lines are {old!r}, not one")
    return lines[:at[0]] + new.splitlines() + lines[at[0] + 1:]


def text_of(model):
    """A model's file, or the variant of it that the replacements and the queries make."""
    lines = (FOLDER / model["file"]).read_text().splitlines()
    start = lines.index("queries[")
    written = [line.strip() for line in lines[start + 1:lines.index("]", start)]]
    if "replace" not in model and written != list(model["expect"]):
        raise Failed("the queries in the file are not those in models.toml")
    lines = lines[:start]
    for old, new in model.get("replace", []):
        lines = replaced(lines, old, new)
    return "\n".join([*lines, "queries[", *model["expect"], "]", ""])


def assignments(name):
    """What a file computes: the names, as they are written, and from what."""
    lines = (FOLDER / name).read_text().splitlines()
    return dict(line.strip().split(" = ", 1) for line in lines if line.startswith("\t")
                and " = " in line and not line.startswith("\t_ "))


def agree(model):
    """Two files that tell the same part of the protocol compute the same names in the same way."""
    here, there = assignments(model["file"]), assignments(model["agrees_with"])
    differing = {name for name in here.keys() & there.keys() if here[name] != there[name]}
    if differing != set(model["differs_in"]):
        raise Failed(f"{model['file']} and {model['agrees_with']} differ in {sorted(differing)}")


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def analysis(verifpal, path, sessions):
    """What Verifpal says of one model."""
    command = [verifpal, "verify", "--format", "json", "--sessions", str(sessions), str(path)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                               env=os.environ | {"VERIFPAL_THREADS": "1"}, preexec_fn=limit)
    except OSError as error:
        raise Failed(f"Verifpal does not start: {error}") from error
    if ended.returncode < 0:
        raise Failed(f"ended by signal {-ended.returncode}; the limits are {CPU_SECONDS} s of CPU "
                     f"time and {MEMORY_BYTES >> 20} MiB")
    try:
        (report,) = json.loads(ended.stdout)["models"]
        if ended.returncode == 0 and report["ok"]:
            return report["analysis"]
        why = report["error"]
    except (ValueError, KeyError, TypeError):
        why = f"no report that can be read: {ended.stderr[-500:]}"
    raise Failed(f"exit code {ended.returncode}: {why}")


def results(found, sessions):
    """Every query of the report with its result."""
    if found["attacker"] != "active" or found["sessions"] != sessions:
        raise Failed("the report is of another attacker or number of sessions")
    answers = {}
    for query in found["queries"]:
        text = re.sub(r"\s+", " ", query["query"]).strip()
        if text in answers:
            raise Failed(f"two answers to {text}")
        if not query["resolved"] and not query["envelope"]["exhausted"]:
            raise Failed(f"the search for {text} was cut short")
        answers[text] = "attack" if query["resolved"] else "holds"
    return answers


def check(verifpal, name, model, folder):
    """Prints the results of one model; gives what is wrong with them."""
    if "agrees_with" in model:
        agree(model)
    path = folder / f"{name}.vp"
    path.write_text(text_of(model))
    sessions = model.get("sessions", 2)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    found = results(analysis(verifpal, path, sessions), sessions)
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    print(f"{name}: {sessions} sessions, {seconds:.1f} s", flush=True)
    wrong = []
    for query in [*model["expect"], *(found.keys() - model["expect"].keys())]:
        wanted, got = model["expect"].get(query), found.get(query)
        print(f"    {got or 'no answer':9} {query}", flush=True)
        if wanted not in ("holds", "attack") or wanted != got:
            wrong.append(f"{query}: {got or 'no answer'}, expected {wanted or 'nothing'}")
    return wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--verifpal", default="verifpal", help="the program")
    arguments.add_argument("--keep", type=Path, help="write the models to this folder")
    arguments.add_argument("names", nargs="*", metavar="MODEL", help="default: all of them")
    options = arguments.parse_args()
    models = tomllib.loads((FOLDER / "models.toml").read_text())
    unknown = set(options.names) - models.keys()
    if unknown:
        arguments.error(f"no model {', '.join(sorted(unknown))}")
    wrong = [f"{path.name} is not in models.toml" for path in sorted(FOLDER.glob("*.vp"))
             if not any(path.name == model["file"] for model in models.values())]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.names or models:
            try:
                wrong += [f"{name}: {what}"
                          for what in check(options.verifpal, name, models[name], folder)]
            except Failed as error:
                print(f"{name}: {error}", flush=True)
                wrong.append(f"{name}: {error}")
    print(f"{len(options.names or models)} models, "
          f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.0f} s of CPU time")
    for what in wrong:
        print(f"error: {what}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
