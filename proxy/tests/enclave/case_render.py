"""What `steve-proxy render` writes, started: with end-to-end encryption, and without."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from chain import Outer, start_caddy, steve
from enclave import BOOTS_LIMIT, Enclave
from harness import Context, Failed, check, curl, equal, fetch, free_port
from image import Image, emulated, pack

if TYPE_CHECKING:
    from run import Suite

ENCRYPTED = """
run = ["/usr/bin/app", "127.0.0.1:8083"]
e2e = true
ports = [8083]
domain = "localhost"
app_sources = ["https://git.example.com/app"]
metadata = "release 7"
network {
  http {
    e2e_encryption {
      mode = "required"
      key_exchange = "XWING"
      cors_origins = ["https://app.example.com"]
    }
  }
}
"""
DIRECT = """
run: /usr/bin/app 127.0.0.1:3000 127.0.0.1:9000
ports: 3000, 9000
http_port: 3000
domain: localhost
metadata: release 7
"""
# Where the relay listens for Caddy.
FOR_CADDY = "127.0.0.1:8080"
# Vsock ports that are tried.
TRIED = [*range(1, 1100), *range(2990, 3010), *range(7900, 8200), *range(8990, 9100), *range(49495, 49605)]
# Of the outer connection, and what asks the proxy for the app past the encryption.
PAST = [
    "GET /count HTTP/1.1\r\nHost: localhost",
    "GET /count HTTP/1.1\r\nHost: 127.0.0.1:8083",
    "GET http://127.0.0.1:8083/count HTTP/1.1\r\nHost: 127.0.0.1:8083",
    "GET //127.0.0.1:8083/count HTTP/1.1\r\nHost: localhost",
    "GET /.well-known/steve/../../count HTTP/1.1\r\nHost: localhost",
    "GET /.well-known/steve/%2e%2e/%2e%2e/count HTTP/1.1\r\nHost: localhost",
    "GET /count HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: 127.0.0.1:8083\r\nX-Original-URL: /count",
    "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "GET /count HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: ",
    "CONNECT 127.0.0.1:8083 HTTP/1.1\r\nHost: 127.0.0.1:8083",
    "POST /count HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\npast",
]


def run(context: Context, suite: Suite) -> None:
    work = context.work
    for name, option, text in [("encrypted", "--hcl", ENCRYPTED), ("direct", "--procfile", DIRECT)]:
        context.work = work / name
        context.work.mkdir()
        (context.work / "file").write_text(text)
        rendered = context.work / "rendered"
        command = [suite.operator, "render", option, context.work / "file", "--out", rendered]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        manifest = rendered / "manifest.json"
        image = pack(suite.parts, context.work / "image", emulated((rendered / "init.json").read_text()), ["--manifest", manifest])
        (encrypted if name == "encrypted" else direct)(context, suite, image, rendered)
    context.work = work


def encrypted(context: Context, suite: Suite, image: Image, rendered: Path) -> None:
    enclave = Enclave(context, suite.tools, image)
    context.step("encrypted: boot", enclave.boot, BOOTS_LIMIT)
    way, routes = start(context, enclave, rendered)
    relay = next(iter(routes.values()))
    context.step("encrypted: curl through Caddy is refused", lambda: refused_by_proxy(way))
    context.step("encrypted: the SDK reaches the app", lambda: through_sdk(context, enclave, way))
    context.step("encrypted: the manifest is attested", lambda: attested(context, enclave, way, rendered))
    context.step("encrypted: past the encryption through the relay", lambda: past(relay))
    context.step("encrypted: one vsock port is open", lambda: equal(open_ports(enclave), [8080], "open vsock ports"), 120)
    context.step("encrypted: nothing of this has reached the app", lambda: untouched(context, enclave, way))
    enclave.kill()
    way.caddy.stop()
    way.relay.stop()


def direct(context: Context, suite: Suite, image: Image, rendered: Path) -> None:
    enclave = Enclave(context, suite.tools, image, probe=("/count", 3000))
    context.step("direct: boot", enclave.boot, BOOTS_LIMIT)
    way, routes = start(context, enclave, rendered)
    context.step("direct: curl through Caddy reaches the app", lambda: through_caddy(way))
    context.step("direct: a TCP client reaches the raw port", lambda: raw(routes["0.0.0.0:9000"]))
    context.step("direct: the ports of the app are open", lambda: equal(open_ports(enclave), [3000, 9000], "open vsock ports"), 120)
    context.step("direct: there is no STEVE", lambda: no_steve(context, enclave, way))


def start(context: Context, enclave: Enclave, rendered: Path) -> tuple[Outer, dict[str, int]]:
    """Relay and Caddy as rendered, but for ports and the transport of this machine; where each route listens."""
    unit = (rendered / "steve-relay.service").read_text()
    routes = re.findall(r"^Environment=STEVE_RELAY_LISTEN=(.*)$", unit, re.MULTILINE)
    check(len(routes) == 1, f"routes in the unit: {routes}")
    ports, listen = {}, []
    for route in routes[0].split(","):
        source, _, target = route.partition("=")
        cid, port = target.removeprefix("vsock:").split(":")
        equal(int(cid), json.loads((rendered / "enclave.json").read_text())["enclave_cid"], "CID")
        ports[source] = free_port()
        listen += ["--listen", f"127.0.0.1:{ports[source]}=unix:{enclave.vsock}:{port}"]
    check(context.proxy, "no relay")
    relay = context.program("relay", [context.proxy, "relay", *listen, "--half-close-timeout", "1"])  # type: ignore[list-item]
    for port in ports.values():
        relay.wait_for_port(port)
    site = (rendered / "Caddyfile").read_text()
    check(FOR_CADDY in site, site)
    (context.work / "site").write_text(site.replace(FOR_CADDY, f"127.0.0.1:{ports[FOR_CADDY]}"))
    tls = free_port()
    options = f"admin off\nauto_https disable_redirects\nskip_install_trust\nhttps_port {tls}\nhttp_port {free_port()}"
    caddy, ca = start_caddy(context, f"{{\n{options}\n}}\nimport {context.work / 'site'}\n", tls)
    return Outer(f"https://localhost:{tls}", ca, caddy, relay), ports


def refused_by_proxy(way: Outer) -> str:
    for path in ["/", "/count", "/.well-known/steve/../count", "/.well-known/steve/%2e%2e/%2e%2e/count"]:
        done = fetch("--cacert", way.ca, "--path-as-is", way.url + path, status=404 if "well-known" in path else 403)
        check(b"e2e_required" in done.body or "well-known" in path, f"{path}: {done.body!r}")
    insecure = curl(way.url + "/")
    equal(insecure.code, 60, "exit code of curl without Caddy's authority")
    return "403 e2e_required"


def through_sdk(context: Context, enclave: Enclave, way: Outer) -> None:
    done = steve(context, "request", enclave, way, path="/?a=b")
    equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
    equal(json.loads(done.stdout)["target"], "/?a=b", "target")


def attested(context: Context, enclave: Enclave, way: Outer, rendered: Path) -> str:
    manifest = rendered / "manifest.json"
    done = steve(context, "verify", enclave, way, "--expect-manifest", manifest, "--json")
    equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
    report = json.loads(done.stdout)
    said = json.loads(report["manifest"])
    equal(said, {"app_sources": ["https://git.example.com/app"], "metadata": "release 7"}, "manifest")
    return str(said)


def past(port: int) -> str:
    """Raw requests at the relay, where Caddy mends nothing."""
    statuses = []
    for request in PAST:
        text = request if "\r\n\r\n" in request else request + "\r\n\r\n"
        answer = exchange(port, text.encode())
        statuses.append(answer.split(b" ", 2)[1].decode() if answer else "closed")
        check(statuses[-1] in ("400", "403", "404", "405", "closed"), f"{request!r}: {answer!r}")
    return ", ".join(statuses)


def untouched(context: Context, enclave: Enclave, way: Outer) -> None:
    done = steve(context, "request", enclave, way, path="/count")
    equal(json.loads(done.stdout), {}, "what was executed")
    # It would have been seen.
    done = steve(context, "request", enclave, way, "-X", "POST", "--data", "inside", path="/count")
    equal(done.returncode, 0, f"exit code ({done.stderr.decode()})")
    done = steve(context, "request", enclave, way, path="/count")
    equal(json.loads(done.stdout), {"inside": 1}, "what was executed")


def open_ports(enclave: Enclave) -> list[int]:
    return [port for port in TRIED if is_open(enclave, port)]


def is_open(enclave: Enclave, port: int) -> bool:
    try:
        enclave.connect(port, limit=10).close()
    except (ConnectionError, Failed):
        return False
    return True


def through_caddy(way: Outer) -> None:
    done = fetch("--cacert", way.ca, way.url + "/?a=b")
    equal(json.loads(done.body)["target"], "/?a=b", "target")
    body = fetch("--cacert", way.ca, "--data-binary", "x" * 100_000, way.url + "/echo").body
    equal(body, b"x" * 100_000, "echo")


def raw(port: int) -> None:
    answer = exchange(port, b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
    check(answer.startswith(b"HTTP/1.1 200") and b"hello" in answer, f"{answer!r}")


def exchange(port: int, request: bytes) -> bytes:
    """What comes back until the end, or until nothing more comes for a while."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
        connection.sendall(request)
        try:
            while block := connection.recv(65536):
                answer += block
                connection.settimeout(0.5)
        except (TimeoutError, ConnectionResetError):
            pass
    return answer


def no_steve(context: Context, enclave: Enclave, way: Outer) -> None:
    done = steve(context, "verify", enclave, way)
    check(done.returncode not in (0, 3), f"exit code {done.returncode}: {done.stderr.decode()}")
