"""VLANs: the number of each VPC on the hosts' trunk, where VPCs are joined by VLANs.

A number is taken with the VPC, and free again when no host has anything of the VPC any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib.config_rules import LAST_VLAN
from cumulet.lib.errors import Refusal
from cumulet.model.database import Tx
from cumulet.model.schema import id_column, metadata

vlan = sa.Table(
    "vlan",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    id_column("vpc"),
    sa.UniqueConstraint("vpc"),
)


def take(tx: Tx, vpc: str, first: int) -> int:
    """Give the VPC the lowest number from `first` on that is free.

    Raises `Refusal` (VpcLimitExceeded, as AWS has it of VPCs) when all are taken.
    """
    taken = set(all(tx).values())
    for number in range(first, LAST_VLAN + 1):
        if number in taken:
            continue
        try:
            with tx.attempt():
                tx.insert(vlan, {"number": number, "vpc": vpc})
        except IntegrityError:  # somebody else has taken it since
            continue
        return number
    raise Refusal(
        "VpcLimitExceeded",
        f"The maximum number of VPCs has been reached: all {LAST_VLAN + 1 - first} VLANs from {first} (the setting "
        f"vlan_start) to {LAST_VLAN} are taken. Delete an account, or begin with a lower number.",
    )


def free(tx: Tx, vpc: str) -> None:
    """The VPC has none any more."""
    tx.change(vlan.delete().where(vlan.c.vpc == vpc))


def of(tx: Tx, vpc: str) -> int:
    """The VPC's number; 0 where it has none."""
    return int(tx.value(sa.select(vlan.c.number).where(vlan.c.vpc == vpc)) or 0)


def all(tx: Tx) -> dict[str, int]:
    """VPC to number."""
    return {row.vpc: row.number for row in tx.all(sa.select(vlan))}
