"""Images of the parts that are shipped, and what `eif_build` says that they measure."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import check, plain_environment

ROOT = Path(__file__).parents[3]
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


def init_configuration(environment: dict[str, str]) -> str:
    proxy = {
        "command": ["/usr/bin/steve-proxy", "serve", "--listen", f"127.0.0.1:{PROXY_PORT}"],
        "environment": {
            "STEVE_VSOCK_PORT": str(PROXY_PORT),
            "STEVE_METRICS_VSOCK_PORT": str(METRICS_PORT),
            "STEVE_MEMORY_BUDGET": str(MEMORY_BUDGET),
            **environment,
        },
    }
    heartbeat = {"cid": PARENT_CID, "port": HEARTBEAT_PORT}
    app = {"command": ["/usr/bin/app"]}
    return json.dumps({"modules": MODULES, "heartbeat": heartbeat, "proxy": proxy, "app": app}, indent=2)


def emulated(configuration: str) -> str:
    """A configuration of init for Nitro, as this machine needs it."""
    settings = json.loads(configuration)
    settings["modules"] = MODULES
    settings["heartbeat"]["cid"] = PARENT_CID
    return json.dumps(settings, indent=2)


def build(parts: Parts, work: Path, name: str, **environment: str) -> Image:
    """Makes an image, as deploy/README.md says, with more settings of the proxy."""
    return pack(parts, work / name, init_configuration(environment))


def pack(parts: Parts, folder: Path, init: str, more: Sequence[str | Path] = ()) -> Image:
    """Makes an image in a new folder, with this configuration of init and more options of image.sh."""
    folder.mkdir()
    configuration, ramdisk = folder / "init.json", folder / "initramfs.cpio.gz"
    configuration.write_text(init)
    files = ["--init", parts.init, "--proxy", parts.proxy, "--app", parts.app, "--modules", parts.modules, *more]
    run([ROOT / "deploy/image.sh", *files, "--config", configuration, "--out", ramdisk])
    line, eif, measurements = command_line(), folder / "enclave.eif", folder / "measurements.json"
    kernel = ["--arch", "x86_64", "--kernel", parts.kernel, "--kernel_config", parts.kernel_config, "--cmdline", line]
    output = run([parts.eif_build, *kernel, "--ramdisk", ramdisk, "--output", eif])
    # A line, then JSON.
    measurements.write_text(output[output.index("{"):])
    return Image(parts.kernel, ramdisk, line, measurements, eif.stat().st_size)


def run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, env=plain_environment(), capture_output=True, text=True, timeout=60)
    check(done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}")
    return done.stdout
