"""Messages of events of buckets that wait for the broker: written with the change they tell of, gone when sent.

They go account by account, in the order in which they were written, so that what happened to one key is told in order.
"""

from __future__ import annotations

import sqlalchemy as sa

from cumulet.lib import notices
from cumulet.lib.notices import Event
from cumulet.model import work
from cumulet.model.bucket import bucket
from cumulet.model.database import Row, Tx
from cumulet.model.schema import body, id_column, metadata, moment, text

notification = sa.Table(
    "notification",
    metadata,
    id_column("account", key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    text("bucket", 63, key=True),
    text("routing_key", 255),
    body("message"),
    moment("created"),
)
"""`sequence`: of the bucket's events, each greater than the one before it."""


def tell(tx: Tx, row: Row, event: Event, region: str) -> None:
    """Have this event of a bucket that is held told to whoever its configuration names."""
    for wanted in notices.wanting(row.settings, row.account, event.name, event.key):
        sequence = _next(tx, row.name)
        said = notices.record(event, (row.name, row.owner), wanted.configuration, sequence, tx.now, region)
        _add(tx, row, sequence, wanted.routing_key, said)


def tell_trial(tx: Tx, row: Row, arn: str, request: str) -> None:
    """Have a destination told that it is one now."""
    said = notices.trial(row.name, request, tx.now)
    _add(tx, row, _next(tx, row.name), notices.routing_key(arn, row.account), said)


def _add(tx: Tx, row: Row, sequence: int, routing_key: str, said: str) -> None:
    values = {"account": row.account, "sequence": sequence, "bucket": row.name}
    tx.insert(notification, {**values, "routing_key": routing_key, "message": said, "created": tx.now})
    work.wake(tx, "notification", row.account)


_OF_NAME: sa.BindParameter[str] = sa.bindparam("of_name")
_NOW: sa.BindParameter[int] = sa.bindparam("microseconds", type_=sa.BigInteger)
_COUNT_ON = (
    bucket.update()
    .where(bucket.c.name == _OF_NAME)
    .values(events=sa.case((bucket.c.events >= _NOW, bucket.c.events + 1), else_=_NOW))
)
_COUNTED = sa.select(bucket.c.events).where(bucket.c.name == _OF_NAME)


def _next(tx: Tx, name: str) -> int:
    """The time in microseconds, or one more than the last; so a bucket that is made again goes on from there too."""
    tx.change(_COUNT_ON, of_name=name, microseconds=int(tx.now * 1_000_000))
    return int(tx.value(_COUNTED, of_name=name))


def waiting(tx: Tx, account: str, limit: int) -> list[Row]:
    """An account's messages that are not known to be with the broker, the oldest first."""
    query = sa.select(notification).where(notification.c.account == account)
    return tx.all(query.order_by(notification.c.sequence, notification.c.bucket).limit(limit))


def forget(tx: Tx, row: Row) -> None:
    """The broker has it."""
    found = (notification.c.account == row.account, notification.c.sequence == row.sequence)
    tx.change(notification.delete().where(*found, notification.c.bucket == row.bucket))
