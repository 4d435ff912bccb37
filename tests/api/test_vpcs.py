"""What each account begins with: a region, zones, a default VPC, and a subnet in each zone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from support.launching import launched, shown
from support.refusals import code, message
from support.tested_cloud import TestedCloud

from cumulet.agent.metadata_tree import find, tree
from cumulet.drivers.specs import InterfaceSpec
from cumulet.model.host import service


def chosen(call: Any, member: str, **filters: str) -> list[Any]:
    found = call(Filters=[{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()])
    return list(found[member])


def test_the_default_vpc_is_like_awss(cloud: Any, ec2: Any) -> None:
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert (vpc["CidrBlock"], vpc["IsDefault"], vpc["State"]) == ("172.31.0.0/16", True, "available")
    assert (vpc["OwnerId"], vpc["InstanceTenancy"]) == (cloud.admin.id, "default")
    (association,) = vpc["CidrBlockAssociationSet"]
    assert association["CidrBlock"] == "172.31.0.0/16"
    for filters in (
        {"is_default": "true"},
        {"isDefault": "true"},
        {"cidr": "172.31.0.0/16"},
        {"cidr_block_association.association_id": association["AssociationId"]},
        {"cidr_block_association.cidr_block": "172.31.*"},
        {"cidr_block_association.state": "associated"},
        {"dhcp_options_id": vpc["DhcpOptionsId"]},
        {"owner_id": cloud.admin.id, "state": "available", "vpc_id": vpc["VpcId"]},
    ):
        assert chosen(ec2.describe_vpcs, "Vpcs", **filters) == [vpc], filters
    assert chosen(ec2.describe_vpcs, "Vpcs", **{"ipv6_cidr_block_association.association_id": "*"}) == []
    assert chosen(ec2.describe_vpcs, "Vpcs", is_default="false") == []


def test_the_switches_of_a_vpc_are_shown(ec2: Any) -> None:
    id = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    expected = {"enableDnsSupport": True, "enableDnsHostnames": True, "enableNetworkAddressUsageMetrics": False}
    for attribute, value in expected.items():
        found = ec2.describe_vpc_attribute(VpcId=id, Attribute=attribute)
        assert found[attribute[:1].upper() + attribute[1:]] == {"Value": value}
    assert code(ec2.describe_vpc_attribute, VpcId=id, Attribute="colour") == "InvalidParameterValue"
    asked = {"VpcId": "vpc-01234567890123456", "Attribute": "enableDnsSupport"}
    assert code(ec2.describe_vpc_attribute, **asked) == "InvalidVpcID.NotFound"


def test_each_zone_has_a_default_subnet(cloud: Any, ec2: Any) -> None:
    first, second = ec2.describe_subnets()["Subnets"]
    assert (first["AvailabilityZone"], first["CidrBlock"]) == ("us-east-1a", "172.31.0.0/20")
    assert (second["AvailabilityZone"], second["CidrBlock"]) == ("us-east-1b", "172.31.16.0/20")
    for subnet in (first, second):
        assert subnet["DefaultForAz"] is subnet["MapPublicIpOnLaunch"] is True
        assert subnet["AvailableIpAddressCount"] == 4096 - 5
    for filters in (
        {"availability_zone": "us-east-1b"},
        {"availability_zone_id": "use1-az2"},
        {"cidr_block": "172.31.16.0/20"},
        {"subnet_id": second["SubnetId"]},
        {"subnet_arn": second["SubnetArn"]},
    ):
        assert chosen(ec2.describe_subnets, "Subnets", **filters) == [second], filters
    for filters in (
        {"vpc_id": first["VpcId"]},
        {"default_for_az": "true", "map_public_ip_on_launch": "true"},
        {"available_ip_address_count": "4091", "state": "available", "owner_id": cloud.admin.id},
    ):
        assert chosen(ec2.describe_subnets, "Subnets", **filters) == [first, second], filters


def test_a_subnet_counts_its_free_addresses(cloud: Any, ec2: Any) -> None:
    ec2.run_instances(ImageId=cloud.image, InstanceType="m1.tiny", MinCount=1, MaxCount=1)
    assert sorted(one["AvailableIpAddressCount"] for one in ec2.describe_subnets()["Subnets"]) == [4090, 4091]


def test_accounts_have_the_same_ranges_and_do_not_see_each_other(cloud: Any, ec2: Any) -> None:
    other = cloud.account("other").client("ec2")
    (mine,), (theirs,) = ec2.describe_vpcs()["Vpcs"], other.describe_vpcs()["Vpcs"]
    assert mine["CidrBlock"] == theirs["CidrBlock"]
    assert mine["VpcId"] != theirs["VpcId"]
    assert message(other.describe_vpcs, VpcIds=[mine["VpcId"]]) == f"The vpc ID '{mine['VpcId']}' does not exist"
    assert code(other.describe_vpcs, VpcIds=[mine["VpcId"]]) == "InvalidVpcID.NotFound"
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    assert code(other.describe_subnets, SubnetIds=[subnet]) == "InvalidSubnetID.NotFound"
    asked = {"VpcId": mine["VpcId"], "Attribute": "enableDnsSupport"}
    assert code(other.describe_vpc_attribute, **asked) == "InvalidVpcID.NotFound"


def test_a_vpc_has_a_main_route_table_a_gateway_and_dhcp_options(ec2: Any) -> None:
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    main = {"vpc_id": vpc["VpcId"], "association.main": "true"}
    (table,) = chosen(ec2.describe_route_tables, "RouteTables", **main)
    (gateway,) = chosen(ec2.describe_internet_gateways, "InternetGateways", **{"attachment.vpc_id": vpc["VpcId"]})
    routes = {route["DestinationCidrBlock"]: route["GatewayId"] for route in table["Routes"]}
    assert routes == {"172.31.0.0/16": "local", "0.0.0.0/0": gateway["InternetGatewayId"]}
    (association,) = table["Associations"]
    assert association["Main"] is True
    for filters in (
        {"route_table_id": table["RouteTableId"]},
        {"association.route_table_association_id": association["RouteTableAssociationId"]},
        {"route.destination_cidr_block": "0.0.0.0/0", "route.gateway_id": gateway["InternetGatewayId"]},
    ):
        assert chosen(ec2.describe_route_tables, "RouteTables", **filters) == [table]
    (options,) = ec2.describe_dhcp_options(DhcpOptionsIds=[vpc["DhcpOptionsId"]])["DhcpOptions"]
    told = {one["Key"]: one["Values"][0]["Value"] for one in options["DhcpConfigurations"]}
    assert told == {"domain-name": "ec2.internal", "domain-name-servers": "AmazonProvidedDNS"}
    assert code(ec2.describe_route_tables, RouteTableIds=["rtb-1"]) == "InvalidRouteTableID.NotFound"
    assert code(ec2.describe_internet_gateways, InternetGatewayIds=["igw-1"]) == "InvalidInternetGatewayID.NotFound"
    assert code(ec2.describe_dhcp_options, DhcpOptionsIds=["dopt-1"]) == "InvalidDhcpOptionID.NotFound"


def test_there_is_one_region(ec2: Any) -> None:
    (region,) = ec2.describe_regions(AllRegions=True)["Regions"]
    assert (region["RegionName"], region["OptInStatus"]) == ("us-east-1", "opt-in-not-required")
    assert ec2.describe_regions(RegionNames=["us-east-1"])["Regions"] == [region]
    assert chosen(ec2.describe_regions, "Regions", region_name="us-*", endpoint="*") == [region]
    assert chosen(ec2.describe_regions, "Regions", region_name="eu-*") == []
    assert code(ec2.describe_regions, RegionNames=["mars-1"]) == "InvalidParameterValue"


def test_zones_are_available_while_a_living_host_serves_them(cloud: Any, ec2: Any) -> None:
    first, second = ec2.describe_availability_zones()["AvailabilityZones"]
    assert (first["ZoneName"], first["ZoneId"], first["State"]) == ("us-east-1a", "use1-az1", "available")
    assert (second["ZoneName"], second["RegionName"], second["GroupName"]) == ("us-east-1b", "us-east-1", "us-east-1")
    call = ec2.describe_availability_zones
    assert call(ZoneNames=["us-east-1b"])["AvailabilityZones"] == call(ZoneIds=["use1-az2"])["AvailabilityZones"]
    assert chosen(call, "AvailabilityZones", state="available") == [first, second]
    assert chosen(call, "AvailabilityZones", zone_id="use1-az2", zone_type="availability-zone") == [second]
    assert message(call, ZoneNames=["us-east-1z"]) == "Invalid availability zone: [us-east-1z]"
    assert code(call, ZoneIds=["use1-az9"]) == "InvalidParameterValue"
    with cloud.database.write() as tx:
        tx.change(service.update().values(heard=tx.now - 60))
    states = [(zone["State"], len(zone["Messages"])) for zone in call()["AvailabilityZones"]]
    assert states == [("impaired", 1), ("impaired", 1)]


@pytest.mark.parametrize("cloud", [{"region": "ap-southeast-2", "zones": ["north", "south"]}], indirect=True)
def test_any_region_and_zones_will_do(cloud: Any, ec2: Any) -> None:
    (region,) = ec2.describe_regions()["Regions"]
    zones = {zone["ZoneName"]: zone["ZoneId"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    assert region["RegionName"] == "ap-southeast-2"
    assert zones == {"north": "apse2-north", "south": "apse2-south"}
    assert {subnet["AvailabilityZone"] for subnet in ec2.describe_subnets()["Subnets"]} == {"north", "south"}
    (options,) = ec2.describe_dhcp_options()["DhcpOptions"]
    assert options["DhcpConfigurations"][0]["Values"] == [{"Value": "ap-southeast-2.compute.internal"}]


@pytest.mark.parametrize(
    ("cloud", "zone", "id"),
    [
        ({"region": "nova", "zones": ["nova"]}, "nova", "nova-nova"),
        ({"zones": ["nova", "us-east-1b"]}, "nova", "use1-nova"),
        ({"zones": ["nova", "us-east-1b"]}, "us-east-1b", "use1-az2"),
    ],
    indirect=["cloud"],
)
def test_a_zone_has_one_id_whoever_is_asked(cloud: Any, ec2: Any, zone: str, id: str) -> None:
    instance = shown(ec2, launched(cloud, ec2, Placement={"AvailabilityZone": zone}))
    (nic,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    (subnet,) = ec2.describe_subnets(SubnetIds=[instance["SubnetId"]])["Subnets"]
    (volume,) = ec2.describe_volumes()["Volumes"]
    (status,) = ec2.describe_instance_status()["InstanceStatuses"]
    said = [one["AvailabilityZoneId"] for one in (instance["Placement"], nic, subnet, volume, status)]
    (named,) = ec2.describe_availability_zones(ZoneNames=[zone])["AvailabilityZones"]
    assert [named["ZoneId"], *said, told_to_guest(cloud, nic["NetworkInterfaceId"])] == [id] * 7


def told_to_guest(cloud: Any, interface: str) -> str:
    """The zone's id in the metadata of the guest behind an interface."""
    document = cloud.cloud.host.agents["network"].documents.get(interface)
    spec = msgspec.json.decode(document.spec, type=InterfaceSpec)
    assert spec.metadata is not None
    told = find(tree(spec, spec.metadata), ["meta-data", "placement", "availability-zone-id"])
    assert told is not None
    return told.decode()


def test_an_accounts_limits_are_the_operators(cloud: Any, ec2: Any) -> None:
    found = ec2.describe_account_attributes()["AccountAttributes"]
    values = {one["AttributeName"]: one["AttributeValues"][0]["AttributeValue"] for one in found}
    assert values["supported-platforms"] == "VPC"
    assert values["default-vpc"] == ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    assert values["max-instances"] == str(cloud.config.quota_instances)
    assert values["vpc-max-elastic-ips"] == str(cloud.config.quota_addresses)
    (one,) = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert one["AttributeName"] == "default-vpc"
    assert code(ec2.describe_account_attributes, AttributeNames=["colour"]) == "InvalidParameterValue"


def test_only_an_administrator_is_shown_the_hosts_of_zones(cloud: TestedCloud, ec2: Any) -> None:
    cloud.cloud.host.heartbeat.beat()
    shown = ec2.describe_availability_zones(ZoneNames=["verbose"])["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in shown[:2]] == ["us-east-1a", "|- h1"]
    cloud.clock.ahead += 16
    shown = ec2.describe_availability_zones(ZoneNames=["verbose"])["AvailabilityZones"]
    assert {zone["State"][:11] for zone in shown if zone["ZoneName"].startswith("| |- ")} == {"enabled XXX"}
    bob = cloud.account("bob").client()
    assert code(bob.describe_availability_zones, ZoneNames=["verbose"]) == "InvalidParameterValue"


def test_nothing_blocks_public_access_of_a_vpc_or_its_subnets(ec2: Any) -> None:
    for one in [*ec2.describe_vpcs()["Vpcs"], *ec2.describe_subnets()["Subnets"]]:
        assert one["BlockPublicAccessStates"] == {"InternetGatewayBlockMode": "off"}
