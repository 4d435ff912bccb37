"""What is asked of a tgtd, as tgtadm asks it, over its Unix socket: a request of 120 bytes, then parameters as text.

tgtadm itself takes a CHAP secret on its command line, which every user of the host can read. The layout is that of
usr/tgtadm.h in tgt's source; a tgtd with another one refuses what it does not understand.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from pathlib import Path

from cumulet.lib.errors import Failure

NO_TARGET, USER_EXISTS, NO_USER = 4, 14, 15
"""What tgtd answers of what is not there, or there already."""
_BUSY = 20
_SECONDS = 10.0
_REQUEST = struct.Struct("=II64sIiQQIIIIII")
_ANSWER = struct.Struct("=II")
_NO_LUN = (1 << 64) - 1


class Busy(Failure):
    """A disk has a command under way, which is not taken from it by force either: it is there still."""


class Mode(IntEnum):
    """What is asked about."""

    SYSTEM = 0
    TARGET = 1
    UNIT = 2
    PORTAL = 3
    ACCOUNT = 7


class Op(IntEnum):
    """What is to be done with it."""

    NEW = 0
    DELETE = 1
    SHOW = 2
    BIND = 3
    UPDATE = 5


def ask(
    path: Path,
    mode: Mode,
    op: Op,
    parameters: str = "",
    *,
    target: int = -1,
    unit: int | None = None,
    accept: tuple[int, ...] = (),
) -> str:
    """What the tgtd whose socket is at `path` answers; deleting is by force.

    Raises `Failure` with the number of its error unless that is one to `accept`, `Busy` for one of them, and `OSError`
    where none listens.
    """
    text = parameters.encode() + b"\0" if parameters else b""
    lun = _NO_LUN if unit is None else unit
    force = int(op == Op.DELETE and mode == Mode.TARGET)
    head = (mode, op, b"iscsi", _REQUEST.size + len(text), target, 0, lun, 0, 0, 0, 0, 0, force)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        connection.sendall(_REQUEST.pack(*head) + text)
        with connection.makefile("rb") as answers:
            answer = answers.read(_ANSWER.size)
            if len(answer) < _ANSWER.size:
                raise Failure(f"tgtd: {op.name} of {mode.name}: it has ended before it answered")
            error, length = _ANSWER.unpack(answer)
            said = answers.read(length - _ANSWER.size).decode(errors="replace")
    if error and error not in accept:
        refused = Busy if error == _BUSY else Failure
        raise refused(f"tgtd: {op.name} of {mode.name} {target if target >= 0 else ''}: its error {error}")
    return said.rstrip("\0")
