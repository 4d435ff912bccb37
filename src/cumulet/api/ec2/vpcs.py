"""VPCs: an account's routers."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.validation import derived, found, invalid
from cumulet.api.filters import never
from cumulet.model import tag, vpc
from cumulet.model.database import Row

ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")


@describes(
    "Vpcs",
    id="VpcId",
    ids="vpc_ids",
    missing="InvalidVpcID.NotFound",
    filters={
        "cidr": "CidrBlock",
        "cidr-block": "CidrBlock",
        "cidrBlock": "CidrBlock",
        "cidr-block-association.cidr-block": "CidrBlockAssociationSet.CidrBlock",
        "cidr-block-association.association-id": "CidrBlockAssociationSet.AssociationId",
        "cidr-block-association.state": "CidrBlockAssociationSet.CidrBlockState.State",
        "dhcp-options-id": "DhcpOptionsId",
        "dhcpOptionsId": "DhcpOptionsId",
        "instance-tenancy": "InstanceTenancy",
        "ipv6-cidr-block-association.association-id": "Ipv6CidrBlockAssociationSet.AssociationId",
        "ipv6-cidr-block-association.ipv6-cidr-block": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlock",
        **never(
            "ipv6-cidr-block-association.ipv6-pool",
        ),
        "ipv6-cidr-block-association.state": "Ipv6CidrBlockAssociationSet.Ipv6CidrBlockState.State",
        "is-default": "IsDefault",
        "isDefault": "IsDefault",
        "owner-id": "OwnerId",
        "state": "State",
        "vpc-id": "VpcId",
    },
)
def describe_vpcs(ctx: Context) -> list[Item]:
    """The account's VPCs."""
    with ctx.read() as tx:
        rows = vpc.of_account(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["vpc"])
    return [_item(row, tags.get(row.id, [])) for row in rows]


@action()
def describe_vpc_attribute(ctx: Context, vpc_id: str, attribute: str) -> Result:
    """One of a VPC's switches."""
    if attribute not in ATTRIBUTES:
        raise invalid(attribute, "attribute", f"Expecting one of {', '.join(ATTRIBUTES)}.")
    with ctx.read() as tx:
        row = vpc.find(tx, ctx.account, vpc_id)
    row = found(row, "InvalidVpcID.NotFound", f"The vpc ID '{vpc_id}' does not exist")
    # there are no usage metrics here to switch on
    values = dict(zip(ATTRIBUTES, (row.dns_support, row.dns_hostnames, False), strict=True))
    return {"VpcId": row.id, attribute[:1].upper() + attribute[1:]: {"Value": values[attribute]}}


def _item(row: Row, tags: list[dict[str, str]]) -> Item:
    association = {
        "AssociationId": derived("vpc-cidr-assoc", row.id),
        "CidrBlock": row.cidr,
        "CidrBlockState": {"State": "associated"},
    }
    return {
        "VpcId": row.id,
        "OwnerId": row.account,
        "State": "available",
        "CidrBlock": row.cidr,
        "CidrBlockAssociationSet": [association],
        "DhcpOptionsId": row.dhcp_options,
        "InstanceTenancy": "default",
        "IsDefault": row.is_default,
        "BlockPublicAccessStates": {"InternetGatewayBlockMode": "off"},
        "Tags": tags,
    }
