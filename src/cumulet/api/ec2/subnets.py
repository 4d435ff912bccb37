"""Subnets: a part of a VPC's range in one zone."""

from __future__ import annotations

import ipaddress

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context
from cumulet.api.ec2.validation import arn
from cumulet.api.filters import never
from cumulet.lib.zones import zone_id
from cumulet.model import interface, subnet, tag
from cumulet.model.database import Row


@describes(
    "Subnets",
    id="SubnetId",
    ids="subnet_ids",
    missing="InvalidSubnetID.NotFound",
    filters={
        "availability-zone": "AvailabilityZone",
        "availabilityZone": "AvailabilityZone",
        "availability-zone-id": "AvailabilityZoneId",
        "availabilityZoneId": "AvailabilityZoneId",
        "available-ip-address-count": "AvailableIpAddressCount",
        "cidr": "CidrBlock",
        "cidr-block": "CidrBlock",
        "cidrBlock": "CidrBlock",
        "default-for-az": "DefaultForAz",
        "defaultForAz": "DefaultForAz",
        "enable-dns64": "EnableDns64",
        "ipv6-cidr-block-association.association-id": "Ipv6CidrBlockAssociationSet.AssociationId",
        "ipv6-cidr-block-association.ipv6-cidr-block": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock",
        "ipv6-cidr-block-association.state": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlockState.State",
        "ipv6-native": "Ipv6Native",
        "map-customer-owned-ip-on-launch": "MapCustomerOwnedIpOnLaunch",
        "map-public-ip-on-launch": "MapPublicIpOnLaunch",
        "owner-id": "OwnerId",
        "private-dns-name-options-on-launch.hostname-type": "PrivateDnsNameOptionsOnLaunch.HostnameType",
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record": (
            "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord"
        ),
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": (
            "PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord"
        ),
        **never(
            "customer-owned-ipv4-pool",
            "enable-lni-at-device-index",
            "outpost-arn",
        ),
        "state": "State",
        "subnet-arn": "SubnetArn",
        "subnet-id": "SubnetId",
        "vpc-id": "VpcId",
    },
)
def describe_subnets(ctx: Context) -> list[Item]:
    """The account's subnets, each with the number of its free addresses."""
    with ctx.read() as tx:
        rows = subnet.of_account(tx, ctx.account)
        used = interface.used_counts(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["subnet"])
    return [_item(ctx, row, used.get(row.id, 0), tags.get(row.id, [])) for row in rows]


def _item(ctx: Context, row: Row, used: int, tags: list[dict[str, str]]) -> Item:
    size = ipaddress.IPv4Network(row.cidr).num_addresses
    return {
        "SubnetId": row.id,
        "SubnetArn": arn(ctx, "subnet", row.id),
        "OwnerId": row.account,
        "State": "available",
        "VpcId": row.vpc,
        "CidrBlock": row.cidr,
        "AvailableIpAddressCount": size - len(subnet.RESERVED) - used,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(ctx.config.region, row.zone),
        "DefaultForAz": row.is_default,
        "MapPublicIpOnLaunch": row.map_public_ip,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Ipv6Native": False,
        "EnableDns64": False,
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
        "Tags": tags,
    }
