"""All the tables, in one catalogue: importing this module is what fills it."""

from __future__ import annotations

from cumulet.model import (
    account,
    address,
    attachment,
    blob,
    bucket,
    client_token,
    entity,
    group,
    host,
    image,
    instance,
    interface,
    join_ticket,
    key_pair,
    object,
    placement_group,
    policy,
    profile,
    snapshot,
    subnet,
    tag,
    upload,
    volume,
    vpc,
    vpc_host,
    work,
)
from cumulet.model.schema import metadata

MODULES = (
    account,
    address,
    attachment,
    blob,
    bucket,
    client_token,
    entity,
    group,
    host,
    image,
    instance,
    interface,
    join_ticket,
    key_pair,
    object,
    placement_group,
    policy,
    profile,
    snapshot,
    subnet,
    tag,
    upload,
    volume,
    vpc,
    vpc_host,
    work,
)

__all__ = ["MODULES", "metadata"]
