"""Whether KVM can be used: shown by a guest that runs under it, for `/dev/kvm` can exist and hang every guest.

The guest is one boot sector that writes a byte to a debug port and halts; QEMU's exit device then ends it. What was
found is kept for as long as the host is up.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from cumulet.lib.command import run
from cumulet.lib.errors import Failure

SECONDS = 5.0
SLOWER = 3.0
# mov al, 1; out 0xf4, al: QEMU's isa-debug-exit device ends with status 2 * 1 + 1; 1 would be QEMU's own complaint
_PROGRAM = bytes.fromhex("b001 e6f4 f4 ebfd")
_ENDED_BY_GUEST = 3


def kvm_works(kept: Path | None = None) -> bool:
    """Whether a guest runs under KVM, and not slower than emulated; the answer is kept in the file `kept`, if given."""
    if kept is not None and kept.exists():
        return kept.read_text() == "yes"
    works = Path("/dev/kvm").exists() and _is_worth_it(seconds_of_guest("kvm"), seconds_of_guest("tcg"))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text("yes" if works else "no")
    return works


def _is_worth_it(kvm: float | None, tcg: float | None) -> bool:
    """A KVM that takes many times as long for a few instructions (nested, or traced) hangs a whole kernel."""
    return kvm is not None and (tcg is None or kvm < max(1.0, SLOWER * tcg))


def seconds_of_guest(accelerator: str) -> float | None:
    """The seconds in which QEMU runs the guest to its end with this accelerator (kvm, tcg); None: it does not."""
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(_PROGRAM.ljust(510, b"\0") + b"\x55\xaa")
        disk.flush()
        command = ["qemu-system-x86_64", "-accel", accelerator, "-display", "none", "-nodefaults", "-no-reboot"]
        command += ["-m", "16", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        command += ["-drive", f"file={disk.name},format=raw,if=ide"]
        begun = time.monotonic()
        try:
            ended = run(command, timeout=SECONDS, check=False).returncode
        except Failure:
            return None
        return time.monotonic() - begun if ended == _ENDED_BY_GUEST else None
