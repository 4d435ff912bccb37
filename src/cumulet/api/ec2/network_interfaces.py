"""Network interfaces: what a guest is reached by."""

from __future__ import annotations

from typing import Any, TypedDict

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.validation import (
    exactly_one,
    found_interface,
    groups_of_interface,
    invalid,
    private_dns_name,
)
from cumulet.api.filters import never
from cumulet.lib.dns_names import public_name
from cumulet.lib.errors import Refusal
from cumulet.lib.zones import zone_id
from cumulet.model import Tx, address, group, interface, tag
from cumulet.model.database import Row

LONGEST_DESCRIPTION = 255
ATTRIBUTES = ("description", "groupSet", "sourceDestCheck", "attachment", "associatePublicIpAddress")


class StringValue(TypedDict, total=False):
    Value: str


class BooleanValue(TypedDict, total=False):
    Value: bool


class AttachmentChange(TypedDict, total=False):
    AttachmentId: str
    DeleteOnTermination: bool


@describes(
    "NetworkInterfaces",
    id="NetworkInterfaceId",
    ids="network_interface_ids",
    missing="InvalidNetworkInterfaceID.NotFound",
    malformed="InvalidNetworkInterfaceId.Malformed",
    prefix="eni-",
    accepts={"IncludeManagedResources": "nobody manages interfaces for their owner here"},
    filters={
        "addresses.association.owner-id": "PrivateIpAddresses.Association.IpOwnerId",
        "addresses.association.public-ip": "PrivateIpAddresses.Association.PublicIp",
        "addresses.primary": "PrivateIpAddresses.Primary",
        "addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress",
        "association.allocation-id": "Association.AllocationId",
        "association.association-id": "Association.AssociationId",
        "association.ip-owner-id": "Association.IpOwnerId",
        "association.public-dns-name": "Association.PublicDnsName",
        "association.public-ip": "Association.PublicIp",
        "attachment.attach-time": "Attachment.AttachTime",
        "attachment.attachment-id": "Attachment.AttachmentId",
        "attachment.delete-on-termination": "Attachment.DeleteOnTermination",
        "attachment.device-index": "Attachment.DeviceIndex",
        "attachment.instance-id": "Attachment.InstanceId",
        "attachment.instance-owner-id": "Attachment.InstanceOwnerId",
        "attachment.status": "Attachment.Status",
        "availability-zone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "description": "Description",
        "group-id": "Groups.GroupId",
        "group-name": "Groups.GroupName",
        "interface-type": "InterfaceType",
        "ipv6-addresses.ipv6-address": "Ipv6Addresses.Ipv6Address",
        "mac-address": "MacAddress",
        "network-interface-id": "NetworkInterfaceId",
        "owner-id": "OwnerId",
        "operator.managed": "Operator.Managed",
        "private-dns-name": "PrivateDnsName",
        "private-ip-address": "PrivateIpAddress",
        "requester-id": "RequesterId",
        "requester-managed": "RequesterManaged",
        "source-dest-check": "SourceDestCheck",
        "status": "Status",
        "subnet-id": "SubnetId",
        **never(
            "operator.principal",
        ),
        "vpc-id": "VpcId",
    },
)
def describe_network_interfaces(ctx: Context) -> list[Item]:
    """The account's interfaces."""
    with ctx.read() as tx:
        rows = interface.of_account(tx, ctx.account)
        groups = interface.groups_of_account(tx, ctx.account)
        names = {row.id: row.name for row in group.of_account(tx, ctx.account)}
        public = address.by_interface(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["network-interface"])
    return [
        {
            **_item(ctx, row),
            "Groups": [{"GroupId": id, "GroupName": names.get(id, "")} for id in groups.get(row.id, [])],
            "TagSet": tags.get(row.id, []),
            **_addresses(ctx, row, public.get(row.id)),
        }
        for row in rows
    ]


@action()
def describe_network_interface_attribute(
    ctx: Context, network_interface_id: str, attribute: str = "description"
) -> Result:
    """One attribute of an interface."""
    if attribute not in ATTRIBUTES:
        raise invalid(attribute, "attribute", f"Expecting one of {', '.join(ATTRIBUTES)}.")
    with ctx.read() as tx:
        row = found_interface(tx, ctx.account, network_interface_id)
        names = {found.id: found.name for found in group.of_account(tx, ctx.account)}
        groups = interface.groups(tx, row.id)
    values: dict[str, Any] = {
        "description": {"Description": {"Value": row.description}},
        "groupSet": {"Groups": [{"GroupId": id, "GroupName": names.get(id, "")} for id in groups]},
        "sourceDestCheck": {"SourceDestCheck": {"Value": row.source_dest_check}},
        "attachment": {"Attachment": _attachment(row)},
        "associatePublicIpAddress": {"AssociatePublicIpAddress": row.wants_public_ip},
    }
    return {"NetworkInterfaceId": row.id, **values[attribute]}


@action()
def modify_network_interface_attribute(
    ctx: Context,
    network_interface_id: str,
    description: StringValue | None = None,
    source_dest_check: BooleanValue | None = None,
    groups: list[str] | None = None,
    attachment: AttachmentChange | None = None,
) -> Result:
    """Change one attribute of an interface; its host follows a moment later."""
    exactly_one(description=description, sourceDestCheck=source_dest_check, groupId=groups, attachment=attachment)
    with ctx.write() as tx:
        row = found_interface(tx, ctx.account, network_interface_id)
        if description is not None:
            interface.change(tx, row.id, description=_description(description.get("Value", "")))
        if source_dest_check is not None:
            interface.change(tx, row.id, source_dest_check=source_dest_check.get("Value", True))
        if groups:
            _change_groups(tx, row, groups)
        if attachment is not None:
            _change_attachment(tx, row, attachment)
    return {}


def _description(value: str) -> str:
    if len(value) > LONGEST_DESCRIPTION:
        raise invalid(value, "description", f"Length exceeds maximum of {LONGEST_DESCRIPTION}.")
    return value


def _change_groups(tx: Tx, row: Row, groups: list[str]) -> None:
    """The groups that it leaves and those that it enters have other members from now on."""
    wanted = groups_of_interface(tx, row.account, row.vpc, groups)
    group.wake_of_interface(tx, row.id)
    interface.set_groups(tx, row.id, wanted)
    group.wake_of_interface(tx, row.id)
    interface.change(tx, row.id, description=row.description)


def _change_attachment(tx: Tx, row: Row, change: AttachmentChange) -> None:
    if change.get("AttachmentId") != row.attachment:
        raise Refusal(
            "InvalidAttachmentID.NotFound",
            f"The attachment ID '{change.get('AttachmentId', '')}' does not exist",
        )
    if "DeleteOnTermination" in change:
        interface.change(tx, row.id, delete_on_termination=change["DeleteOnTermination"])


def _item(ctx: Context, row: Row) -> Item:
    return {
        "NetworkInterfaceId": row.id,
        "SubnetId": row.subnet,
        "VpcId": row.vpc,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(ctx.config.region, row.zone),
        "Description": row.description,
        "OwnerId": row.account,
        "RequesterManaged": False,
        "Operator": {"Managed": False},
        "Status": "in-use" if row.instance else "available",
        "MacAddress": row.mac,
        "PrivateIpAddress": row.ip,
        "PrivateDnsName": private_dns_name(row.ip, ctx.config.region),
        "SourceDestCheck": row.source_dest_check,
        "InterfaceType": "interface",
        "Ipv6Addresses": [],
        "Attachment": _attachment(row),
    }


def _attachment(row: Row) -> Item | None:
    if not row.instance:
        return None
    return {
        "AttachmentId": row.attachment,
        "AttachTime": row.attached or row.created,
        "DeleteOnTermination": row.delete_on_termination,
        "DeviceIndex": row.device_index,
        "NetworkCardIndex": 0,
        "InstanceId": row.instance,
        "InstanceOwnerId": row.account,
        "Status": "attached",
    }


def _addresses(ctx: Context, row: Row, public: Row | None) -> Item:
    own: Item = {
        "Primary": True,
        "PrivateIpAddress": row.ip,
        "PrivateDnsName": private_dns_name(row.ip, ctx.config.region),
    }
    if public is None:
        return {"PrivateIpAddresses": [own]}
    association: Item = {
        "IpOwnerId": "amazon",
        "PublicIp": public.public_ip,
        "PublicDnsName": public_name(public.public_ip, ctx.config.region),
    }
    if public.allocation:
        association |= {
            "IpOwnerId": row.account,
            "AllocationId": public.allocation,
            "AssociationId": public.association,
        }
    return {"Association": association, "PrivateIpAddresses": [{**own, "Association": association}]}
