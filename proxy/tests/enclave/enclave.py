"""One emulated enclave: the NSM, vsock, and the virtual machine."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import Context, Failed, Program, check, plain_environment
from image import HEARTBEAT_PORT, METRICS_PORT, PROXY_PORT, Image

MEMORY = "512M"
GUEST_CID = 4
HEARTBEAT = b"\xb7"
HEALTH = "/.well-known/steve/health"
BOOT_LIMIT = 60.0
ATTEMPTS = 2
# Of all attempts, and of what is between them.
BOOTS_LIMIT = ATTEMPTS * 2 * BOOT_LIMIT
# vhost-device-vsock stalls on packets over 32 KiB with more.
TX_BUFFER = 28672


@dataclass
class Tools:
    qemu: Path
    nsm_device: Path
    vsock_device: str


class Enclave:
    """An enclave that can be started again. Its NSM stays, as AWS's authority would."""

    def __init__(
        self,
        context: Context,
        tools: Tools,
        image: Image,
        measurements: Path | None = None,
        nsm: Sequence[str] = (),
        probe: tuple[str, int] = (HEALTH, PROXY_PORT),
    ) -> None:
        """It is ready when GET of `probe`, a path at a vsock port, is 200."""
        self.context = context
        self.probe = probe
        self.tools = tools
        self.image = image
        self.root = context.work / "nsm-root.pem"
        self.boots = 0
        self.consoles: list[Path] = []
        self._control = context.work / "nsm-control.json"
        self._nsm_socket = context.work / "nsm.sock"
        self._vsock_socket = context.work / "vsock-device.sock"
        # Where the relay connects to, from the heartbeat on.
        self.vsock = context.work / "enclave.vsock"
        self._running: list[Program] = []
        command = [tools.nsm_device, "--socket", self._nsm_socket, "--root-out", self.root, "--control", self._control]
        self.nsm = context.program("nsm", [*command, "--measurements", measurements or image.measurements, *nsm])

    def boot(self) -> str:
        """Starts it and waits until it is ready. Emulated hardware may fail once."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._boot() + ("" if attempt == 1 else f" (attempt {attempt})")
            except Failed as error:
                self.kill()
                if attempt == ATTEMPTS:
                    raise
                print(f"        boot failed, once more: {error}", flush=True)
        raise AssertionError

    def _boot(self) -> str:
        began = time.monotonic()
        self.nsm.event("listening")
        self.boots += 1
        console = self.context.work / f"console-{self.boots}"
        self.consoles.append(console)
        # The device does not recover from a connection to a guest that is not there yet.
        hidden = self.context.work / f"vsock-{self.boots}"
        heartbeat = Heartbeat(Path(f"{hidden}_{HEARTBEAT_PORT}"))
        self._vsock_socket.unlink(missing_ok=True)
        vm = f"guest-cid={GUEST_CID},uds-path={hidden},socket={self._vsock_socket},tx-buffer-size={TX_BUFFER}"
        vsock = self._start(f"vsock-{self.boots}", [self.tools.vsock_device, "--vm", vm])
        vsock.wait_until(self._vsock_socket.exists, "socket")
        qemu = self._start(f"qemu-{self.boots}", self._qemu(console))
        heard = self._wait(qemu, heartbeat.heard, console, "heartbeat")
        self.vsock.symlink_to(hidden)
        ready = self._wait(qemu, self.ready, console, "readiness")
        return f"heartbeat after {heard - began:.1f} s, ready after {ready - began:.1f} s"

    def _start(self, name: str, command: list[str | Path]) -> Program:
        program = self.context.program(name, command)
        self._running.append(program)
        return program

    def _qemu(self, console: Path) -> list[str | Path]:
        memory = f"memory-backend-memfd,id=memory,size={MEMORY},share=on"
        nsm = "vhost-user-test-device,chardev=nsm,virtio-id=33,num_vqs=1,vq_size=64"
        return [
            self.tools.qemu, "-M", "microvm,acpi=on,accel=tcg,memory-backend=memory", "-cpu", "max", "-m", MEMORY,
            "-object", memory, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", f"file:{console}", "-kernel", self.image.kernel, "-initrd", self.image.ramdisk,
            "-append", self.image.command_line,
            "-chardev", f"socket,id=vsock,path={self._vsock_socket}", "-device", "vhost-user-vsock-device,chardev=vsock",
            "-chardev", f"socket,id=nsm,path={self._nsm_socket}", "-device", nsm,
        ]

    def _wait(self, qemu: Program, ready: Callable[[], object], console: Path, what: str) -> float:
        deadline = time.monotonic() + BOOT_LIMIT
        while time.monotonic() < deadline:
            if ready():
                return time.monotonic()
            if (code := qemu.process.poll()) is not None:
                raise Failed(f"the enclave ended with {code} before its {what}: {qemu.end_of_log()}{end(console)}")
            time.sleep(0.02)
        raise Failed(f"no {what} of the enclave within {BOOT_LIMIT:.0f} s: {end(console)}")

    def kill(self) -> None:
        """Ends it without any notice."""
        self.vsock.unlink(missing_ok=True)
        for program in reversed(self._running):
            program.process.send_signal(signal.SIGKILL)
            program.process.wait(5)
            self.context.programs.remove(program)
        self._running.clear()

    def running(self) -> bool:
        return all(program.process.poll() is None for program in self._running)

    def connect(self, port: int, limit: float = 30.0) -> socket.socket:
        """A vsock connection from the parent."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(limit)
        try:
            connection.connect(str(self.vsock))
            connection.sendall(b"CONNECT %d\n" % port)
            answer = b""
            while not answer.endswith(b"\n"):
                byte = connection.recv(1)
                check(byte, f"vsock port {port} is closed")
                answer += byte
            check(answer.startswith(b"OK "), f"vsock port {port}: {answer!r}")
        except (OSError, Failed):
            connection.close()
            raise
        return connection

    def get(self, path: str, port: int = PROXY_PORT, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
        """What is there without STEVE: status and body."""
        with self.connect(port) as connection:
            head = f"{method} {path} HTTP/1.1\r\nHost: enclave\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            answer = b""
            while block := connection.recv(65536):
                answer += block
        head_bytes, _, content = answer.partition(b"\r\n\r\n")
        return int(head_bytes.split()[1]), content

    def ready(self) -> bool:
        try:
            path, port = self.probe
            return self.get(path, port)[0] == 200
        except (OSError, Failed, IndexError, ValueError):
            return False

    def health(self) -> int:
        return self.get(HEALTH)[0]

    def metric(self, name: str) -> float:
        _, text = self.get("/metrics", METRICS_PORT)
        values = [line.split()[-1] for line in text.decode().splitlines() if line.startswith(f"{name} ")]
        check(len(values) == 1, f"metric {name}: {values}")
        return float(values[0])

    def nsm_fails(self, **how: object) -> None:
        """What the NSM does with every request from now on; without arguments: it works."""
        unfinished = self._control.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(how))
        unfinished.rename(self._control)


class Heartbeat:
    """The parent's side of the heartbeat: once."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._heard = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self._listener:
            connection, _ = self._listener.accept()
        with connection:
            if connection.recv(1) == HEARTBEAT:
                connection.sendall(HEARTBEAT)
                self._heard.set()

    def heard(self) -> bool:
        return self._heard.is_set()


def end(console: Path) -> str:
    if not console.exists():
        return ""
    lines = console.read_text(errors="replace").splitlines()[-15:]
    return "\n--- console ---\n" + "\n".join(lines)


def run(command: list[str | Path], limit: float = 60.0) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(word) for word in command], env=plain_environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit
    )
