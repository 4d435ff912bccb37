"""Network interfaces and the groups they are in: shown, found, changed, and followed by the host."""

from __future__ import annotations

from typing import Any

import pytest
from support.orders import group_order, interface_order
from support.refusals import code, message


@pytest.fixture
def guest(cloud: Any, ec2: Any) -> str:
    """A running instance in the default group."""
    return launch(cloud, ec2)


def launch(cloud: Any, ec2: Any, **more: Any) -> str:
    made = ec2.run_instances(ImageId=cloud.image, InstanceType="m1.tiny", MinCount=1, MaxCount=1, **more)
    cloud.settle()
    return str(made["Instances"][0]["InstanceId"])


def nic_of(ec2: Any, guest: str) -> dict[str, Any]:
    wanted = [{"Name": "attachment.instance-id", "Values": [guest]}]
    (found,) = ec2.describe_network_interfaces(Filters=wanted)["NetworkInterfaces"]
    return dict(found)


def new_group(ec2: Any, name: str) -> str:
    return str(ec2.create_security_group(GroupName=name, Description="a group")["GroupId"])


def test_an_interface_is_shown_with_all_that_is_known_of_it(cloud: Any, ec2: Any, guest: str) -> None:
    nic = nic_of(ec2, guest)
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    (subnet,) = ec2.describe_subnets(SubnetIds=[nic["SubnetId"]])["Subnets"]
    assert nic["VpcId"] == vpc["VpcId"] == subnet["VpcId"]
    assert (nic["AvailabilityZone"], nic["AvailabilityZoneId"]) == (subnet["AvailabilityZone"], "use1-az1")
    assert (nic["Status"], nic["InterfaceType"], nic["OwnerId"]) == ("in-use", "interface", cloud.admin.id)
    assert [group["GroupName"] for group in nic["Groups"]] == ["default"]
    attachment = nic["Attachment"]
    assert (attachment["InstanceId"], attachment["InstanceOwnerId"]) == (guest, cloud.admin.id)
    assert (attachment["DeviceIndex"], attachment["Status"]) == (0, "attached")
    assert attachment["DeleteOnTermination"] is nic["SourceDestCheck"] is True
    assert nic["PrivateDnsName"] == f"ip-{nic['PrivateIpAddress'].replace('.', '-')}.ec2.internal"
    (address,) = nic["PrivateIpAddresses"]
    assert (address["Primary"], address["PrivateIpAddress"]) == (True, nic["PrivateIpAddress"])
    assert address["Association"] == nic["Association"]
    assert nic["Association"]["IpOwnerId"] == "amazon"
    order = interface_order(cloud, nic["NetworkInterfaceId"])
    assert order is not None
    assert (order.ip, order.mac) == (nic["PrivateIpAddress"], nic["MacAddress"])
    assert order.public_ip == nic["Association"]["PublicIp"]


def test_interfaces_are_found_by_id_and_filter(cloud: Any, ec2: Any, guest: str) -> None:
    other = launch(cloud, ec2)
    ec2.associate_address(InstanceId=guest, AllocationId=ec2.allocate_address()["AllocationId"])
    nic = nic_of(ec2, guest)
    id = nic["NetworkInterfaceId"]
    ec2.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "1"}])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=id, Description={"Value": "front"})
    for name, value in {
        "addresses.association.public-ip": nic["Association"]["PublicIp"],
        "addresses.private-ip-address": nic["PrivateIpAddress"],
        "association.allocation-id": nic["Association"]["AllocationId"],
        "association.association-id": nic["Association"]["AssociationId"],
        "association.public-ip": nic["Association"]["PublicIp"],
        "attachment.attachment-id": nic["Attachment"]["AttachmentId"],
        "attachment.instance-id": guest,
        "description": "fro*",
        "mac-address": nic["MacAddress"],
        "network-interface-id": id,
        "private-dns-name": nic["PrivateDnsName"],
        "private-ip-address": nic["PrivateIpAddress"],
        "tag:a": "1",
        "tag-key": "a",
    }.items():
        found = ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])["NetworkInterfaces"]
        assert [one["NetworkInterfaceId"] for one in found] == [id], name
    for name, value in {
        "addresses.primary": "true",
        "attachment.delete-on-termination": "true",
        "attachment.device-index": "0",
        "attachment.instance-owner-id": cloud.admin.id,
        "attachment.status": "attached",
        "group-id": nic["Groups"][0]["GroupId"],
        "group-name": "default",
        "interface-type": "interface",
        "owner-id": cloud.admin.id,
        "requester-managed": "false",
        "source-dest-check": "true",
        "status": "in-use",
        "vpc-id": nic["VpcId"],
    }.items():
        found = ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])["NetworkInterfaces"]
        assert {one["Attachment"]["InstanceId"] for one in found} == {guest, other}, name
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[id])["NetworkInterfaces"]
    assert found["TagSet"] == [{"Key": "a", "Value": "1"}]


def test_the_interface_goes_with_its_instance(cloud: Any, ec2: Any, guest: str) -> None:
    free = ec2.describe_subnets(SubnetIds=[nic_of(ec2, guest)["SubnetId"]])["Subnets"][0]["AvailableIpAddressCount"]
    ec2.create_tags(Resources=[nic_of(ec2, guest)["NetworkInterfaceId"]], Tags=[{"Key": "a", "Value": "1"}])
    subnet = nic_of(ec2, guest)["SubnetId"]
    ec2.terminate_instances(InstanceIds=[guest])
    cloud.settle()
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    after = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"]
    assert after == free + 1
    assert ec2.describe_tags()["Tags"] == []


def test_changed_groups_are_on_the_host_with_their_members(cloud: Any, ec2: Any, guest: str) -> None:
    web = new_group(ec2, "web")
    nic = nic_of(ec2, guest)
    old = nic["Groups"][0]["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=nic["NetworkInterfaceId"], Groups=[web])
    cloud.settle()
    assert [group["GroupId"] for group in nic_of(ec2, guest)["Groups"]] == [web]
    order, entered, left = (
        interface_order(cloud, nic["NetworkInterfaceId"]),
        group_order(cloud, web),
        group_order(cloud, old),
    )
    assert order is not None and order.groups == [web]
    assert entered is not None and entered.members == [nic["PrivateIpAddress"]]
    assert left is None


def test_a_new_rule_is_on_the_host_and_a_revoked_one_is_not(cloud: Any, ec2: Any, guest: str) -> None:
    group = nic_of(ec2, guest)["Groups"][0]["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 23, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    cloud.settle()
    before = group_order(cloud, group)
    assert before is not None
    assert ("tcp", 22, 23, "10.0.0.0/8") in [
        (one.protocol, one.from_port, one.to_port, one.cidr) for one in before.ingress
    ]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    cloud.settle()
    after = group_order(cloud, group)
    assert after is not None
    assert [one.group for one in after.ingress] == [group]


def test_a_modified_rule_is_on_the_host(cloud: Any, ec2: Any, guest: str) -> None:
    group = nic_of(ec2, guest)["Groups"][0]["GroupId"]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[everything])["SecurityGroupRules"][0]
    change = {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "CidrIpv4": "192.168.0.0/16"}
    changes = [{"SecurityGroupRuleId": made["SecurityGroupRuleId"], "SecurityGroupRule": change}]
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=changes)
    cloud.settle()
    order = group_order(cloud, group)
    assert order is not None
    (rule,) = [one for one in order.ingress if one.cidr]
    assert (rule.protocol, rule.from_port, rule.to_port, rule.cidr) == ("icmp", 8, -1, "192.168.0.0/16")


def test_a_group_that_a_rule_names_is_on_the_host_for_as_long_as_it_is_named(cloud: Any, ec2: Any, guest: str) -> None:
    group, web = nic_of(ec2, guest)["Groups"][0]["GroupId"], new_group(ec2, "web")
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": web}]}
    assert group_order(cloud, web) is None
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    cloud.settle()
    assert group_order(cloud, web) is not None
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule])
    cloud.settle()
    assert group_order(cloud, web) is None


def test_a_group_stays_while_something_is_in_it(cloud: Any, ec2: Any) -> None:
    web = new_group(ec2, "web")
    guest = launch(cloud, ec2, SecurityGroupIds=[web])
    assert message(ec2.delete_security_group, GroupId=web) == f"resource {web} has a dependent object"
    ec2.terminate_instances(InstanceIds=[guest])
    cloud.settle()
    ec2.delete_security_group(GroupId=web)
    cloud.settle()
    assert group_order(cloud, web) is None


def test_attributes_are_changed_one_at_a_time(cloud: Any, ec2: Any, guest: str) -> None:
    nic = nic_of(ec2, guest)
    id = nic["NetworkInterfaceId"]
    call, show = ec2.modify_network_interface_attribute, ec2.describe_network_interface_attribute
    call(NetworkInterfaceId=id, Description={"Value": "front door"})
    call(NetworkInterfaceId=id, SourceDestCheck={"Value": False})
    attachment = {"AttachmentId": nic["Attachment"]["AttachmentId"], "DeleteOnTermination": False}
    call(NetworkInterfaceId=id, Attachment=attachment)
    cloud.settle()
    order = interface_order(cloud, id)
    assert order is not None and order.source_dest_check is False
    asked = {"NetworkInterfaceId": id}
    assert show(**asked, Attribute="description")["Description"]["Value"] == "front door"
    assert show(**asked, Attribute="sourceDestCheck")["SourceDestCheck"]["Value"] is False
    assert show(**asked, Attribute="attachment")["Attachment"]["DeleteOnTermination"] is False
    assert show(**asked, Attribute="groupSet")["Groups"] == nic["Groups"]
    assert show(**asked, Attribute="associatePublicIpAddress")["AssociatePublicIpAddress"] is True
    two = {"Description": {"Value": "x"}, "SourceDestCheck": {"Value": True}}
    assert code(call, **asked, **two) == "InvalidParameterCombination"
    assert code(call, **asked) == "MissingParameter"
    assert code(call, **asked, Description={"Value": "x" * 256}) == "InvalidParameterValue"
    wrong = {"AttachmentId": "eni-attach-01234567890123456", "DeleteOnTermination": True}
    assert code(call, **asked, Attachment=wrong) == "InvalidAttachmentID.NotFound"
    assert code(show, **asked, Attribute="colour") == "InvalidParameterValue"


def test_groups_that_an_interface_cannot_have_are_refused(cloud: Any, ec2: Any, guest: str) -> None:
    id = nic_of(ec2, guest)["NetworkInterfaceId"]
    call = ec2.modify_network_interface_attribute
    theirs = cloud.account("other").client("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    for group in ("sg-01234567890123456", theirs):
        assert code(call, NetworkInterfaceId=id, Groups=[group]) == "InvalidGroup.NotFound"
    assert code(call, NetworkInterfaceId=id, Groups=["web"]) == "InvalidGroupId.Malformed"
    many = [new_group(ec2, f"g{number}") for number in range(17)]
    assert code(call, NetworkInterfaceId=id, Groups=many) == "SecurityGroupsPerInterfaceLimitExceeded"


def test_what_is_not_there_is_refused_by_its_name(cloud: Any, ec2: Any, guest: str) -> None:
    id = nic_of(ec2, guest)["NetworkInterfaceId"]
    other = cloud.account("other").client("ec2")
    assert other.describe_network_interfaces()["NetworkInterfaces"] == []
    for client, wanted in ((ec2, "eni-01234567890123456"), (other, id)):
        change = {"NetworkInterfaceId": wanted, "Description": {"Value": "x"}}
        assert code(client.modify_network_interface_attribute, **change) == "InvalidNetworkInterfaceID.NotFound"
        asked = {"NetworkInterfaceIds": [wanted]}
        assert code(client.describe_network_interfaces, **asked) == "InvalidNetworkInterfaceID.NotFound"
        one = {"NetworkInterfaceId": wanted, "Attribute": "description"}
        assert code(client.describe_network_interface_attribute, **one) == "InvalidNetworkInterfaceID.NotFound"
    malformed = {"NetworkInterfaceIds": ["x"]}
    assert code(ec2.describe_network_interfaces, **malformed) == "InvalidNetworkInterfaceId.Malformed"
