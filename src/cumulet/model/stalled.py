"""Volumes whose host is silent or lost, and that guests on other hosts have: who waits for it, and who need not."""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.model import host
from cumulet.model.attachment import attachment
from cumulet.model.database import Row, Tx
from cumulet.model.instance import instance
from cumulet.model.volume import volume


def volumes(tx: Tx, *conditions: sa.ColumnElement[bool]) -> dict[str, Row]:
    """Those of a silent host of which the conditions hold, without those that the guest's host opens by itself.

    By id: the `instance`, its `place`, the volume's `host`, and when that was `heard` last.
    """
    columns = volume.c.id, attachment.c.instance, instance.c.host.label("place"), volume.c.host, host.service.c.heard
    query = sa.select(*columns).join(attachment, attachment.c.volume == volume.c.id)
    query = query.join(instance, instance.c.id == attachment.c.instance)
    query = query.join(host.service, host.service.c.host == volume.c.host)
    silent = sa.and_(host.service.c.role == "volume", host.service.c.heard <= tx.now - host.LIVE_SECONDS)
    there = sa.and_(silent, instance.c.host != volume.c.host, instance.c.desired == "running")
    rows = tx.all(query.where(there, *conditions).order_by(volume.c.id))
    return {row.id: row for row in rows if not host.open_the_same(tx, row.place, row.host)}


def resting(tx: Tx, name: str) -> list[Row]:
    """The volumes of this host that instances of other hosts have, which are stopped; those that stay there."""
    elsewhere = sa.or_(instance.c.host.is_(None), instance.c.host != name)
    off = sa.and_(instance.c.desired == "stopped", instance.c.state == "stopped", elsewhere)
    stays = sa.and_(volume.c.host == name, volume.c.moving_to == "", volume.c.desired == "present")
    query = sa.select(volume).join(attachment, attachment.c.volume == volume.c.id)
    query = query.join(instance, instance.c.id == attachment.c.instance)
    return tx.all(query.where(off, stays, attachment.c.exported == "").order_by(volume.c.id))


def of_account(tx: Tx, account: str) -> dict[str, Row]:
    return volumes(tx, volume.c.account == account)


def said(tx: Tx, row: Row) -> str:
    """What the operator is told of one."""
    unheard = f"{row.host} has not been heard for {tx.now - row.heard:.0f} s"
    return (
        f"{row.id} is on {row.host}, and {row.instance} on {row.place}: {unheard}, and what is read and written waits"
    )
