"""Where a launch's network interfaces are: the subnet, the groups and the addresses that the request asks for."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from cumulet.api.ec2.launch_request import LaunchRequest, NetworkInterface
from cumulet.api.ec2.validation import default_vpc, groups_of_interface, invalid, missing, named_group
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, host, subnet
from cumulet.model.database import Row


class Network(NamedTuple):
    """The interface that each instance of a launch gets; `ip` is None for any free address."""

    subnet: Row
    groups: list[str]
    ip: str | None
    wants_public_ip: bool
    description: str


class Wish(NamedTuple):
    """What a request says about the network, at its top or in its one network interface."""

    subnet: str
    group_ids: list[str]
    group_names: list[str]
    ip: str
    public: bool | None
    description: str


def wish_of(request: LaunchRequest) -> Wish:
    """What is asked for; raises `Refusal` where two parameters contradict each other or this cloud cannot do it."""
    given = request.get("network_interfaces") or []
    if given:
        return _of_interface(request, given)
    return Wish(
        subnet=request.get("subnet_id", ""),
        group_ids=request.get("security_group_ids") or [],
        group_names=request.get("security_groups") or [],
        ip=request.get("private_ip_address", ""),
        public=None,
        description="",
    )


def find_network(tx: Tx, account: str, zones: list[str], request: LaunchRequest, wish: Wish, most: int) -> Network:
    """The network that is meant; raises `Refusal`."""
    zone = (request.get("placement") or {}).get("AvailabilityZone", "")
    if zone and zone not in zones:
        raise Refusal("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    net = _subnet(tx, account, wish, zone)
    public = bool(net.map_public_ip) if wish.public is None else wish.public
    groups = _groups(tx, account, net, wish)
    return Network(net, groups, _address(net, wish, most), public, wish.description)


def _of_interface(request: LaunchRequest, given: list[NetworkInterface]) -> Wish:
    if len(given) > 1 or given[0].get("NetworkCardIndex", 0) != 0:
        raise Refusal("UnsupportedOperation", "An instance of this cloud has one network interface.")
    for name, what in (
        ("subnet_id", "subnet ID"),
        ("security_group_ids", "security groups"),
        ("security_groups", "security groups"),
        ("private_ip_address", "private IP address"),
    ):
        if request.get(name):
            raise Refusal(
                "InvalidParameterCombination",
                f"Network interfaces and an instance-level {what} may not be specified on the same request",
            )
    one = given[0]
    _check_interface(one)
    return Wish(
        subnet=one.get("SubnetId", ""),
        group_ids=one.get("Groups") or [],
        group_names=[],
        ip=_primary_address(one),
        public=one.get("AssociatePublicIpAddress"),
        description=one.get("Description", ""),
    )


def _check_interface(one: NetworkInterface) -> None:
    if "DeviceIndex" not in one:
        raise missing("NetworkInterface.1.DeviceIndex")
    if one["DeviceIndex"] != 0:
        raise invalid(one["DeviceIndex"], "deviceIndex", "The first network interface has the device index 0.")
    if one.get("InterfaceType", "interface") != "interface":
        text = f"The InterfaceType {one['InterfaceType']} is not supported by this cloud."
        raise Refusal("UnsupportedOperation", text)
    if not one.get("DeleteOnTermination", True):
        raise Refusal(
            "UnsupportedOperation",
            "A network interface of this cloud goes with its instance: DeleteOnTermination=false is not supported.",
        )


def _primary_address(one: NetworkInterface) -> str:
    listed = one.get("PrivateIpAddresses") or []
    if len(listed) > 1:
        raise Refusal("UnsupportedOperation", "A network interface of this cloud has one private address.")
    if listed and one.get("PrivateIpAddress"):
        raise Refusal(
            "InvalidParameterCombination",
            "The parameter privateIpAddress cannot be used with the parameter privateIpAddresses",
        )
    return listed[0].get("PrivateIpAddress", "") if listed else one.get("PrivateIpAddress", "")


def _subnet(tx: Tx, account: str, wish: Wish, zone: str) -> Row:
    if not wish.subnet:
        return _default_subnet(tx, account, zone)
    if wish.group_names:
        raise Refusal("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet")
    row = subnet.find(tx, account, wish.subnet)
    if row is None:
        raise Refusal("InvalidSubnetID.NotFound", f"The subnet ID '{wish.subnet}' does not exist")
    if zone and zone != row.zone:
        raise Refusal(
            "InvalidParameterCombination",
            f"The subnet '{row.id}' is in the availability zone {row.zone}, not in {zone}.",
        )
    return row


def _default_subnet(tx: Tx, account: str, zone: str) -> Row:
    """The default subnet of the zone; without one, of the first zone that has a host."""
    router = default_vpc(tx, account)
    subnets = [row for row in subnet.of_account(tx, account) if row.is_default and zone in ("", row.zone)]
    if not subnets:
        raise Refusal("MissingInput", f"No subnets found for the default VPC '{router.id}'. Please specify a subnet.")
    served = host.served_zones(tx)
    return next((row for row in subnets if row.zone in served), subnets[0])


def _groups(tx: Tx, account: str, net: Row, wish: Wish) -> list[str]:
    named = [named_group(tx, account, net.vpc, name).id for name in wish.group_names]
    wanted = [*named, *wish.group_ids] or [named_group(tx, account, net.vpc, "default").id]
    return groups_of_interface(tx, account, net.vpc, wanted)


def _address(net: Row, wish: Wish, most: int) -> str | None:
    if not wish.ip:
        return None
    if most > 1:
        raise Refusal(
            "InvalidParameterCombination", "The parameter privateIpAddress cannot be used for more than one instance"
        )
    try:
        address = ipaddress.IPv4Address(wish.ip)
    except ValueError:
        raise invalid(wish.ip, "privateIpAddress", "Expecting an IPv4 address.") from None
    if address not in ipaddress.IPv4Network(net.cidr):
        raise Refusal("InvalidParameterValue", f"Address {address} does not fall within the subnet's address range")
    if subnet.is_reserved(net.cidr, wish.ip):
        raise Refusal("InvalidParameterValue", f"Address {address} is in subnet's reserved address range")
    return wish.ip
