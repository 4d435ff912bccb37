"""The one table of the engine: what is due, who has the lease, how often it was woken."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib.errors import Conflict, Superseded
from cumulet.model.database import Row, Tx
from cumulet.model.schema import metadata, moment, text, whole

work = sa.Table(
    "work",
    metadata,
    text("kind", 20, key=True),
    text("id", 40, key=True),
    moment("due", index=True),
    moment("lease"),
    text("holder", 64),
    whole("epoch"),
    whole("wakes"),
    whole("tries"),
    sa.Column("error", sa.Text, nullable=False, default=""),
)
"""`holder` is the scheduler's host that took it last, for as long as `lease` says."""
_HOLDS_LEASE, _WAKES = 0, 1
"""What is done to a row at the end of a transaction, in this order."""
_FRESH = {"lease": None, "holder": "", "epoch": 0, "tries": 0, "error": ""}


_THIS = sa.and_(work.c.kind == sa.bindparam("of_kind"), work.c.id == sa.bindparam("of_id"))
_MINE = sa.and_(_THIS, work.c.epoch == sa.bindparam("of_epoch"))
_UNWOKEN = sa.and_(_MINE, work.c.wakes == sa.bindparam("of_wakes"))
_NOW: sa.BindParameter[float] = sa.bindparam("now")


def wake(tx: Tx, kind: str, id: str) -> None:
    """Have (kind, id) looked at now; whoever looks at it already will look once more."""
    tx.at_end[kind, id, _WAKES] = partial(_wake, tx, kind, id)


def _wake(tx: Tx, kind: str, id: str) -> None:
    if not tx.change(_WAKE, of_kind=kind, of_id=id, now=tx.now):
        try:
            with tx.attempt():
                tx.insert(work, {"kind": kind, "id": id, "due": tx.now, "wakes": 1, **_FRESH})
        except IntegrityError:  # somebody else was quicker
            tx.change(_WAKE, of_kind=kind, of_id=id, now=tx.now)
    tx.hints[kind, id] = None


_WAKE = work.update().where(_THIS).values(due=_NOW, wakes=work.c.wakes + 1)


def wake_unreached(tx: Tx) -> None:
    """Have all looked at now that wait because somebody did not answer: one who was silent has been heard again."""
    for row in tx.all(_UNREACHED, now=tx.now):
        wake(tx, row.kind, row.id)


_UNREACHED = sa.select(work.c.kind, work.c.id).where(work.c.due > _NOW, work.c.error.startswith("Unreachable"))


def wake_new(tx: Tx, kind: str, ids: list[str], epoch: int = 0) -> None:
    """Have many things looked at that nobody has looked at yet: their rows were made in this transaction.

    The numbers of their leases begin after `epoch`.
    """
    fresh = {**_FRESH, "epoch": epoch}
    tx.insert(work, *({"kind": kind, "id": id, "due": tx.now, "wakes": 1, **fresh} for id in ids))
    tx.hints.update(dict.fromkeys((kind, id) for id in ids))


def rest_new(tx: Tx, kind: str, ids: list[str]) -> None:
    """The same for things that rest until somebody wakes them."""
    tx.insert(work, *({"kind": kind, "id": id, "due": None, "wakes": 0, **_FRESH} for id in ids))


def lease(tx: Tx, holder: str, seconds: float, limit: int, kinds: list[str]) -> list[Row]:
    """Take, for `holder`, what is due and nobody holds, the longest due first.

    Gives kind, id, wakes, tries and the new epoch of each.
    """
    taken = tx.all(_due(tuple(kinds)), now=tx.now, most=limit) if limit > 0 else []
    if taken:
        tx.change(_TAKE, these=[(row.kind, row.id) for row in taken], by=holder, until=tx.now + seconds)
    return taken


def _free_of(kinds: tuple[str, ...]) -> sa.ColumnElement[bool]:
    unheld = sa.or_(work.c.lease.is_(None), work.c.lease < _NOW)
    return sa.and_(unheld, sa.or_(*(work.c.kind == kind for kind in kinds)))


@cache
def _due(kinds: tuple[str, ...]) -> sa.Select[Any]:
    return (
        sa.select(work.c.kind, work.c.id, work.c.wakes, work.c.tries, (work.c.epoch + 1).label("epoch"))
        .where(work.c.due <= _NOW, _free_of(kinds))
        .order_by(work.c.due)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    )


_TAKE = (
    work.update()
    .where(sa.tuple_(work.c.kind, work.c.id).in_(sa.bindparam("these", expanding=True)))
    .values(lease=sa.bindparam("until"), holder=sa.bindparam("by"), epoch=work.c.epoch + 1)
)


def find(tx: Tx, kind: str, id: str) -> Row | None:
    return tx.first(_FIND, of_kind=kind, of_id=id)


_FIND = sa.select(work).where(_THIS)


def hold(tx: Tx, kind: str, id: str, epoch: int) -> None:
    """The transaction ends well only if `epoch` is the newest then; else it raises `Superseded`."""
    tx.at_end[kind, id, _HOLDS_LEASE] = partial(_check, tx, kind, id, epoch)


def _check(tx: Tx, kind: str, id: str, epoch: int) -> None:
    if tx.first(_HOLDS, of_kind=kind, of_id=id, of_epoch=epoch) is None:
        raise Superseded(f"{kind} {id}: lease {epoch} is over")


_HOLDS = sa.select(work.c.epoch).where(_MINE).with_for_update()


def overtake(tx: Tx, kind: str, id: str) -> int:
    """Take the next epoch of (kind, id): whoever runs it now changes nothing any more; gives that epoch."""
    found = find(tx, kind, id)
    epoch = found.epoch if found is not None else 0
    tx.at_end[kind, id, _HOLDS_LEASE] = partial(_overtake, tx, kind, id, epoch)
    return epoch + 1


def _overtake(tx: Tx, kind: str, id: str, epoch: int) -> None:
    if not tx.change(_OVERTAKE, of_kind=kind, of_id=id, of_epoch=epoch):
        raise Conflict(f"{kind} {id} has another lease than {epoch} by now")


_OVERTAKE = work.update().where(_MINE).values(epoch=work.c.epoch + 1, lease=None)


def rest(tx: Tx, kind: str, id: str, epoch: int, wakes: int) -> None:
    """Let go: at rest if nobody woke it meanwhile, else due again at once."""
    mine = {"of_kind": kind, "of_id": id, "of_epoch": epoch}
    if not tx.change(_REST, **mine, of_wakes=wakes):
        tx.change(_COME_AGAIN, **mine, now=tx.now)


_REST = work.update().where(_UNWOKEN).values(due=None, lease=None, tries=0, error="")
_COME_AGAIN = work.update().where(_MINE).values(due=_NOW, lease=None)


def put_off(
    tx: Tx, kind: str, id: str, epoch: int, wakes: int, seconds: float, error: str = "", tries: int = 0
) -> None:
    """Let go, due again after `seconds`, or at once if somebody woke it meanwhile."""
    mine = {"of_kind": kind, "of_id": id, "of_epoch": epoch}
    said = {"now_error": error[:2000], "now_tries": tries}
    if not tx.change(_PUT_OFF, **mine, **said, of_wakes=wakes, now=tx.now + seconds):
        tx.change(_PUT_OFF_WOKEN, **mine, **said, now=tx.now)


_SAID: dict[str, Any] = {"lease": None, "error": sa.bindparam("now_error"), "tries": sa.bindparam("now_tries")}
_PUT_OFF = work.update().where(_UNWOKEN).values(due=_NOW, **_SAID)
_PUT_OFF_WOKEN = work.update().where(_MINE).values(due=_NOW, **_SAID)


def free(tx: Tx, kind: str, id: str, epoch: int) -> None:
    """Let go of what was leased and not run: it is as due as it was."""
    tx.change(_LET_GO, of_kind=kind, of_id=id, of_epoch=epoch)


_LET_GO = work.update().where(_MINE).values(lease=None)


def free_held_by(tx: Tx, holder: str) -> None:
    """This scheduler holds nothing: it has died, or will be refused by number."""
    _free(tx, work.c.holder == holder)


def free_not_held_by(tx: Tx, holders: Collection[str]) -> None:
    """Only these schedulers hold anything."""
    _free(tx, work.c.holder.not_in(holders))


def _free(tx: Tx, whose: sa.ColumnElement[bool]) -> None:
    tx.change(work.update().where(work.c.lease.is_not(None), whose).values(lease=None))


def forget(tx: Tx, kind: str, id: str) -> None:
    """The resource is gone for good: so is its work."""
    tx.at_end.pop((kind, id, _WAKES), None)
    tx.at_end.pop((kind, id, _HOLDS_LEASE), lambda: None)()
    tx.change(work.delete().where(work.c.kind == kind, work.c.id == id))


def next_due(tx: Tx, kinds: list[str]) -> float | None:
    """When the next thing is due that `lease` would take; a time that has passed: it would take it now."""
    due: float | None = tx.value(_next_due(tuple(kinds)), now=tx.now)
    return due


@cache
def _next_due(kinds: tuple[str, ...]) -> sa.Select[Any]:
    return sa.select(work.c.due).where(work.c.due.is_not(None), _free_of(kinds)).order_by(work.c.due).limit(1)
