"""The lease on a host: renewed by its heartbeats, ended when it has been silent for longer than it has promised.

`lease` is its number, `renewed` when a heartbeat with it was heard last, and `fence_seconds` what that promised:
to stop the guests which others can start (0: nothing, so that the lease never ends). `lost` says that it has ended, and
that the host has not taken up the next one yet: nothing runs there by any lease.
"""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model import work
from cumulet.model.database import Row, Tx
from cumulet.model.host import LIVE_SECONDS, find, host, service
from cumulet.model.instance import instance, on_host

MARGIN_SECONDS = 10.0
"""What a host has for stopping its guests when its time is over, and by how much clocks may differ."""


def renew(tx: Tx, name: str, number: int, seconds: float) -> int:
    """A heartbeat with this lease was heard; gives the lease that the host has, another one if that is over.

    A host that comes back after it was forgotten brings its number along.
    """
    row = find(tx, name)
    if row is None:
        return number
    if row.lease == number and not (seconds or row.fence_seconds or row.lost):
        return number
    if tx.change(_RENEW, of=name, number=number, now=tx.now, seconds=seconds):
        if bool(seconds) != bool(row.fence_seconds):
            _wake_guests(tx, name)
        return number
    now = find(tx, name)
    return int(now.lease) if now is not None else number


def renew_again(tx: Tx, names: list[str], number: int, seconds: float) -> bool:
    """The same for several hosts whose heartbeats say what they have said before; whether it is so of all of them."""
    values = {"these": names, "number": number, "now": tx.now, "seconds": seconds}
    return tx.change(_RENEW_AGAIN, **values) == len(names)


def _wake_guests(tx: Tx, name: str) -> None:
    """They run by the lease from now on, or come what may."""
    for row in on_host(tx, name):
        work.wake(tx, "instance", row.id)


_RENEW = (
    host.update()
    .where(host.c.name == sa.bindparam("of"), host.c.lease <= sa.bindparam("number"))
    .values(
        lease=sa.bindparam("number"),
        lost=False,
        renewed=sa.bindparam("now"),
        fence_seconds=sa.bindparam("seconds"),
    )
)

_RENEW_AGAIN = (
    host.update()
    .where(
        host.c.name.in_(sa.bindparam("these", expanding=True)),
        host.c.lease == sa.bindparam("number"),
        host.c.fence_seconds > 0,
        sa.not_(host.c.lost),
    )
    .values(renewed=sa.bindparam("now"), fence_seconds=sa.bindparam("seconds"))
)


def seconds_left(tx: Tx, row: Row) -> float | None:
    """How long it is until the host's lease ends; None: it does not, or nobody can tell that it is the host's silence.

    Silence counts only while another host is heard: else it is the control plane that does not hear.
    """
    if not row.fence_seconds:
        return None
    others = sa.and_(service.c.role == "compute", service.c.host != row.name, service.c.heard > tx.now - LIVE_SECONDS)
    witnessed = tx.value(sa.select(sa.func.min(service.c.since)).where(others))
    if witnessed is None:
        return None
    silent_since = max(row.renewed, float(witnessed))
    return float(silent_since + row.fence_seconds + MARGIN_SECONDS - tx.now)


def overdue(tx: Tx) -> list[Row]:
    """The hosts whose leases are over, or would be if it was they who are silent."""
    return tx.all(_OVERDUE, now=tx.now - MARGIN_SECONDS)


_OVERDUE = sa.select(host).where(
    sa.or_(
        host.c.lost,
        sa.and_(host.c.fence_seconds > 0, host.c.renewed + host.c.fence_seconds <= sa.bindparam("now")),
    )
)


def end(tx: Tx, row: Row) -> bool:
    """End the lease of a host that has been silent for too long; whether it is over.

    One update of the row that heartbeats renew, so that it is either renewed or over.
    """
    left = seconds_left(tx, row)
    if row.lost or left is None or left > 0:
        return bool(row.lost)
    mine = sa.and_(host.c.name == row.name, host.c.lease == row.lease, host.c.renewed <= row.renewed)
    ended = host.update().where(mine, sa.not_(host.c.lost))
    return tx.change(ended.values(lease=host.c.lease + 1, lost=True)) == 1


def bars(place: Row, guest: Row) -> str:
    """Why an instance waits for its host when that is lost; empty: it is started on another one."""
    if guest.attributes.get("AutoRecovery", "default") == "disabled":
        return "its AutoRecovery is disabled"
    if not place.fence_seconds:
        return f"{place.name} does not stop it then (the setting fence_seconds)"
    if not place.store:
        return f"its disks are on {place.name} alone (the setting volume_dir)"
    return ""


def silent(tx: Tx, *conditions: sa.ColumnElement[bool]) -> dict[str, Row]:
    """The instances (of those that the conditions say) that are to run on a host which is not heard.

    By id a row that is both `bars` arguments, with `heard`: when the host was heard last.
    """
    unheard = service.c.heard <= tx.now - LIVE_SECONDS
    mine = sa.and_(instance.c.desired == "running", service.c.role == "compute", unheard)
    columns = instance.c.id, instance.c.attributes, host.c.name, host.c.fence_seconds, host.c.store, service.c.heard
    query = sa.select(*columns).join(host, host.c.name == instance.c.host)
    query = query.join(service, service.c.host == host.c.name).where(mine, *conditions)
    return {row.id: row for row in tx.all(query)}
