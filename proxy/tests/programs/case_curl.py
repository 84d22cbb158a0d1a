"""curl against nginx: versions, uploads, expectations, HEAD, encodings, ranges, many requests."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

from case_nginx import start
from harness import MIB, Context, Curl, Link, check, curl, equal, fetch, plain_environment

# Fields that differ from one answer to the next, or belong to one connection.
OF_THE_HOP = {"date", "connection", "keep-alive", "transfer-encoding"}


def run(context: Context) -> None:
    port = start(context)
    files = context.work / "files"
    (files / "text.txt").write_text("".join(f"line {number}\n" for number in range(20_000)))
    (files / "block").write_bytes(os.urandom(8 * MIB))
    with context.link(port) as link:
        context.step("HTTP/1.1", lambda: version(link, files, "--http1.1", "1.1"))
        if not link.direct:
            # nginx takes one version per port; with STEVE the client's version is the gateway's affair.
            context.step("HTTP/2", lambda: version(link, files, "--http2-prior-knowledge", "2"))
            context.step("upload over HTTP/2", lambda: upload_http2(link, files))
        context.step("-T - chunked", lambda: upload_stdin(link, files))
        context.step("Expect: 100-continue, accepted", lambda: expect_accepted(link, files))
        context.step("Expect: 100-continue, 413", lambda: expect_refused(link, files, "small", 413))
        context.step("Expect: 100-continue, 403", lambda: expect_refused(link, files, "refuse", 403))
        context.step("413 without Expect", lambda: refused_midway(link, files))
        context.step("HEAD", lambda: same(link, "/block", "--head"))
        context.step("encoding untouched", lambda: encoding(link))
        context.step("--compressed", lambda: compressed(link, files))
        context.step("identity", lambda: same(link, "/text.txt"))
        for ranges, status in RANGES:
            context.step(f"range {ranges}", lambda r=ranges, s=status: same(link, "/block", "-r", r, status=s))
        context.step("If-Range and 304", lambda: conditional(link))
        context.step("404", lambda: same(link, "/absent", status=404))
        context.step("resumed download", lambda: resume(context, link, files))
        context.step("one after another", lambda: many(link))
        context.step("100 at once", lambda: many(link, *AT_ONCE))


AT_ONCE = ("--parallel", "--parallel-immediate", "--parallel-max", "100")
RANGES = [("0-0", 206), ("1000-1999999", 206), ("-500", 206), ("8000000-", 206), ("9000000-", 416)]


def version(link: Link, files: Path, option: str, expected: str) -> str:
    done = fetch(option, link.url("/block"))
    equal(done.info["http_version"], expected, "HTTP version")
    check(done.body == (files / "block").read_bytes(), "the content differs")
    return f"HTTP/{done.info['http_version']}"


def stored(files: Path, name: str) -> None:
    path = files / "put" / name
    check(path.read_bytes() == (files / "block").read_bytes(), "what was stored differs")
    path.unlink()


def upload_http2(link: Link, files: Path) -> None:
    fetch("--http2-prior-knowledge", "-T", files / "block", link.url("/put/two"), status=201)
    stored(files, "two")


def upload_stdin(link: Link, files: Path) -> None:
    with (files / "block").open("rb") as block, subprocess.Popen(
        ["cat"], stdin=block, stdout=subprocess.PIPE
    ) as cat:
        done = curl("-v", "-T", "-", link.url("/put/stdin"), stdin=cat.stdout)
    equal((done.code, done.info["http_code"]), (0, 201), "exit code and status")
    check("Transfer-Encoding: chunked" in done.stderr, "curl has not sent chunks")
    stored(files, "stdin")


def expect_accepted(link: Link, files: Path) -> None:
    done = fetch(
        "-v", "--expect100-timeout", "30", "-H", "Expect: 100-continue",
        "-T", files / "block", link.url("/put/expect"), status=201,
    )
    check("HTTP/1.1 100 Continue" in done.stderr, "no 100 Continue arrived")
    check(done.info["time_total"] < 25, "curl has sent the body without waiting for 100 Continue")
    stored(files, "expect")


def expect_refused(link: Link, files: Path, folder: str, status: int) -> str:
    """The answer arrives while curl still waits: it sends no body."""
    done = fetch(
        "-v", "--expect100-timeout", "30", "-H", "Expect: 100-continue",
        "-T", files / "block", link.url(f"/{folder}/x"), status=status,
    )
    check("100 Continue" not in done.stderr, "100 Continue, then a refusal")
    equal(done.info["size_upload"], 0, "bytes of the body that were sent")
    check(not (files / folder / "x").exists(), "something was stored")
    return f"after {done.info['time_total']:.2f} s, no byte of the body sent"


def refused_midway(link: Link, files: Path) -> str:
    """Without Expect the body is under way when the answer comes. curl must see the answer, every time."""
    tries = 100
    outcomes: Counter[str] = Counter()
    for _ in range(tries):
        done = curl("-H", "Expect:", "-T", files / "block", link.url("/small/x"))
        outcomes[f"status {done.info['http_code']}, exit code {done.code} {done.stderr.strip()}"] += 1
    equal(outcomes, {"status 413, exit code 0 ": tries}, "outcomes")
    check(not (files / "small" / "x").exists(), "something was stored")
    return f"{tries} times"


def fields(done: Curl, dump: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in dump.decode().splitlines()[1:]:
        name, separator, value = line.partition(":")
        if separator and name.lower() not in OF_THE_HOP:
            found.setdefault(name.lower(), []).append(value.strip())
    return found


def ask(url: str, *arguments: str, status: int) -> tuple[dict[str, list[str]], bytes]:
    """Fields and body of the answer."""
    done = fetch("-i", *arguments, url, status=status)
    head, separator, body = done.body.partition(b"\r\n\r\n")
    check(separator, "no end of the head")
    return fields(done, head), body


def same(link: Link, path: str, *arguments: str, status: int = 200) -> str:
    """Through STEVE and past it, the same fields and content."""
    through, body = ask(link.url(path), *arguments, status=status)
    past, body_past = ask(link.app_url(path), *arguments, status=status)
    equal(through, past, "fields")
    check(body == body_past, f"content: {len(body)} bytes instead of {len(body_past)}, or others")
    return f"{len(through)} fields, {len(body)} bytes"


def encoding(link: Link) -> str:
    through, body = ask(link.url("/text.txt"), "-H", "Accept-Encoding: gzip", status=200)
    equal(through.get("content-encoding"), ["gzip"], "Content-Encoding")
    equal(body[:2], b"\x1f\x8b", "start of the content")
    same(link, "/text.txt", "-H", "Accept-Encoding: gzip")
    return f"{len(body)} bytes as nginx compressed them"


def compressed(link: Link, files: Path) -> None:
    done = fetch("--compressed", link.url("/text.txt"))
    check(done.body == (files / "text.txt").read_bytes(), "the content differs")
    check(done.info["size_download"] < len(done.body), "it was not compressed on the way")


def conditional(link: Link) -> None:
    whole, _ = ask(link.url("/block"), "--head", status=200)
    etag = whole["etag"][0]
    same(link, "/block", "-H", f"If-None-Match: {etag}", status=304)
    same(link, "/block", "-r", "5-9", "-H", f"If-Range: {etag}", status=206)
    same(link, "/block", "-r", "5-9", "-H", 'If-Range: "another"', status=200)


def resume(context: Context, link: Link, files: Path) -> None:
    whole = (files / "block").read_bytes()
    part = context.work / "part"
    part.write_bytes(whole[:3_000_000])
    command = ["curl", "-sS", "--max-time", "30", "-C", "-", "-o", part, link.url("/block")]
    equal(subprocess.run(command, env=plain_environment(), timeout=40).returncode, 0, "exit code of curl")
    check(part.read_bytes() == whole, "the content differs")


def many(link: Link, *how: str) -> str:
    """More than nginx answers on one connection."""
    count, size = 2500, 2000
    began = time.monotonic()
    written = ["-w", "%{http_code} %{size_download}\n", "-o", "/dev/null"]
    command = ["curl", "-sS", "--max-time", "30", *how, *written, "-r", f"0-{size - 1}"]
    done = subprocess.run(
        [*command, f"{link.url('/block')}?[1-{count}]"], env=plain_environment(), capture_output=True, timeout=60
    )
    lines = done.stdout.decode().splitlines()
    bad = [line for line in lines if line != f"206 {size}"]
    equal(bad, [], f"other answers ({done.stderr[-300:].decode()})")
    equal((len(lines), done.returncode), (count, 0), "answers and exit code")
    return f"{count / (time.monotonic() - began):.0f} requests/s"
