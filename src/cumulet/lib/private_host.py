"""A host of its own inside this one: a command with private network, mounts and processes, and its own libvirtd.

`python -m cumulet.lib.private_host -- COMMAND…` runs COMMAND in fresh network, mount and process namespaces with an
empty /run, /var/lib/libvirt and /etc/libvirt, a TMPDIR that goes with it, and a libvirtd that it reaches as
qemu:///system. Nothing of it shows outside (`ip link`, `ip netns`, `nft`, `virsh`), and nothing outlives it: the kernel
ends every process of a process namespace together with its first one, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from cumulet.lib.command import run
from cumulet.lib.errors import CumuletError, Failure

SCRATCH_VARIABLE = "CUMULET_PRIVATE_HOST"
"""Set inside, to the scratch directory."""
PID_FILE = Path("/run/cumulet-libvirtd.pid")

_PREFIX = "cumulet-private-"
_LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 0
auth_unix_rw = "none"
unix_sock_group = "root"
"""
# A serial console's file is written by QEMU itself, so that no virtlogd is needed.
_QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
nbd_tls_x509_cert_dir = "/etc/libvirt/nbd"
"""
_PRIVATE_DIRECTORIES = ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")


def run_in_private_host(
    command: Sequence[str], *, grace: float = 60.0, keep_network: bool = False, name: str = ""
) -> int:
    """Run a command to its end in a private host and give its exit status (128 + the signal, as a shell does).

    `keep_network`: in the network namespace of whoever calls, which somebody else has made for it. `name` is in that of
    its scratch directory.

    SIGINT and SIGTERM are passed on to it; `grace` seconds later everything inside is ended by force.
    """
    _remove_orphans()
    scratch = Path(tempfile.mkdtemp(prefix=_PREFIX + name))
    scratch.chmod(0o711)  # servers that are not root must come by here
    lock = os.open(scratch, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    inside = [sys.executable, "-m", "cumulet.lib.private_host", "--inside", str(scratch), "--", *command]
    own = ["--pid", "--fork", "--mount", "--ipc", "--mount-proc", *([] if keep_network else ["--net"])]
    unshare = ["unshare", "--kill-child", *own, "--", *inside]
    # Whoever ends this process by force ends with it all that is inside.
    with_us = ["setpriv", "--pdeathsig", "KILL", "--", *unshare]
    try:
        # A process group of its own, so that a Ctrl-C reaches the command once: through us.
        child = subprocess.Popen(with_us, process_group=0)
        with _passed_on(child, grace):
            status = child.wait()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)
    return status if status >= 0 else 128 - status


def _remove_orphans() -> None:
    """Remove the scratch directories of those who were ended by force: nobody holds their lock."""
    for scratch in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(scratch, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(scratch, ignore_errors=True)
            finally:
                os.close(lock)


@contextlib.contextmanager
def _passed_on(child: subprocess.Popen[bytes], grace: float) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGALRM:
            child.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        signal.setitimer(signal.ITIMER_REAL, grace)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def start_libvirtd(*, timeout: float = 30.0) -> int:
    """Start the private host's libvirtd and wait until it answers; gives its pid. To be called inside."""
    log = Path(os.environ[SCRATCH_VARIABLE]) / "libvirtd.log"
    with log.open("ab") as output:
        libvirtd = subprocess.Popen(
            ["libvirtd", "--config", "/etc/libvirt/libvirtd.conf"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    PID_FILE.write_text(str(libvirtd.pid))
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and libvirtd.poll() is None:
        if run(["virsh", "-q", "-c", "qemu:///system", "version"], check=False, timeout=timeout).returncode == 0:
            return libvirtd.pid
        time.sleep(0.05)
    raise Failure(f"starting a private libvirtd: no answer within {timeout:g} s; it said: {log.read_text()[-2000:]}")


def stop_libvirtd(*, number: int = signal.SIGTERM, timeout: float = 20.0) -> None:
    """Stop the private host's libvirtd and wait until it is gone; guests go on. To be called inside."""
    pid = int(PID_FILE.read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    deadline = time.monotonic() + timeout
    while _is_there(pid):
        if time.monotonic() > deadline:
            raise Failure(f"stopping the private libvirtd (pid {pid}): still there after {timeout:g} s")
        time.sleep(0.02)


def _is_there(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _inside(scratch: Path, command: Sequence[str]) -> int:
    """The first process of the namespaces: collects orphans (libvirt waits for a dead QEMU to be collected)."""
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # The command gets it too, being of the same process group.
        signal.signal(number, lambda number, _: signals.append(number))
    worker = os.fork()
    if worker == 0:
        os._exit(_guarded(lambda: _with_libvirtd(scratch, command, signals)))
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            return os.waitstatus_to_exitcode(status)


def _with_libvirtd(scratch: Path, command: Sequence[str], signals: list[int]) -> int:
    own = scratch / "tmp"
    own.mkdir(mode=0o1777)
    own.chmod(0o1777)
    os.environ |= {SCRATCH_VARIABLE: str(scratch), "TMPDIR": str(own)}
    _mount_privately(scratch)
    run(["ip", "link", "set", "lo", "up"])
    start_libvirtd()
    if signals:
        return 128 + signals[0]
    try:
        status = subprocess.run(command).returncode
    except OSError as e:
        raise Failure(f"running {command[0]} in the private host: {e}") from e
    finally:
        _destroy_domains()
        stop_libvirtd()
    return status if status >= 0 else 128 - status


def _mount_privately(scratch: Path) -> None:
    # -n: no note in /run/mount, which would be the machine's. A fresh /sys shows this network namespace's links.
    run(["mount", "-n", "-t", "sysfs", "sysfs", "/sys"])
    run(["mount", "-n", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    for directory in ("/run/netns", "/run/lock"):
        Path(directory).mkdir()
    for directory in _PRIVATE_DIRECTORIES:
        own = scratch / directory.lstrip("/").replace("/", "-")
        own.mkdir(mode=0o755)
        Path(directory).mkdir(parents=True, exist_ok=True)
        run(["mount", "-n", "--bind", own, directory])
    Path("/etc/libvirt/libvirtd.conf").write_text(_LIBVIRTD_CONF)
    Path("/etc/libvirt/qemu.conf").write_text(_QEMU_CONF)
    Path("/etc/libvirt/nbd").mkdir()  # empty: libvirtd refuses one that is not there


def _destroy_domains() -> None:
    listed = run(["virsh", "-q", "-c", "qemu:///system", "list", "--name"], check=False)
    for name in listed.stdout.split():
        run(["virsh", "-q", "-c", "qemu:///system", "destroy", name], check=False)


def main(arguments: Sequence[str]) -> int:
    """The command line; gives the exit status."""
    match list(arguments):
        case ["--inside", scratch, "--", *command] if command:
            return _inside(Path(scratch), command)
        case ["--keep-network", "--", *command] if command:
            return run_in_private_host(command, keep_network=True)
        case ["--", *command] if command:
            return run_in_private_host(command)
    sys.stderr.write("usage: python -m cumulet.lib.private_host [--keep-network] -- COMMAND [ARGUMENT…]\n")
    return 2


def _guarded(work: Callable[[], int]) -> int:
    try:
        return work()
    except CumuletError as e:
        sys.stderr.write(f"private host: {e}\n")
        return 1


if __name__ == "__main__":
    sys.exit(_guarded(lambda: main(sys.argv[1:])))
