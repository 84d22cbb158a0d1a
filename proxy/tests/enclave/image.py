"""Images: two initial RAM file systems, as in an EIF, and what `eif_build` says that they measure."""

from __future__ import annotations

import gzip
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness import check, plain_environment

# In the order in which they need each other.
MODULES = ["vsock.ko", "vmw_vsock_virtio_transport_common.ko", "vmw_vsock_virtio_transport.ko", "virtio_mmio.ko", "nsm.ko"]
# The parent as vhost-device-vsock has it. On Nitro it is CID 3.
PARENT_CID = 2
HEARTBEAT_PORT = 9000
PROXY_PORT = 8080
METRICS_PORT = 9100
MEMORY_BUDGET = 160 << 20


@dataclass
class Parts:
    """What images are made of."""

    kernel: Path
    kernel_config: Path
    modules: Path
    init: Path
    proxy: Path
    app: Path
    eif_build: str


@dataclass
class Image:
    kernel: Path
    ramdisk: Path
    command_line: str
    # JSON as `eif_build` prints it: what clients pin, and what the NSM attests.
    measurements: Path
    size: int

    def pcrs(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.measurements.read_text())
        return {name: value for name, value in found.items() if name.startswith("PCR")}


def command_line() -> str:
    """The kernel's. Emulated, it would take the time stamp counter's frequency for unstable."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    mhz = next(line.split(":")[1] for line in cpuinfo.splitlines() if line.startswith("cpu MHz"))
    return f"console=ttyS0 quiet reboot=t panic=1 random.trust_cpu=on tsc_early_khz={int(float(mhz) * 1000)}"


def init_configuration(budget: int) -> str:
    proxy = {
        "command": ["/usr/bin/steve-proxy", "serve", "--listen", f"127.0.0.1:{PROXY_PORT}"],
        "environment": {
            "STEVE_VSOCK_PORT": str(PROXY_PORT),
            "STEVE_METRICS_VSOCK_PORT": str(METRICS_PORT),
            "STEVE_MEMORY_BUDGET": str(budget),
        },
    }
    heartbeat = {"cid": PARENT_CID, "port": HEARTBEAT_PORT}
    app = {"command": ["/usr/bin/example-app"]}
    return json.dumps({"modules": MODULES, "heartbeat": heartbeat, "proxy": proxy, "app": app}, indent=2)


def build(parts: Parts, work: Path, name: str, budget: int = MEMORY_BUDGET) -> Image:
    """Makes an image. Its first file system has what boots it, the second what it is for."""
    folder = work / name
    folder.mkdir()
    boot = Archive()
    for directory in ["dev", "proc", "sys", "tmp", "run", "lib", "lib/modules"]:
        boot.directory(directory)
    # The kernel opens it for PID 1, before anything is mounted.
    boot.console()
    boot.file("init", parts.init.read_bytes(), 0o755)
    for module in MODULES:
        boot.file(f"lib/modules/{module}", (parts.modules / module).read_bytes(), 0o644)
    rest = Archive()
    for directory in ["etc", "etc/steve", "usr", "usr/bin"]:
        rest.directory(directory)
    rest.file("etc/steve/init.json", init_configuration(budget).encode(), 0o644)
    rest.file("usr/bin/steve-proxy", parts.proxy.read_bytes(), 0o755)
    rest.file("usr/bin/example-app", parts.app.read_bytes(), 0o755)

    ramdisks = []
    for number, archive in enumerate([boot, rest]):
        ramdisks.append(folder / f"ramdisk{number}.gz")
        ramdisks[-1].write_bytes(archive.compressed())
    line = command_line()
    eif = folder / "enclave.eif"
    command = [parts.eif_build, "--arch", "x86_64", "--kernel", parts.kernel, "--kernel_config", parts.kernel_config]
    command += ["--cmdline", line, "--output", eif]
    for ramdisk in ramdisks:
        command += ["--ramdisk", ramdisk]
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, timeout=60)
    check(done.returncode == 0 and "{" in done.stdout, f"eif_build: {done.stdout}{done.stderr}")
    measurements = folder / "measurements.json"
    measurements.write_text(done.stdout[done.stdout.index("{"):])
    # One after the other is how a loader hands them to the kernel.
    whole = folder / "ramdisk.gz"
    whole.write_bytes(b"".join(ramdisk.read_bytes() for ramdisk in ramdisks))
    return Image(parts.kernel, whole, line, measurements, eif.stat().st_size)


class Archive:
    """A cpio archive in the format that the kernel unpacks (Documentation/driver-api/early-userspace)."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.entries = 0

    def directory(self, name: str) -> None:
        self._entry(name, 0o040755)

    def file(self, name: str, data: bytes, mode: int) -> None:
        self._entry(name, 0o100000 | mode, data)

    def console(self) -> None:
        self._entry("dev/console", 0o020600, device=(5, 1))

    def _entry(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self.entries += 1
        path = name.encode() + b"\0"
        fields = [self.entries, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0]
        self.content += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self._pad()
        self.content += data
        self._pad()

    def _pad(self) -> None:
        self.content += bytes(-len(self.content) % 4)

    def compressed(self) -> bytes:
        self._entry("TRAILER!!!", 0)
        return gzip.compress(bytes(self.content), 1, mtime=0)
