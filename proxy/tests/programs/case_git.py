"""git over its smart HTTP protocol: clone, push, fetch, against `git http-backend`; `git fsck` of what arrived."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from harness import MIB, Context, Link, check, equal, plain_environment

FILES = 3000
LIMIT = 60.0


def run(context: Context) -> None:
    bare = context.work / "served" / "test.git"
    create(bare)
    _, port = context.python_app("app_git.py", str(bare.parent))
    clone = context.work / "clone"
    with context.link(port) as link:
        context.step("clone", lambda: clone_all(link, bare, clone), LIMIT)
        context.step("push of 1000 objects", lambda: push(bare, clone), LIMIT)
        context.step("push of 40 MiB, chunked", lambda: push_large(bare, clone), LIMIT)
        context.step("fetch into a shallow clone", lambda: shallow(link, context, bare), LIMIT)
        context.step("refused push", lambda: refused(clone), LIMIT)


def git(folder: Path, *arguments: str | Path, stdin: bytes | None = None) -> str:
    identity = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        env={**plain_environment(), **identity, **alone},
        input=stdin,
        capture_output=True,
        timeout=LIMIT,
    )
    message = done.stderr.decode(errors="replace")
    equal(done.returncode, 0, f"exit code of git {arguments[0]} ({message.strip()[-500:]})")
    return done.stdout.decode().strip()


def create(bare: Path) -> None:
    """A repository of FILES files in ten commits; every third file is not compressible."""
    bare.mkdir(parents=True)
    git(bare, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    git(bare, "config", "http.receivepack", "true")
    git(bare, "config", "receive.denyNonFastForwards", "true")
    source = random.Random(3)
    stream = bytearray()
    for commit in range(10):
        stream += b"commit refs/heads/main\ncommitter t <t> %d +0000\ndata 1\nx\n" % (1_700_000_000 + commit)
        for number in range(commit * FILES // 10, (commit + 1) * FILES // 10):
            content = source.randbytes(8000) if number % 3 == 0 else b"file %d\n" % number * 100
            path = b"%d/%d/file" % (number % 20, number)
            stream += b"M 100644 inline %b\ndata %d\n%b\n" % (path, len(content), content)
    git(bare, "fast-import", "--quiet", stdin=bytes(stream))


def fsck(folder: Path) -> int:
    """The number of objects, all of them sound and connected."""
    git(folder, "fsck", "--full", "--strict")
    return len(git(folder, "rev-list", "--objects", "--all").splitlines())


def clone_all(link: Link, bare: Path, clone: Path) -> str:
    git(bare, "clone", "--quiet", link.url("/test.git"), clone)
    equal(git(clone, "rev-parse", "HEAD"), git(bare, "rev-parse", "main"), "commit")
    files = sum(1 for path in clone.rglob("file"))
    equal(files, FILES, "files")
    return f"{fsck(clone)} objects"


def push_commit(bare: Path, clone: Path) -> str:
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=more")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    equal(git(bare, "rev-parse", "main"), git(clone, "rev-parse", "HEAD"), "commit")
    return f"{fsck(bare)} objects"


def push(bare: Path, clone: Path) -> str:
    for number in range(1000):
        (clone / f"more-{number}").write_text(f"another {number}\n")
    return push_commit(bare, clone)


def push_large(bare: Path, clone: Path) -> str:
    """More than git buffers, so it sends chunks."""
    (clone / "large").write_bytes(os.urandom(40 * MIB))
    return push_commit(bare, clone)


def shallow(link: Link, context: Context, bare: Path) -> str:
    folder = context.work / "shallow"
    git(bare, "clone", "--quiet", "--depth=1", link.url("/test.git"), folder)
    equal(git(folder, "rev-list", "--count", "HEAD"), "1", "commits at first")
    git(folder, "fetch", "--quiet", "--unshallow")
    commits = git(folder, "rev-list", "--count", "HEAD")
    equal(commits, git(bare, "rev-list", "--count", "main"), "commits")
    fsck(folder)
    return f"1, then {commits} commits"


def refused(clone: Path) -> None:
    git(clone, "reset", "--quiet", "--hard", "HEAD~1")
    git(clone, "commit", "--quiet", "--allow-empty", "--message=other")
    done = subprocess.run(
        ["git", "-C", clone, "push", "--force", "origin", "HEAD:main"],
        env=plain_environment(),
        capture_output=True,
        timeout=LIMIT,
    )
    check(done.returncode != 0, "the push was accepted")
    check(b"denying non-fast-forward" in done.stderr, f"another reason: {done.stderr!r}")
