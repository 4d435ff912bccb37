"""What each VPC has of itself: its main route table, its internet gateway and its DHCP options.

They are not written down: nothing about them can be changed, so they follow from the VPC.
"""

from __future__ import annotations

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context
from cumulet.api.ec2.validation import derived
from cumulet.api.filters import never
from cumulet.model import vpc
from cumulet.model.database import Row


@describes(
    "RouteTables",
    id="RouteTableId",
    ids="route_table_ids",
    missing="InvalidRouteTableID.NotFound",
    filters={
        "association.gateway-id": "Associations.GatewayId",
        "association.main": "Associations.Main",
        "association.route-table-association-id": "Associations.RouteTableAssociationId",
        "association.route-table-id": "Associations.RouteTableId",
        "association.subnet-id": "Associations.SubnetId",
        "owner-id": "OwnerId",
        "route-table-id": "RouteTableId",
        "route.destination-cidr-block": "Routes.DestinationCidrBlock",
        **never(
            "route.destination-ipv6-cidr-block",
            "route.destination-prefix-list-id",
            "route.egress-only-internet-gateway-id",
            "route.instance-id",
            "route.nat-gateway-id",
            "route.transit-gateway-id",
            "route.vpc-peering-connection-id",
        ),
        "route.gateway-id": "Routes.GatewayId",
        "route.origin": "Routes.Origin",
        "route.state": "Routes.State",
        "vpc-id": "VpcId",
    },
)
def describe_route_tables(ctx: Context) -> list[Item]:
    """The main route table of each VPC: the VPC's own range, and everything else by the internet gateway."""
    return [_route_table(row) for row in _vpcs(ctx)]


@describes(
    "InternetGateways",
    id="InternetGatewayId",
    ids="internet_gateway_ids",
    missing="InvalidInternetGatewayID.NotFound",
    filters={
        "attachment.state": "Attachments.State",
        "attachment.vpc-id": "Attachments.VpcId",
        "internet-gateway-id": "InternetGatewayId",
        "owner-id": "OwnerId",
    },
)
def describe_internet_gateways(ctx: Context) -> list[Item]:
    """The way out of each VPC."""
    return [
        {
            "InternetGatewayId": derived("igw", row.id),
            "OwnerId": row.account,
            "Attachments": [{"State": "available", "VpcId": row.id}],
            "Tags": [],
        }
        for row in _vpcs(ctx)
    ]


@describes(
    "DhcpOptions",
    id="DhcpOptionsId",
    ids="dhcp_options_ids",
    missing="InvalidDhcpOptionID.NotFound",
    filters={
        "dhcp-options-id": "DhcpOptionsId",
        "key": "DhcpConfigurations.Key",
        "owner-id": "OwnerId",
        "value": "DhcpConfigurations.Values.Value",
    },
)
def describe_dhcp_options(ctx: Context) -> list[Item]:
    """What the guests of each VPC are told by DHCP."""
    region = ctx.config.region
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    told = {"domain-name": domain, "domain-name-servers": "AmazonProvidedDNS"}
    shown = [{"Key": key, "Values": [{"Value": value}]} for key, value in told.items()]
    return [
        {"DhcpOptionsId": row.dhcp_options, "OwnerId": row.account, "DhcpConfigurations": shown, "Tags": []}
        for row in _vpcs(ctx)
    ]


def _vpcs(ctx: Context) -> list[Row]:
    with ctx.read() as tx:
        return vpc.of_account(tx, ctx.account)


def _route_table(row: Row) -> Item:
    id = derived("rtb", row.id)
    main = {"RouteTableAssociationId": derived("rtbassoc", row.id), "RouteTableId": id, "Main": True}
    routes = ((row.cidr, "local", "CreateRouteTable"), ("0.0.0.0/0", derived("igw", row.id), "CreateRoute"))
    return {
        "RouteTableId": id,
        "VpcId": row.id,
        "OwnerId": row.account,
        "Associations": [{**main, "AssociationState": {"State": "associated"}}],
        "Routes": [
            {"DestinationCidrBlock": range, "GatewayId": gateway, "Origin": origin, "State": "active"}
            for range, gateway, origin in routes
        ],
        "PropagatingVgws": [],
        "Tags": [],
    }
