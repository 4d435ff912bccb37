"""Any resource that can have tags, by its id: its type, and whether an account has it."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from cumulet.lib import ids
from cumulet.model import (
    address,
    group,
    image,
    image_task,
    instance,
    interface,
    key_pair,
    launch_template,
    placement_group,
    snapshot,
    subnet,
    volume,
    vpc,
)
from cumulet.model.database import Tx


class Kind(NamedTuple):
    """A kind of resource: AWS's resource type, AWS's code and noun for one that is not there, where it is written."""

    type: str
    missing: str
    noun: str
    column: sa.Column[str]
    there: sa.ColumnElement[bool]


def _present(column: sa.Column[str]) -> sa.ColumnElement[bool]:
    return column != "absent"


_IMAGE = Kind("image", "InvalidAMIID.NotFound", "image id", image.image.c.id, sa.not_(image.image.c.deregistered))
KINDS = {
    "instance": Kind("instance", "InvalidInstanceID.NotFound", "instance ID", instance.instance.c.id, sa.true()),
    **dict.fromkeys(("image", "kernel_image", "ramdisk_image"), _IMAGE),
    "key_pair": Kind("key-pair", "InvalidKeyPair.NotFound", "key pair", key_pair.key_pair.c.id, sa.true()),
    "launch_template": Kind(
        "launch-template",
        "InvalidLaunchTemplateId.NotFound",
        "launch template",
        launch_template.launch_template.c.id,
        sa.true(),
    ),
    "placement_group": Kind(
        "placement-group",
        "InvalidPlacementGroup.Unknown",
        "Placement Group",
        placement_group.placement_group.c.id,
        sa.true(),
    ),
    "group": Kind(
        "security-group", "InvalidGroup.NotFound", "security group", group.group.c.id, _present(group.group.c.desired)
    ),
    **{
        prefix: Kind(f"{name}-task", "InvalidConversionTaskId", "task", image_task.image_task.c.id, sa.true())
        for prefix, name in (("import_image", "import-image"), ("import_snapshot", "import-snapshot"))
    },
    "export_image": Kind(
        "export-image-task", "InvalidExportTaskID.NotFound", "task", image_task.image_task.c.id, sa.true()
    ),
    "rule": Kind(
        "security-group-rule",
        "InvalidSecurityGroupRuleId.NotFound",
        "security group rule ID",
        group.rule.c.id,
        sa.true(),
    ),
    "allocation": Kind(
        "elastic-ip", "InvalidAllocationID.NotFound", "allocation ID", address.address.c.allocation, sa.true()
    ),
    "interface": Kind(
        "network-interface",
        "InvalidNetworkInterfaceID.NotFound",
        "networkInterface ID",
        interface.interface.c.id,
        sa.true(),
    ),
    "subnet": Kind("subnet", "InvalidSubnetID.NotFound", "subnet ID", subnet.subnet.c.id, sa.true()),
    "vpc": Kind("vpc", "InvalidVpcID.NotFound", "vpc ID", vpc.vpc.c.id, sa.true()),
    "snapshot": Kind(
        "snapshot",
        "InvalidSnapshot.NotFound",
        "snapshot",
        snapshot.snapshot.c.id,
        _present(snapshot.snapshot.c.desired),
    ),
    "volume": Kind("volume", "InvalidVolume.NotFound", "volume", volume.volume.c.id, _present(volume.volume.c.desired)),
}
"""By the kind that an id's prefix names."""


def kind(id: str) -> Kind | None:
    """What the id's prefix says; None if nothing that can have tags begins so."""
    return KINDS.get(ids.kind_of(id) or "")


def owned(tx: Tx, account: str, id: str) -> bool:
    """Whether the account has the resource; it stays until the end of the transaction."""
    found = kind(id)
    if found is None:
        return False
    table = found.column.table
    query = sa.select(found.column).where(found.column == id, table.c.account == account, found.there)
    return tx.first(query.with_for_update()) is not None
