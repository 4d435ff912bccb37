"""A guest of the distribution's own kernel, emulated, in which commands of this machine run as root.

It sees this machine's files, read-only (virtiofs), and has disks of its own and kernel modules that this machine may
not have. What its one command says is read from its console. It has no network, but for a wire to another such guest.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from support.libvirtd import bounded

from cumulet.drivers.image.cpio import Archive
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

_VIRTIOFSD = "/usr/lib/qemu:/usr/libexec:/usr/lib/virtiofsd"
_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]
_MIB = 1 << 20
_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
set -e
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox mount -t virtiofs -o ro files /files
/bin/busybox mount -t tmpfs run /files/run
/bin/busybox mount -t proc proc /files/proc
/bin/busybox mount -t sysfs sys /files/sys
/bin/busybox mount --move /dev /files/dev
/bin/busybox mkdir -p /files/run/lock /files/dev/shm
/bin/busybox cp /command /files/run/command
set +e
cd /files
/bin/busybox mount --move . /
/bin/busybox chroot . /bin/sh /run/command
echo "The command has ended: $?"
/bin/busybox poweroff -f
"""
"""The files become the root of the mount namespace: whoever enters another one, made of it, has them as well."""
_ENDED = "The command has ended: "


class Wire(NamedTuple):
    """The guest's eth0: its frames go from one UDP port of the loopback to another, where another guest has its end."""

    mac: str
    here: int
    there: int

    def options(self) -> list[str]:
        ends = f"udp=127.0.0.1:{self.there},localaddr=127.0.0.1:{self.here}"
        return ["-netdev", f"socket,id=wire,{ends}", "-device", f"virtio-net-pci,netdev=wire,mac={self.mac},romfile="]


def run_in_guest(
    script: str,
    *,
    tiny: Path,
    modules: Sequence[str],
    disks: Sequence[int] = (),
    seconds: float,
    wire: Wire | None = None,
) -> str:
    """What a script of /bin/sh says, in a guest with these modules and empty disks (/dev/vda …) of so many GiB.

    It may write to /run, /dev and its disks. Raises `AssertionError` with what it said where it fails.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cumulet-guest-")))
        initrd, console = directory / "initrd", directory / "console"
        initrd.write_bytes(_initrd(script, _package(tiny), modules, directory))
        server = stack.enter_context(
            subprocess.Popen([*_WITH_US, *_files_command(directory)], stderr=subprocess.DEVNULL)
        )
        stack.callback(server.kill)
        for _ in bounded(10):
            if (directory / "files").exists():
                break
        files = [_disk(directory / f"disk{number}", gib) for number, gib in enumerate(disks)]
        with suppress(Failure):  # what it said until then says more
            command = _guest_command(directory, tiny / "kernel", initrd, console, files)
            run([*_WITH_US, *command, *(wire.options() if wire else [])], timeout=seconds)
        said = console.read_text(errors="replace")
    assert f"{_ENDED}0" in said, said[-8000:]
    return said


def _package(tiny: Path) -> Path:
    """The kernel's package, of which the tiny image has been made."""
    return next(iter((tiny / "packages").glob("linux-*.deb")))


def _initrd(script: str, package: Path, modules: Sequence[str], scratch: Path) -> bytes:
    archive = Archive()
    for path in ("bin", "dev", "files", "modules"):
        archive.directory(path)
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", Path(shutil.which("busybox") or "").read_bytes(), 0o755)
    archive.file("init", _INIT.encode(), 0o755)
    archive.file("command", script.encode())
    order = _modules(package, ["virtio_pci", "virtio_blk", "virtiofs", *modules], scratch / "kernel")
    for file in order:
        archive.file(f"modules/{file.name}", file.read_bytes())
    archive.file("modules/order", "".join(f"{file.name}\n" for file in order).encode())
    return archive.finished()


def _modules(package: Path, wanted: Sequence[str], unpacked: Path) -> list[Path]:
    """The files of modules and of what they need, in the order in which they are loaded."""
    run(["dpkg-deb", "-x", package, unpacked], timeout=120)
    (version,) = (one.name for one in (unpacked / "lib/modules").iterdir())
    run(["depmod", "-b", unpacked, version], timeout=120)
    order: dict[Path, None] = {}
    for name in wanted:
        shown = run(["modprobe", "-d", unpacked, "-S", version, "--show-depends", name]).stdout
        order |= {Path(line.split()[1]): None for line in shown.splitlines() if line.startswith("insmod ")}
    return list(order)


def has_files_server() -> bool:
    """Whether this machine can show a guest its files."""
    return shutil.which("virtiofsd", path=_VIRTIOFSD) is not None


def _files_command(directory: Path) -> list[str]:
    program = shutil.which("virtiofsd", path=_VIRTIOFSD) or ""
    return [program, f"--socket-path={directory / 'files'}", "-o", "source=/", "-o", "cache=always,sandbox=chroot"]


def _disk(file: Path, gib: int) -> Path:
    with file.open("wb") as made:
        made.truncate(gib << 30)
    return file


def _guest_command(
    directory: Path, kernel: Path, initrd: Path, console: Path, disks: Sequence[Path]
) -> list[str | Path]:
    shared = f"memory-backend-memfd,id=memory,size={2048 * _MIB},share=on"
    words: list[str | Path] = [
        "qemu-system-x86_64",
        "-machine",
        "q35,memory-backend=memory",
        "-object",
        shared,
        "-m",
        "2048",
    ]
    words += ["-accel", "tcg,tb-size=256", "-cpu", "max", "-smp", "2", "-nodefaults", "-display", "none", "-no-reboot"]
    words += ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1"]
    words += ["-serial", f"file:{console}", "-device", "virtio-rng-pci"]
    words += ["-chardev", f"socket,id=files,path={directory / 'files'}"]
    words += ["-device", "vhost-user-fs-pci,chardev=files,tag=files"]
    for disk in disks:
        words += ["-drive", f"file={disk},format=raw,if=virtio,discard=unmap,detect-zeroes=unmap,cache=unsafe"]
    return words
