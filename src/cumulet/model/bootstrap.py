"""A new account, with all that AWS gives one: a key, a default VPC with a subnet in each zone, a default group."""

from __future__ import annotations

import ipaddress
from itertools import islice

from cumulet.lib import ids
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx, account, fixed_network, group, subnet, vlan, vpc
from cumulet.model.database import Row

SUBNET_PREFIX = 20


def create_account(tx: Tx, config: Config, name: str, *, administrator: bool = False, cidr: str | None = None) -> Row:
    """A new account whose default VPC has the range `cidr`, or by default the next of the fixed networks, if any.

    Raises sqlalchemy.exc.IntegrityError if the name is taken, and `Refusal` where no VLAN is left for the VPC.
    """
    row = account.create(tx, name, administrator=administrator)
    create_default_vpc(tx, config, row.id, cidr or fixed_network.take(tx, row.id) or config.vpc_cidr)
    return row


def create_default_vpc(tx: Tx, config: Config, owner: str, cidr: str) -> str:
    """The account's default VPC, with what AWS puts into one; gives its id. Ranges of accounts may overlap."""
    id = ids.new("vpc")
    values = {"id": id, "account": owner, "cidr": cidr, "is_default": True, "created": tx.now}
    vpc.create(tx, {**values, "dhcp_options": ids.new("dhcp_options")})
    if config.vlan_interface:
        vlan.take(tx, id, config.vlan_start)
    for zone, part in zip(config.zone_names(), _ranges(cidr, len(config.zone_names())), strict=True):
        shared = {"account": owner, "vpc": id, "is_default": True, "map_public_ip": True, "created": tx.now}
        tx.insert(subnet.subnet, {**shared, "id": ids.new("subnet"), "zone": zone, "cidr": part})
    create_default_group(tx, owner, id)
    return id


def _ranges(cidr: str, zones: int) -> list[str]:
    """One range for each zone, as large as AWS's where they fit."""
    network = ipaddress.IPv4Network(cidr)
    prefix = max(SUBNET_PREFIX, network.prefixlen + (zones - 1).bit_length())
    if prefix > 28:
        raise Failure(f"{cidr}, of an account's default VPC, is too small for {zones} zones; a /16 is usual")
    return [str(part) for part in islice(network.subnets(new_prefix=prefix), zones)]


def create_default_group(tx: Tx, owner: str, vpc_id: str) -> str:
    """The VPC's default group: everything in from its own members, everything out."""
    id = ids.new("group")
    values = {"id": id, "account": owner, "vpc": vpc_id, "name": "default", "created": tx.now}
    tx.insert(group.group, {**values, "description": "default VPC security group"})
    shared = {"group_id": id, "account": owner, "protocol": "-1", "created": tx.now}
    inside = {"egress": False, "cidr": None, "source_group": id}
    outside = {"egress": True, "cidr": "0.0.0.0/0", "source_group": None}
    tx.insert(group.rule, *({**shared, **side, "id": ids.new("rule")} for side in (inside, outside)))
    return id
