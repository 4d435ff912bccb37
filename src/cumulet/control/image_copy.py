"""What must be true of a copy of an image file on another host: it is there, the same to the last byte, or gone."""

from __future__ import annotations

import msgspec

from cumulet.control import image_room, lost
from cumulet.drivers.specs import ImageFileSpec
from cumulet.engine.engine import Remote, Run
from cumulet.lib.errors import Failure, Impossible, Later
from cumulet.lib.image_link import ImageLink
from cumulet.lib.log import Log
from cumulet.model import Tx, host, image, image_copy, work
from cumulet.model.database import Row

log = Log("images")
FETCH_SECONDS = 0.5
"""Between two looks at how far the fetching is."""
AWAIT_SECONDS = 5.0
"""Whoever waits for a copy is woken when it is there; this is for a wake that was lost."""


def await_copy(run: Run, file: str, place: str) -> None:
    """Something could not be made on this host of an image file: have a copy there; ends in `Later` if that is it.

    Where the host is the file's own, or shares its directory of images with it, the file itself is looked at.
    """
    with run.write() as tx:
        row = image_copy.want(tx, file, place)
        if row is None or row.state == "available":
            work.wake(tx, "image_file", file)
    if row is not None and row.state != "available":
        raise Later(AWAIT_SECONDS, f"its image is on its way to {place}{f': {row.stage}' if row.stage else ''}")


def look_again(tx: Tx, file: str, place: str) -> None:
    """The image file may be lost, or what the host has of it: the next sweep of images would be long to wait for."""
    work.wake(tx, "image_file", file)
    image_copy.wake_at(tx, file, place)


def await_boot(run: Run, row: Row, place: str) -> None:
    """What an instance boots from is on that host too; ends in `Later` until it is."""
    images = run.driver("image", place)
    for file in sorted(set(filter(None, boots_from(row)))):
        if images.look(file) is None:
            await_copy(run, file, place)


def boots_from(row: Row) -> tuple[str | None, str | None]:
    """The image files of the kernel and of the initial RAM disk that an instance boots with."""
    if row.boot != "kernel":
        return None, None
    return (row.kernel_file, row.ramdisk_file or None) if row.kernel_file else (row.image_file, row.image_file)


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = image_copy.find(tx, id)
        file = image.file(tx, row.image_file) if row is not None else None
        is_used = row is not None and row.desired == "absent" and image_copy.is_used(tx, row.image_file, row.host)
    if row is None:
        with run.write() as tx:
            work.forget(tx, "image_copy", id)
    elif file is None or file.desired == "absent":
        _remove(run, row, for_good=True)
    elif row.desired == "absent" and not is_used:
        _remove(run, row)
    elif row.desired == "absent":
        with run.write() as tx:
            image_copy.keep_after_all(tx, row)
        raise Later(0.0, "it is in use again")
    else:
        _make(run, row, file)


def _make(run: Run, row: Row, file: Row) -> None:
    if file.state != "available":
        raise Later(FETCH_SECONDS, f"the image file {file.id} is {file.state}")
    driver = run.driver("image", row.host)
    if _shares(driver, row):
        _forget_shared(run, row)
        return
    if driver.look(file.id) is None:
        _fetch(run, row, file, driver)
    with run.write() as tx:
        if image_copy.say(tx, row, state="available"):
            image_copy.wake_waiting(tx, row)


def _fetch(run: Run, row: Row, file: Row, driver: Remote) -> None:
    """Returns when it is there; ends in `Later` while it is on its way."""
    found = msgspec.json.decode(driver.ask("progress", file.id))
    if not found:
        image_room.make(run, row, file, driver)
        spec = ImageFileSpec(id=file.id, source="", format=file.facts["format"], sha256=file.facts["sha256"] or None)
        driver.ensure(msgspec.structs.replace(spec, link=_link(run, row, file)))
        found = msgspec.json.decode(driver.ask("progress", file.id))
    if not found and driver.look(file.id) is not None:
        return
    stage = f"{found.get('stage', 'pending')}, {found.get('percent', 0)} %"
    if stage != row.stage:
        with run.write() as tx:
            image_copy.say(tx, row, state="pending", stage=stage)
    raise Later(FETCH_SECONDS, stage)


def _link(run: Run, row: Row, file: Row) -> ImageLink:
    """To the first copy, or where its host is silent to another one; raises `Failure` where nobody gives it."""
    with run.read() as tx:
        heard = host.usable(tx, "image")
        others = [copy.host for copy in image_copy.of_file(tx, file.id) if copy.state == "available"]
    sources = [name for name in (file.host, *others) if name in heard and name != row.host]
    if not sources:
        raise Failure(f"no host is heard that has the image file {file.id}: it is on {', '.join([file.host, *others])}")
    try:
        said = run.driver("image", sources[0]).ask("link", file.id)
    except Failure:
        with run.write() as tx:
            work.wake(tx, "image_file", file.id)  # the first copy may be lost
        raise
    return msgspec.json.decode(said, type=ImageLink)


def _shares(driver: Remote, row: Row) -> bool:
    """Whether the host has all image files that there are, in one directory with others: nothing there is a copy.

    An agent one version back knows nothing else.
    """
    try:
        return bool(msgspec.json.decode(driver.ask("shared", row.image_file)))
    except Failure as e:
        if "has no question" in str(e):
            return True
        raise


def _forget_shared(run: Run, row: Row) -> None:
    """There is no copy; the file itself may be missing."""
    with run.write() as tx:
        image_copy.let_go(tx, row)
        image_copy.forget(tx, row)
        work.forget(tx, "image_copy", row.id)
        work.wake(tx, "image_file", row.image_file)


def _remove(run: Run, row: Row, *, for_good: bool = False) -> None:
    """`for_good`: the image goes; its file waits for all of its copies to be gone."""
    if for_good and row.desired != "absent":
        with run.write() as tx:
            image_copy.let_go(tx, row)
    if not lost.is_lost(run, row.host) and _shares(run.driver("image", row.host), row):
        log.info("what hosts share is no copy, and stays", file=row.image_file, host=row.host)
    else:
        lost.remove(run, "image", row.host, row.image_file)
    with run.write() as tx:
        if not image_copy.forget(tx, row):
            raise Later(0.0, "it is wanted again")
        work.forget(tx, "image_copy", row.id)
        if for_good:
            work.wake(tx, "image_file", row.image_file)


def let_go_all(tx: Tx, file: str) -> list[str]:
    """All copies of an image file are to go; gives the hosts that still have one."""
    rows = image_copy.of_file(tx, file)
    for row in rows:
        work.wake(tx, "image_copy", row.id)
    return [row.host for row in rows]


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """What was taken in once is not refused for good on another host."""
    raise Failure(f"the copy {id} cannot be made: {reason}")
