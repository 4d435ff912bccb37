"""Finding the instances that a request names, with AWS's refusals for those that are not there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cumulet.api.id_forms import check_id
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, instance
from cumulet.model.database import Row


def named(tx: Tx, account: str, ids: list[str]) -> list[Row]:
    """The account's instances with these ids, each once, in the request's order.

    Raises `Refusal` InvalidInstanceID.Malformed or InvalidInstanceID.NotFound.
    """
    wanted = list(dict.fromkeys(ids))
    for id in wanted:
        check_id(id, "InvalidInstanceID.Malformed", "i-")
    rows = {row.id: row for row in instance.of_ids(tx, account, wanted)}
    lacking = [id for id in wanted if id not in rows]
    if lacking:
        several = len(lacking) > 1
        text = f"The instance ID{'s' if several else ''} '{', '.join(lacking)}' do{'' if several else 'es'} not exist"
        raise Refusal("InvalidInstanceID.NotFound", text)
    return [rows[id] for id in wanted]


def one(tx: Tx, account: str, id: str) -> Row:
    return named(tx, account, [id])[0]


def with_attributes(tx: Tx, row: Row, **values: Any) -> dict[str, Any]:
    """Write down what is only shown again (`attributes`); a value of None takes a key away. Gives the whole of it."""
    merged = {**row.attributes, **values}
    kept = {name: value for name, value in merged.items() if value is not None}
    table = instance.instance
    tx.change(table.update().where(table.c.id == row.id).values(attributes=kept))
    return kept


def settable(row: Row) -> Row:
    """The row, unless the instance is going or gone: then raises `Refusal` IncorrectInstanceState."""
    if row.desired == "terminated":
        raise Refusal(
            "IncorrectInstanceState",
            f"The instance '{row.id}' is {row.state}; it is not in a state in which it can be changed.",
        )
    return row


def state(name: str) -> dict[str, Any]:
    """AWS's InstanceState."""
    return {"Code": instance.CODES[name], "Name": name}


def user_initiated(now: float) -> str:
    """AWS's StateTransitionReason for what a user has asked for."""
    return f"User initiated ({datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S} GMT)"
