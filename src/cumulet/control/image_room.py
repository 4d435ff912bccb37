"""Room for image files on the hosts that fetch them: where it gets short, copies go that have been unused the longest.

A part of the file system stays free (`image_copy_free_percent`), since volumes grow there too. A copy that is in use,
or was fetched ahead, stays however short it is.
"""

from __future__ import annotations

import msgspec

from cumulet.engine.engine import Remote, Run
from cumulet.lib.errors import Failure, Later
from cumulet.lib.log import Log
from cumulet.model import image_copy
from cumulet.model.database import Row

log = Log("images")
AWAIT_SECONDS = 1.0


def keep(run: Run, host: str, images: Remote) -> None:
    """Once in a while, for a host that has any copies."""
    with run.read() as tx:
        if not image_copy.has_any(tx, host):
            return
    with run.write() as tx:
        image_copy.note_used(tx, host)
    _short(run, host, images, 0)


def make(run: Run, row: Row, file: Row, images: Remote) -> None:
    """For a copy that is to be fetched; ends in `Later` while it does not fit, and others are on their way out."""
    size = file.facts.get("size", 0)
    short = _short(run, row.host, images, size)
    if short is None or short.free >= size:
        return
    with run.read() as tx:
        going = image_copy.going_size(tx, row.host)
    if going:
        raise Later(AWAIT_SECONDS, f"making room for it on {row.host}")


class _Room(msgspec.Struct):
    """Of the file system that a host's image files are in, in bytes."""

    size: int
    free: int


def _short(run: Run, host: str, images: Remote, more: int) -> _Room | None:
    """Let go of what is needed for `more` bytes beside what stays free; gives the room there was.

    None where nothing is to stay free, or the host cannot say: an agent one version back does not know the question.
    """
    share = run.settings.image_copy_free_percent / 100
    if not share:
        return None
    try:
        room = msgspec.json.decode(images.ask("room", host), type=_Room)
    except Failure as e:
        if "has no question" in str(e):
            return None
        raise
    lacking = more + int(room.size * share) - room.free
    if lacking > 0:
        with run.write() as tx:
            gone = image_copy.let_go_for_room(tx, host, lacking)
        for file in gone:
            log.info("a copy goes to make room", file=file, host=host, free=room.free)
    return room
