"""nginx: large files both ways through curl, and what it says to ranges, encodings and expectations."""

from __future__ import annotations

import getpass
import hashlib
import os
import subprocess
import time
from pathlib import Path

from harness import MIB, Context, Link, check, equal, fetch, free_port, plain_environment, rate

LARGE = 2048 * MIB
SMALLER = 256 * MIB
LIMIT = 120.0

CONFIG = """
daemon off;
worker_processes 1;
user {user};
pid {work}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type application/octet-stream;
    types {{ text/plain txt; }}
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    client_max_body_size 0;
    gzip on;
    gzip_types text/plain;
    server {{
        listen 127.0.0.1:{port};
        root {work}/files;
        location /put/ {{ dav_methods PUT DELETE; }}
        location /small/ {{ client_max_body_size 1m; dav_methods PUT; }}
        location /refuse/ {{ return 403; }}
    }}
}}
"""


def start(context: Context) -> int:
    """Starts nginx, with a folder `files` to serve."""
    port = free_port()
    for folder in ("files/put", "files/small", "body"):
        (context.work / folder).mkdir(parents=True)
    config = context.work / "nginx.conf"
    config.write_text(CONFIG.format(user=getpass.getuser(), work=context.work, port=port))
    nginx = context.program("nginx", ["nginx", "-p", context.work, "-e", "stderr", "-c", config])
    nginx.wait_for_port(port)
    return port


def write_file(path: Path, size: int) -> str:
    """Every MiB starts with 64 KiB that occur nowhere else; the rest are holes. Returns the SHA-256."""
    digest = hashlib.sha256()
    hole = bytes(MIB - 65536)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            block = os.urandom(65536)
            file.write(block)
            file.seek(len(hole), os.SEEK_CUR)
            digest.update(block)
            digest.update(hole)
        file.truncate(size)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(context: Context) -> None:
    port = start(context)
    files = context.work / "files"
    large_sha256 = write_file(files / "large", LARGE)
    smaller_sha256 = write_file(files / "smaller", SMALLER)
    with context.link(port) as link:
        context.step("GET of 2 GiB", lambda: download(link, large_sha256), LIMIT)
        context.step(
            "PUT of 2 GiB, chunked",
            lambda: upload(link, files, "large", large_sha256, ["-H", "Transfer-Encoding: chunked"]),
            LIMIT,
        )
        context.step(
            "PUT of 256 MiB with Content-Length",
            lambda: upload(link, files, "smaller", smaller_sha256, []),
            LIMIT,
        )


def download(link: Link, expected: str) -> str:
    began = time.monotonic()
    command = ["curl", "-sS", "--fail", "--max-time", str(LIMIT), link.url("/large")]
    digest, size = hashlib.sha256(), 0
    with subprocess.Popen(command, env=plain_environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout
        while block := process.stdout.read(MIB):
            digest.update(block)
            size += len(block)
    equal(process.returncode, 0, "exit code of curl")
    equal(size, LARGE, "size")
    equal(digest.hexdigest(), expected, "SHA-256")
    return rate(size, began)


def upload(link: Link, files: Path, name: str, expected: str, how: list[str]) -> str:
    size = (files / name).stat().st_size
    began = time.monotonic()
    fetch(*how, "-T", files / name, link.url(f"/put/{name}"), status=201, limit=LIMIT)
    measured = rate(size, began)
    stored = files / "put" / name
    check(stored.exists(), "nothing was stored")
    equal(stored.stat().st_size, size, "size of what was stored")
    equal(sha256(stored), expected, "SHA-256 of what was stored")
    stored.unlink()
    return measured
