"""What the operator sees and changes of all accounts: by the administrative API, or where no cloud runs by the command.

Here are the accounts by name, and their quotas.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cumulet.identity import quotas
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx, account
from cumulet.model.database import Row


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quota of an account; None: the configuration's."""

    account: str
    name: str
    value: int | None


def named(tx: Tx, name: str) -> Row:
    """The account of this name or number; raises `Failure`."""
    row = account.named(tx, name) or account.find(tx, name)
    if row is None:
        raise Failure(f"there is no account {name}; there are: {', '.join(one.name for one in account.all(tx))}")
    return row


def quotas_of(tx: Tx, config: Config, name: str) -> list[dict[str, Any]]:
    """Each quota of an account with its value, the default, and what the account has asked for."""
    row = named(tx, name)
    asked = {one["name"]: one["desired"] for one in row.quotas.get("requests", []) if one["status"] == "PENDING"}
    return [
        {
            "name": quota.name,
            "value": quotas.of_row(row, config, quota.name),
            "default": quotas.of_row(None, config, quota.name),
            "asked": asked.get(quota.name),
        }
        for quota in quotas.KNOWN
    ]


def grant(tx: Tx, config: Config, wanted: Grant) -> list[dict[str, Any]]:
    """Give an account a quota; its quotas as they are then. Raises `Failure`."""
    known = [quota.name for quota in quotas.KNOWN]
    if wanted.name not in known:
        raise Failure(f"there is no quota {wanted.name}; there are: {', '.join(known)}")
    if wanted.value is not None and wanted.value < 0:
        raise Failure(f"a quota is a whole number from 0 on, not {wanted.value}")
    quotas.grant(tx, named(tx, wanted.account).id, wanted.name, wanted.value)
    return quotas_of(tx, config, wanted.account)
