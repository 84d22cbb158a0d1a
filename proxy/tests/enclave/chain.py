"""The way to the enclave: gateway, TLS in Caddy, relay, vsock."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enclave import Enclave, run
from harness import Context, Link, Program, check, free_port
from image import PROXY_PORT


@dataclass
class Outer:
    """Everything but the client."""

    url: str
    # Of Caddy's own authority.
    ca: Path
    caddy: Program
    relay: Program


def outer(context: Context, enclave: Enclave) -> Outer:
    relay_port, tls_port = free_port(), free_port()
    route = f"127.0.0.1:{relay_port}=unix:{enclave.vsock}:{PROXY_PORT}"
    # vhost-device-vsock has no half-close, so the end of a client reaches the enclave after this time.
    relay = context.program("relay", [context.proxy, "relay", "--listen", route, "--half-close-timeout", "1"])  # type: ignore[list-item]
    relay.wait_for_port(relay_port)
    caddy, ca = start_caddy(context, CADDYFILE.format(tls=tls_port, relay=relay_port), tls_port)
    return Outer(f"https://localhost:{tls_port}", ca, caddy, relay)


def start_caddy(context: Context, configuration: str, tls_port: int) -> tuple[Program, Path]:
    """Caddy, and the certificate of its own authority."""
    caddyfile = context.work / "Caddyfile"
    caddyfile.write_text(configuration)
    data = context.work / "caddy"
    caddy = context.program(
        "caddy",
        ["caddy", "run", "--adapter", "caddyfile", "--config", caddyfile],
        HOME=str(data), XDG_DATA_HOME=str(data), XDG_CONFIG_HOME=str(data),
    )
    ca = data / "caddy/pki/authorities/local/root.crt"
    caddy.wait_until(ca.exists, "certificate authority")
    caddy.wait_for_port(tls_port)
    return caddy, ca


# Pieces are passed on at once. Not with -1: then Caddy does not tell the proxy when a client goes away.
CADDYFILE = """{{
    admin off
    auto_https disable_redirects
    skip_install_trust
}}
https://localhost:{tls} {{
    tls internal
    reverse_proxy 127.0.0.1:{relay} {{
        flush_interval 1ms
    }}
}}
"""


def trust(enclave: Enclave, ca: Path, pcrs: Path | None = None) -> list[str | Path]:
    """The client's options: whom it accepts."""
    measurements = pcrs or enclave.image.measurements
    return ["--pcrs", measurements, "--cacert", ca, "--dangerous-dev-root", enclave.root]


def steve(
    context: Context, command: str, enclave: Enclave, way: Outer, *more: str | Path, path: str = "", pcrs: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    check(context.steve, "no client")
    return run([context.steve, command, *trust(enclave, way.ca, pcrs), *more, way.url + path])  # type: ignore[list-item]


def gateway(context: Context, enclave: Enclave, way: Outer, more: Sequence[str] = ()) -> Link:
    """A local port behind which the app seems to be."""
    check(context.steve, "no client")
    command = [context.steve, "connect", "--listen", "127.0.0.1:0", *trust(enclave, way.ca), *more, way.url]
    program = context.program("gateway", command)  # type: ignore[arg-type]

    def announced() -> str | None:
        lines = program.log.read_text(errors="replace").splitlines()
        return next((line for line in lines if line.startswith("steve: serving http://")), None)

    line = program.wait_until(announced, 'line "steve: serving"')
    return Link(int(line.split()[2].rsplit(":", 1)[1]), 0, gateway=program)
