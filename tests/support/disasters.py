"""What can befall a private host: its reboot, a full disk, a program that is not there any more."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cumulet.demo.process import CloudProcess, make_world, until
from cumulet.lib.command import run
from cumulet.lib.private_host import SCRATCH_VARIABLE, start_libvirtd

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def scratch(name: str) -> Path:
    """A directory of the private host, new."""
    made = Path(os.environ[SCRATCH_VARIABLE]) / name
    made.mkdir(mode=0o755)
    return made


def reboot(cloud: CloudProcess) -> None:
    """Everything that is not on a disk ends at once; the host starts with another boot id, libvirtd and the cloud."""
    cloud.stop(signal.SIGKILL)
    _end_all_processes()
    _forget_network()
    _forget_run()
    _change_boot_id()
    make_world()
    start_libvirtd()
    cloud.start()


def _end_all_processes() -> None:
    """All of the private host's but this one and those that have started it."""
    spared, pid = {1}, os.getpid()
    while pid > 1:
        spared.add(pid)
        pid = _parent(pid)
    others = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()} - spared
    for pid in others:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(_is_there, others)), 20, f"all processes to end: {others}")


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _is_there(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return _stat(pid)[0] != "Z"
    return False


def _stat(pid: int) -> list[str]:
    """State, parent and so on (proc_pid_stat(5)); the name before them may have blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _forget_network() -> None:
    for name in run(["ip", "netns", "list"]).stdout.splitlines():
        run(["ip", "netns", "delete", name.split()[0]])
    for line in run(["ip", "-br", "link", "show"]).stdout.splitlines():
        link = line.split()[0].partition("@")[0]
        if link != "lo":
            run(["ip", "link", "delete", link], check=False)  # a pair of them goes with either
    run(["nft", "flush", "ruleset"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")


def _forget_run() -> None:
    run(["umount", "-n", "-l", "/run"])
    run(["mount", "-n", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    for directory in ("/run/netns", "/run/lock"):
        Path(directory).mkdir()


def _change_boot_id() -> None:
    file = Path(os.environ[SCRATCH_VARIABLE]) / f"boot-id-{uuid.uuid4()}"
    file.write_text(f"{uuid.uuid4()}\n")
    run(["mount", "-n", "--bind", file, _BOOT_ID])


@contextmanager
def small_disk(directory: Path, mib: int) -> Iterator[Disk]:
    """A file system of this size at `directory`, which is empty."""
    run(["mount", "-n", "-t", "tmpfs", "-o", f"size={mib}M,mode=755", "tmpfs", directory])
    yield Disk(directory)
    run(["umount", "-n", "-l", directory])


class Disk:
    """A file system that can be filled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Not one byte is free any more."""
        ballast = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            with suppress(OSError):
                while True:
                    os.write(ballast, bytes(1 << 20))
            yield
        finally:
            os.close(ballast)
            self._ballast.unlink()


class Programs:
    """Some programs of the private host, each of which can be taken away for a while."""

    def __init__(self, *names: str) -> None:
        self._files = {name: Path(shutil.which(name) or f"/missing/{name}").resolve() for name in names}
        for directory in {file.parent for file in self._files.values()}:
            _make_our_own(directory)
        for name in names:
            self.put_back(name)

    def take_away(self, name: str) -> None:
        """As if its package had been removed."""
        run(["umount", "-n", "-l", self._files[name]])
        self._files[name].unlink()

    def put_back(self, name: str) -> None:
        """It is mounted where it was, not linked: QEMU looks for its files beside itself."""
        file = self._files[name]
        file.unlink(missing_ok=True)
        file.touch()
        run(["mount", "-n", "--bind", _real(file.parent) / file.name, file])


def _real(directory: Path) -> Path:
    return Path(os.environ[SCRATCH_VARIABLE]) / str(directory).strip("/").replace("/", "-")


def _make_our_own(directory: Path) -> None:
    """A directory of the machine's is one of links in this host, which can be removed without harm."""
    real = _real(directory)
    real.mkdir()
    run(["mount", "-n", "--bind", directory, real])
    links = {entry.name: entry.readlink() if entry.is_symlink() else real / entry.name for entry in real.iterdir()}
    run(["mount", "-n", "-t", "tmpfs", "-o", "mode=755", "tmpfs", directory])
    for name, target in links.items():
        (directory / name).symlink_to(target)
