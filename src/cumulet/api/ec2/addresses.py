"""Elastic IPs: public addresses that an account keeps, and the interface that each of them reaches."""

from __future__ import annotations

import ipaddress

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2 import instance_rows
from cumulet.api.ec2.tagging import TagSpecification, tags_for
from cumulet.api.ec2.validation import exactly_one, found, found_interface, invalid
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, address, address_pool, instance, interface, tag, work
from cumulet.model.database import Row

POOLS = ("amazon", "cumulet")


@action()
def allocate_address(
    ctx: Context,
    domain: str = "vpc",
    address: str = "",
    public_ipv4_pool: str = "",
    network_border_group: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Keep an address of the pool for this account: any, or this one if it is free."""
    if domain != "vpc":
        raise invalid(domain, "domain", "Expecting vpc.")
    if public_ipv4_pool and public_ipv4_pool not in POOLS:
        raise Refusal("InvalidPublicIpv4PoolID.NotFound", f"The pool ID '{public_ipv4_pool}' does not exist.")
    _check_border(ctx, network_border_group)
    tags = tags_for(tag_specifications, "elastic-ip")
    allocation = ids.new("allocation")
    with ctx.write() as tx:
        public_ip = _take(ctx, tx, allocation, address)
        tag.put(tx, ctx.account, allocation, "elastic-ip", tags)
    return {
        "PublicIp": public_ip,
        "AllocationId": allocation,
        "PublicIpv4Pool": POOLS[0],
        "NetworkBorderGroup": ctx.config.region,
        "Domain": "vpc",
    }


@action()
def associate_address(
    ctx: Context,
    allocation_id: str = "",
    public_ip: str = "",
    instance_id: str = "",
    network_interface_id: str = "",
    private_ip_address: str = "",
    allow_reassociation: bool = True,
) -> Result:
    """Have the address reach an interface, away from where it was before; asking again changes nothing."""
    exactly_one(allocationId=allocation_id, publicIp=public_ip)
    exactly_one(instanceId=instance_id, networkInterfaceId=network_interface_id)
    with ctx.write() as tx:
        row = _found(tx, ctx.account, allocation_id, public_ip)
        nic = _primary(tx, ctx.account, instance_id) if instance_id else None
        nic = nic or found_interface(tx, ctx.account, network_interface_id)
        if private_ip_address and private_ip_address != nic.ip:
            raise invalid(private_ip_address, "PrivateIpAddress", f"The interface {nic.id} has {nic.ip}.")
        if not allow_reassociation:
            _refuse_reassociation(tx, row, nic)
        association = _associate(ctx, tx, row, nic)
    return {"AssociationId": association}


@action()
def disassociate_address(ctx: Context, association_id: str = "", public_ip: str = "") -> Result:
    """Have the address reach nothing; the account keeps it. A running guest gets an automatic one, if it had one."""
    exactly_one(associationId=association_id, publicIp=public_ip)
    with ctx.write() as tx:
        if association_id:
            text = f"The association ID '{association_id}' does not exist"
            row = address.elastic(tx, ctx.account, association=association_id)
            row = found(row, "InvalidAssociationID.NotFound", text)
        else:
            row = _found(tx, ctx.account, "", public_ip)
        _let_go(ctx, tx, row)
    return {}


@action()
def release_address(
    ctx: Context, allocation_id: str = "", public_ip: str = "", network_border_group: str = ""
) -> Result:
    """Give an address back to the pool; raises `Refusal` while it reaches something."""
    exactly_one(allocationId=allocation_id, publicIp=public_ip)
    _check_border(ctx, network_border_group)
    with ctx.write() as tx:
        row = _found(tx, ctx.account, allocation_id, public_ip)
        if not address.release(tx, row.public_ip):
            raise Refusal("InvalidIPAddress.InUse", f"Address {row.public_ip} is in use.")
        tag.remove(tx, row.allocation)
    return {}


@describes(
    "Addresses",
    id="AllocationId",
    ids="allocation_ids",
    missing="InvalidAllocationID.NotFound",
    filters={
        "allocation-id": "AllocationId",
        "association-id": "AssociationId",
        "domain": "Domain",
        "instance-id": "InstanceId",
        "network-border-group": "NetworkBorderGroup",
        "network-interface-id": "NetworkInterfaceId",
        "network-interface-owner-id": "NetworkInterfaceOwnerId",
        "private-ip-address": "PrivateIpAddress",
        "public-ip": "PublicIp",
        "public-ipv4-pool": "PublicIpv4Pool",
    },
)
def describe_addresses(ctx: Context, public_ips: list[str] | None = None) -> list[Item]:
    """The account's Elastic IPs."""
    with ctx.read() as tx:
        rows = [row for row in address.of_account(tx, ctx.account) if row.allocation]
        nics = {row.id: row for row in interface.of_account(tx, ctx.account)}
        tags = tag.of_account(tx, ctx.account, ["elastic-ip"])
    known = {row.public_ip for row in rows}
    for public_ip in public_ips or []:
        if public_ip not in known:
            raise _not_found(public_ip)
    chosen = [row for row in rows if not public_ips or row.public_ip in public_ips]
    return [_item(ctx, row, nics.get(row.interface), tags.get(row.allocation, [])) for row in chosen]


@describes("Addresses", id="AllocationId", ids="allocation_ids", missing="InvalidAllocationID.NotFound")
def describe_addresses_attribute(ctx: Context, attribute: str = "domain-name") -> list[Item]:
    """The account's Elastic IPs; no domain name can be set for them here, so none is shown."""
    if attribute != "domain-name":
        raise invalid(attribute, "attribute", "Expecting domain-name.")
    with ctx.read() as tx:
        rows = [row for row in address.of_account(tx, ctx.account) if row.allocation]
    return [{"PublicIp": row.public_ip, "AllocationId": row.allocation} for row in rows]


def _check_border(ctx: Context, name: str) -> None:
    if name not in ("", ctx.config.region):
        raise invalid(name, "networkBorderGroup", f"Expecting {ctx.config.region}.")


def _take(ctx: Context, tx: Tx, allocation: str, wanted: str) -> str:
    most = ctx.quota(tx, "addresses")
    if address.count(tx, ctx.account) >= most:
        raise Refusal("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    pool = address_pool.all(tx, ctx.config)
    if wanted and not _is_in_pool(pool, wanted):
        raise _not_found(wanted)
    values: dict[str, object] = {"account": ctx.account, "allocation": allocation}
    taken = address.take(tx, pool, values, wanted or None)
    if taken is None and wanted:
        raise _not_found(wanted)
    if taken is None:
        raise Refusal("InsufficientAddressCapacity", "There are no free public addresses left in the pool.")
    return taken


def _is_in_pool(pool: list[str], wanted: str) -> bool:
    try:
        ipaddress.IPv4Address(wanted)
    except ValueError:
        raise invalid(wanted, "address", "Expecting an IPv4 address, such as 198.51.100.7.") from None
    return address.in_pool(pool, wanted)


def _not_found(public_ip: str) -> Refusal:
    try:
        ipaddress.IPv4Address(public_ip)
    except ValueError:
        text = f"The address '{public_ip}' is not valid. Expecting an IPv4 address, such as 198.51.100.7."
        return Refusal("InvalidAddress.Malformed", text)
    return Refusal("InvalidAddress.NotFound", f"Address '{public_ip}' not found.")


def _found(tx: Tx, account_id: str, allocation: str, public_ip: str) -> Row:
    row = address.elastic(tx, account_id, allocation=allocation, public_ip=public_ip)
    if row is None and public_ip:
        raise _not_found(public_ip)
    return found(row, "InvalidAllocationID.NotFound", f"The allocation ID '{allocation}' does not exist")


def _primary(tx: Tx, account_id: str, id: str) -> Row:
    """The one interface of an instance that can be reached, now or once it is started."""
    row = instance_rows.one(tx, account_id, id)
    nics = interface.of_instance(tx, id)
    if row.desired == "terminated" or not nics:
        raise Refusal("IncorrectInstanceState", f"The instance '{id}' is not in a valid state for this operation.")
    if len(nics) > 1:
        raise Refusal(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    return nics[0]


def _refuse_reassociation(tx: Tx, row: Row, nic: Row) -> None:
    there = address.of_interface(tx, nic.id)
    if row.interface not in (None, nic.id):
        taken, association = row.allocation, row.association
    elif there is not None and there.allocation not in (None, row.allocation):
        taken, association = nic.id, there.association
    else:
        return
    raise Refusal(
        "Resource.AlreadyAssociated", f"resource {taken} is already associated with associate-id {association}"
    )


def _associate(ctx: Context, tx: Tx, row: Row, nic: Row) -> str:
    if row.interface == nic.id:
        return str(row.association)
    if nic.desired == "absent":
        raise Refusal("InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{nic.id}' does not exist")
    _let_go(ctx, tx, row)
    address.release_automatic(tx, nic.id)
    address.disassociate(tx, nic.id)
    association = ids.new("association")
    address.associate(tx, row.public_ip, nic.id, association)
    work.wake(tx, "interface", nic.id)
    return association


def _let_go(ctx: Context, tx: Tx, row: Row) -> None:
    """What the address reached is left with an automatic one where AWS gives one."""
    if row.interface is None:
        return
    address.let_go(tx, row.public_ip)
    nic = interface.find(tx, row.interface)
    if nic is None:
        return
    guest = instance.find(tx, nic.instance)
    if guest is not None and guest.desired == "running" and nic.desired == "present":
        address.take_automatic(tx, address_pool.all(tx, ctx.config), nic)
    work.wake(tx, "interface", nic.id)


def _item(ctx: Context, row: Row, nic: Row | None, tags: list[dict[str, str]]) -> Item:
    item: Item = {
        "PublicIp": row.public_ip,
        "AllocationId": row.allocation,
        "Domain": "vpc",
        "PublicIpv4Pool": POOLS[0],
        "NetworkBorderGroup": ctx.config.region,
        "Tags": tags,
    }
    if nic is None:
        return item
    reached = {
        "AssociationId": row.association,
        "NetworkInterfaceId": nic.id,
        "NetworkInterfaceOwnerId": nic.account,
        "PrivateIpAddress": nic.ip,
    }
    return {**item, **reached, **({"InstanceId": nic.instance} if nic.instance else {})}
