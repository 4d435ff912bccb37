"""Capacity: what of its vCPUs, memory and disk a host has promised, counted on the host's own row.

A promise is one conditional update, so it holds however many schedulers make promises at once. An instance's vCPUs and
memory are promised while it is `claimed`, and on both hosts while it moves live; a volume's disk from when its host is
written down until its row is deleted, and on both hosts while it is moved.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from cumulet.lib.config import Config
from cumulet.lib.contract import NEWEST, OLDEST
from cumulet.model.database import Row, Tx
from cumulet.model.host import LIVE_SECONDS, host, promises, service
from cumulet.model.instance import instance
from cumulet.model.volume import begin_move, volume
from cumulet.model.work import wake


class Amount(NamedTuple):
    """vCPUs, MiB of memory and GiB of disk."""

    vcpus: float
    memory_mib: float
    disk_gib: float


NOTHING = Amount(0, 0, 0)


def limits(row: Row, config: Config) -> Amount:
    """The most that a host may promise."""
    return Amount(
        row.vcpus * config.vcpu_overcommit,
        row.memory_mib * config.memory_overcommit,
        row.disk_gib * (1 if row.disk_exact else config.disk_overcommit),
    )


def claim(tx: Tx, name: str, revision: int, wanted: Amount, config: Config) -> bool:
    """Promise `wanted` of the host, if it has that left and is as it was at `revision`; whether it was promised."""
    ratios = {
        "vcpu_ratio": config.vcpu_overcommit,
        "memory_ratio": config.memory_overcommit,
        "disk_ratio": config.disk_overcommit,
    }
    return tx.change(_CLAIM, of=name, at=revision, **_more(wanted), **ratios) == 1


def claim_disk(tx: Tx, name: str, gib: int, config: Config) -> bool:
    """Promise so much disk of the host, if it has that left; whether it was promised."""
    return tx.change(_CLAIM_DISK, of=name, **_more(Amount(0, 0, gib)), disk_ratio=config.disk_overcommit) == 1


def place_disk(tx: Tx, zone: str, gib: int, config: Config, store: str = "", *, needs: str = "") -> str | None:
    """Promise so much disk of the host of this zone that has the most left; None where none has as much.

    Hosts whose volume service has been heard lately come first; those disabled, by their compute service too, get none.
    One that is in the shared directory `store` is placed only on a host that has that, and has been heard; one that
    `needs` something only on a host that says so of itself (`facts`).
    """
    able = [row for row in tx.all(_KEEPERS) if zone in row.zones and (not needs or needs in row.facts)]
    if store:
        able = [row for row in able if row.store == store and row.heard > tx.now - LIVE_SECONDS]
    able.sort(key=lambda row: (row.heard <= tx.now - LIVE_SECONDS, row.used_disk_gib - row.disk_gib))
    return next((str(row.name) for row in able if claim_disk(tx, row.name, gib, config)), None)


def release(tx: Tx, name: str, amount: Amount) -> None:
    """The host has `amount` to promise again."""
    tx.change(_RELEASE, of=name, **_more(Amount(*(-part for part in amount))))


def _more(amount: Amount) -> dict[str, float]:
    return {"more_vcpus": amount.vcpus, "more_memory": amount.memory_mib, "more_disk": amount.disk_gib}


_VCPUS, _MEMORY, _DISK = (sa.bindparam(f"more_{part}", type_=sa.BigInteger) for part in ("vcpus", "memory", "disk"))
_CHANGE = host.update().values(
    used_vcpus=host.c.used_vcpus + _VCPUS,
    used_memory_mib=host.c.used_memory_mib + _MEMORY,
    used_disk_gib=host.c.used_disk_gib + _DISK,
)
_RELEASE = _CHANGE.where(host.c.name == sa.bindparam("of"))


def _fits(
    used: sa.Column[int], more: sa.BindParameter[int], whole: sa.Column[int], ratio: sa.ColumnElement[float]
) -> sa.ColumnElement[bool]:
    """What is not wanted need not be left: a host whose disk is overdrawn still starts a guest that has its disk."""
    return sa.or_(more == 0, used + more <= whole * ratio)


_VCPU_RATIO, _MEMORY_RATIO, _DISK_RATIO = (
    sa.bindparam(f"{part}_ratio", type_=sa.Double) for part in ("vcpu", "memory", "disk")
)
_DISK_FITS = _fits(host.c.used_disk_gib, _DISK, host.c.disk_gib, sa.case((host.c.disk_exact, 1.0), else_=_DISK_RATIO))


_CLAIM = _CHANGE.where(
    host.c.name == sa.bindparam("of"),
    host.c.revision == sa.bindparam("at"),
    _fits(host.c.used_vcpus, _VCPUS, host.c.vcpus, _VCPU_RATIO),
    _fits(host.c.used_memory_mib, _MEMORY, host.c.memory_mib, _MEMORY_RATIO),
    _DISK_FITS,
)

_CLAIM_DISK = _CHANGE.where(host.c.name == sa.bindparam("of"), _DISK_FITS)
_DISABLED = sa.select(service.c.host).where(service.c.role.in_(["compute", "volume"]), sa.not_(service.c.enabled))
_KEEPERS = (
    sa.select(
        host.c.name, host.c.zones, host.c.disk_gib, host.c.used_disk_gib, host.c.store, host.c.facts, service.c.heard
    )
    .join(service, service.c.host == host.c.name)
    .where(service.c.role == "volume", host.c.name.not_in(_DISABLED), service.c.contract.between(OLDEST, NEWEST))
)


def release_instance(tx: Tx, id: str) -> None:
    """The instance is not claimed any more, and its host has its vCPUs and memory again: once, however often called."""
    release_second(tx, id)
    row = tx.first(_CLAIMED, of=id)
    if row is not None and tx.change(_UNCLAIM, of=id):
        release(tx, row.host, Amount(row.vcpus, row.memory_mib, 0))


def release_second(tx: Tx, id: str) -> None:
    """It does not move live any more, and the host that it was to come to has its vCPUs and memory again: once."""
    row = tx.first(_CLAIMED_TWICE, of=id)
    if row is not None and tx.change(_SETTLE, of=id):
        release(tx, row.moving_to, Amount(row.vcpus, row.memory_mib, 0))


def say_arrived(tx: Tx, row: Row, lease: int | None) -> bool:
    """It is on the host that it has moved to, live, by this lease; the other one has its vCPUs and memory again.

    False where it is not as `row` says any more.
    """
    before = [instance.c[name] == row._mapping[name] for name in ("id", "host", "moving_to", "moves", "moves_live")]
    after = {"host": row.moving_to, "moving_to": "", "moves_live": False, "moves_off_else": False, "not_moved": ""}
    after["fenced"] = lease
    if not tx.change(instance.update().where(*before).values(**after)):
        return False
    release(tx, row.host, Amount(row.vcpus, row.memory_mib, 0))
    return True


_THIS = sa.and_(instance.c.id == sa.bindparam("of"), instance.c.claimed)
_TWICE = sa.and_(_THIS, instance.c.moves_live)
_PARTS = (instance.c.host, instance.c.moving_to, instance.c.vcpus, instance.c.memory_mib)
_CLAIMED = sa.select(*_PARTS).where(_THIS).with_for_update()
_CLAIMED_TWICE = sa.select(*_PARTS).where(_TWICE).with_for_update()
_UNCLAIM = instance.update().where(_THIS).values(claimed=False)
_SETTLE = instance.update().where(_TWICE).values(moves_live=False)


def delete_volume(tx: Tx, row: Row) -> bool:
    """Delete the volume's row, and its host has its disk again; False where it is gone or not where `row` says."""
    mine = volume.c.id == row.id
    now = tx.first(sa.select(*_PLACES, volume.c.size_gib).where(mine).with_for_update())
    if now is None or [now.host, now.moving_to, now.moved_from] != [row.host, row.moving_to, row.moved_from]:
        return False
    tx.change(volume.delete().where(mine))
    for name in filter(None, (now.host, now.moving_to, now.moved_from)):
        release(tx, name, Amount(0, 0, now.size_gib))
    return True


_PLACES = (volume.c.host, volume.c.moving_to, volume.c.moved_from)


def say_left(tx: Tx, row: Row) -> None:
    """The host that a volume was moved from has its disk again: once, however often called."""
    mine = sa.and_(volume.c.id == row.id, volume.c.moved_from == row.moved_from)
    if tx.change(volume.update().where(mine).values(moved_from="")):
        release(tx, row.moved_from, Amount(0, 0, row.size_gib))


def leave_host(tx: Tx, row: Row, store: str) -> None:
    """A volume is kept by no host any more, and is in the directory `store`: its host was lost."""
    mine = sa.and_(volume.c.id == row.id, volume.c.host == row.host)
    if tx.change(volume.update().where(mine).values(host=None, store=store)):
        release(tx, row.host, Amount(0, 0, row.size_gib))


def adopt(tx: Tx, row: Row, config: Config) -> str | None:
    """A volume that no host keeps is kept by one that has its directory; None where none can, or one does by now."""
    mine = sa.and_(volume.c.id == row.id, volume.c.host.is_(None))
    keeper = place_disk(tx, row.zone, row.size_gib, config, row.store)
    if keeper is None or tx.change(volume.update().where(mine).values(host=keeper)):
        return keeper
    release(tx, keeper, Amount(0, 0, row.size_gib))
    return None


def hand_over(tx: Tx, row: Row, to: str) -> bool:
    """A volume that was to be moved from `row.host` is where it was to be, without a copy: the files are the same.

    False where it does not move any more.
    """
    mine = sa.and_(volume.c.id == row.id, volume.c.moving_to == to)
    if not tx.change(volume.update().where(mine).values(host=to, moving_to="")):
        return False
    release(tx, row.host, Amount(0, 0, row.size_gib))
    return True


def bring(tx: Tx, row: Row, to: str, config: Config) -> bool:
    """A volume that is free is kept by this host from now on, which has the same files, if that has room for it."""
    if not claim_disk(tx, to, row.size_gib, config):
        return False
    if not begin_move(tx, row.id, row.host, to):
        release(tx, to, Amount(0, 0, row.size_gib))
        return False
    wake(tx, "volume", row.id)
    return hand_over(tx, row, to)


def keep(tx: Tx, row: Row) -> bool:
    """A volume that was to be handed over stays where it is; False where it does not move any more."""
    mine = sa.and_(volume.c.id == row.id, volume.c.moving_to == row.moving_to)
    if not tx.change(volume.update().where(mine).values(moving_to="")):
        return False
    release(tx, row.moving_to, Amount(0, 0, row.size_gib))
    return True


def counted(tx: Tx) -> dict[str, Amount]:
    """Host to what is counted on its row as promised."""
    return {row.name: Amount(row.used_vcpus, row.used_memory_mib, row.used_disk_gib) for row in promises(tx)}


def recount(tx: Tx, name: str) -> None:
    """Count anew what a host has promised: it has come back after it was forgotten."""
    found = promised(tx, [name]).get(name, NOTHING)
    used = {"used_vcpus": found.vcpus, "used_memory_mib": found.memory_mib, "used_disk_gib": found.disk_gib}
    tx.change(host.update().where(host.c.name == name).values(**used))


def promised(tx: Tx, names: list[str] | None = None) -> dict[str, Amount]:
    """Host (each, or of these) to what its instances' and volumes' rows say that it has promised, if anything."""
    claims = sa.union_all(
        sa.select(instance.c.host, instance.c.vcpus, instance.c.memory_mib).where(instance.c.claimed),
        sa.select(instance.c.moving_to, instance.c.vcpus, instance.c.memory_mib).where(instance.c.moves_live),
    ).subquery()
    guests = sa.select(claims.c.host, sa.func.sum(claims.c.vcpus), sa.func.sum(claims.c.memory_mib))
    places = sa.union_all(*(sa.select(place.label("host"), volume.c.size_gib) for place in _PLACES)).subquery()
    disks = sa.select(places.c.host, sa.func.sum(places.c.size_gib)).where(places.c.host.is_not(None))
    disks = disks.where(places.c.host != "")
    if names is not None:
        guests, disks = guests.where(claims.c.host.in_(names)), disks.where(places.c.host.in_(names))
    found = {
        name: Amount(int(vcpus), int(memory), 0)
        for name, vcpus, memory in tx.connection.execute(guests.group_by(claims.c.host))
    }
    for name, disk in tx.connection.execute(disks.group_by(places.c.host)):
        found[name] = found.get(name, NOTHING)._replace(disk_gib=int(disk))
    return found
