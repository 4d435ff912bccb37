"""Elastic IPs: kept by an account, associated with one interface, given back to the pool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.orders import interface_order
from support.refusals import code, message

SMALL_POOL = {"public_pool": ["198.51.100.10-198.51.100.13"]}


def launch(cloud: Any, ec2: Any, **more: Any) -> dict[str, Any]:
    """A running instance."""
    made = ec2.run_instances(ImageId=cloud.image, InstanceType="m1.tiny", MinCount=1, MaxCount=1, **more)
    cloud.settle()
    return instance(ec2, made["Instances"][0]["InstanceId"])


def instance(ec2: Any, id: str) -> dict[str, Any]:
    found = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
    return dict(found)


def one(ec2: Any, allocation: str) -> dict[str, Any]:
    (found,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    return dict(found)


def test_an_address_of_the_pool_is_kept_until_it_is_released(ec2: Any) -> None:
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "a", "Value": "1"}]}]
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
    found = one(ec2, made["AllocationId"])
    assert found["PublicIp"] == made["PublicIp"]
    assert found["PublicIp"].startswith("198.51.100.")
    assert (found["Domain"], found["NetworkBorderGroup"], found["Tags"]) == ("vpc", "us-east-1", tags[0]["Tags"])
    assert "AssociationId" not in found
    ec2.release_address(AllocationId=made["AllocationId"])
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_tags()["Tags"] == []


@pytest.mark.parametrize("cloud", [SMALL_POOL], indirect=True)
def test_an_address_that_is_wanted_is_given_if_it_is_free(cloud: Any, ec2: Any) -> None:
    call = ec2.allocate_address
    assert call(Address="198.51.100.12")["PublicIp"] == "198.51.100.12"
    other = cloud.account("other").client("ec2")
    assert code(other.allocate_address, Address="198.51.100.12") == "InvalidAddress.NotFound"
    assert code(call, Address="198.51.100.14") == "InvalidAddress.NotFound"
    assert code(call, Address="here") == "InvalidParameterValue"
    assert code(call, Domain="standard") == "InvalidParameterValue"
    assert code(call, PublicIpv4Pool="mine") == "InvalidPublicIpv4PoolID.NotFound"
    assert code(call, NetworkBorderGroup="elsewhere") == "InvalidParameterValue"
    assert call(PublicIpv4Pool="amazon", NetworkBorderGroup="us-east-1")["PublicIpv4Pool"] == "amazon"


@pytest.mark.parametrize("cloud", [SMALL_POOL], indirect=True)
def test_an_empty_pool_gives_nothing_and_gives_again_what_comes_back(ec2: Any) -> None:
    made = [ec2.allocate_address() for _ in range(4)]
    assert len({one["PublicIp"] for one in made}) == 4
    assert code(ec2.allocate_address) == "InsufficientAddressCapacity"
    ec2.release_address(PublicIp=made[2]["PublicIp"])
    assert ec2.allocate_address()["PublicIp"] == made[2]["PublicIp"]


@pytest.mark.parametrize("cloud", [{**SMALL_POOL, "quota_addresses": 2}], indirect=True)
def test_an_account_has_no_more_addresses_than_the_operator_allows(cloud: Any, ec2: Any) -> None:
    for _ in range(2):
        ec2.allocate_address()
    assert code(ec2.allocate_address) == "AddressLimitExceeded"
    cloud.account("other").client("ec2").allocate_address()


@pytest.mark.parametrize("cloud", [{"public_pool": ["198.51.100.1-198.51.100.8"]}], indirect=True)
def test_clients_at_the_same_time_never_get_the_same_address(cloud: Any) -> None:
    accounts = [cloud.account(f"a{number}").client("ec2") for number in range(4)]

    def allocate(number: int) -> str | None:
        try:
            return str(accounts[number % 4].allocate_address()["PublicIp"])
        except ClientError as e:
            assert e.response["Error"]["Code"] == "InsufficientAddressCapacity"
            return None

    with ThreadPoolExecutor(8) as pool:
        got = [address for address in pool.map(allocate, range(16)) if address]
    assert sorted(got) == [f"198.51.100.{number}" for number in range(1, 9)]


def test_a_dry_run_takes_no_address(ec2: Any) -> None:
    assert code(ec2.allocate_address, DryRun=True) == "DryRunOperation"
    assert ec2.describe_addresses()["Addresses"] == []


def test_an_associated_address_takes_the_place_of_the_automatic_one(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)
    made = ec2.allocate_address()
    assert guest["PublicIpAddress"] != made["PublicIp"]
    association = ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=guest["InstanceId"])
    cloud.settle()
    (nic,) = guest["NetworkInterfaces"]
    found = one(ec2, made["AllocationId"])
    assert found["AssociationId"] == association["AssociationId"]
    assert (found["InstanceId"], found["NetworkInterfaceId"]) == (guest["InstanceId"], nic["NetworkInterfaceId"])
    assert (found["PrivateIpAddress"], found["NetworkInterfaceOwnerId"]) == (guest["PrivateIpAddress"], nic["OwnerId"])
    assert instance(ec2, guest["InstanceId"])["PublicIpAddress"] == made["PublicIp"]
    (shown,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert shown["Association"]["AllocationId"] == made["AllocationId"]
    assert shown["Association"]["IpOwnerId"] == nic["OwnerId"]
    assert on_host(cloud, nic["NetworkInterfaceId"]) == made["PublicIp"]


def on_host(cloud: Any, interface: str) -> str | None:
    """The public address that the host has for the interface."""
    order = interface_order(cloud, interface)
    assert order is not None
    return order.public_ip


def test_a_disassociated_address_stays_and_a_running_guest_gets_an_automatic_one(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)
    made = ec2.allocate_address()
    association = ec2.associate_address(PublicIp=made["PublicIp"], InstanceId=guest["InstanceId"])["AssociationId"]
    ec2.disassociate_address(AssociationId=association)
    cloud.settle()
    assert "AssociationId" not in one(ec2, made["AllocationId"])
    now = instance(ec2, guest["InstanceId"])["PublicIpAddress"]
    assert now != made["PublicIp"]
    assert on_host(cloud, guest["NetworkInterfaces"][0]["NetworkInterfaceId"]) == now
    assert code(ec2.disassociate_address, AssociationId=association) == "InvalidAssociationID.NotFound"
    ec2.disassociate_address(PublicIp=made["PublicIp"])


def test_a_stopped_instance_can_have_an_address_and_gets_no_automatic_one_after_it(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)["InstanceId"]
    ec2.stop_instances(InstanceIds=[guest], Force=True)
    cloud.settle()
    made = ec2.allocate_address()
    ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=guest)
    assert instance(ec2, guest)["PublicIpAddress"] == made["PublicIp"]
    ec2.disassociate_address(PublicIp=made["PublicIp"])
    cloud.settle()
    assert not instance(ec2, guest).get("PublicIpAddress")


def test_an_address_moves_to_another_instance_unless_that_is_forbidden(cloud: Any, ec2: Any) -> None:
    first, second = (launch(cloud, ec2)["InstanceId"] for _ in range(2))
    made = ec2.allocate_address()
    asked = {"AllocationId": made["AllocationId"]}
    before = ec2.associate_address(**asked, InstanceId=first)["AssociationId"]
    assert ec2.associate_address(**asked, InstanceId=first, AllowReassociation=False)["AssociationId"] == before
    said = message(ec2.associate_address, **asked, InstanceId=second, AllowReassociation=False)
    assert said == f"resource {made['AllocationId']} is already associated with associate-id {before}"
    after = ec2.associate_address(**asked, InstanceId=second)["AssociationId"]
    cloud.settle()
    assert after != before
    assert instance(ec2, second)["PublicIpAddress"] == made["PublicIp"]
    assert instance(ec2, first)["PublicIpAddress"] not in ("", made["PublicIp"])


def test_an_instance_has_one_elastic_ip_and_the_earlier_one_stays_with_the_account(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)
    first, second = ec2.allocate_address(), ec2.allocate_address()
    ec2.associate_address(AllocationId=first["AllocationId"], InstanceId=guest["InstanceId"])
    nic = guest["NetworkInterfaces"][0]["NetworkInterfaceId"]
    asked = {"AllocationId": second["AllocationId"], "NetworkInterfaceId": nic}
    assert code(ec2.associate_address, **asked, AllowReassociation=False) == "Resource.AlreadyAssociated"
    ec2.associate_address(**asked)
    assert "AssociationId" not in one(ec2, first["AllocationId"])
    assert instance(ec2, guest["InstanceId"])["PublicIpAddress"] == second["PublicIp"]


def test_an_address_in_use_is_not_released(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)["InstanceId"]
    made = ec2.allocate_address()
    ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=guest)
    assert message(ec2.release_address, PublicIp=made["PublicIp"]) == f"Address {made['PublicIp']} is in use."
    assert code(ec2.release_address, AllocationId=made["AllocationId"]) == "InvalidIPAddress.InUse"
    ec2.terminate_instances(InstanceIds=[guest])
    cloud.settle()
    ec2.release_address(AllocationId=made["AllocationId"])


def test_a_terminated_instance_gets_no_address(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)["InstanceId"]
    ec2.terminate_instances(InstanceIds=[guest])
    asked = {"AllocationId": ec2.allocate_address()["AllocationId"], "InstanceId": guest}
    assert code(ec2.associate_address, **asked) == "IncorrectInstanceState"
    cloud.settle()
    assert code(ec2.associate_address, **asked) == "IncorrectInstanceState"


def test_what_is_not_there_is_refused_by_its_name(cloud: Any, ec2: Any) -> None:
    mine = {"AllocationId": ec2.allocate_address()["AllocationId"]}
    guest = {"InstanceId": "i-01234567890123456"}
    nowhere = {"AllocationId": "eipalloc-01234567890123456"}
    assert code(ec2.associate_address, **mine, **guest) == "InvalidInstanceID.NotFound"
    assert code(ec2.associate_address, **mine, InstanceId="x") == "InvalidInstanceID.Malformed"
    nic = {"NetworkInterfaceId": "eni-01234567890123456"}
    assert code(ec2.associate_address, **mine, **nic) == "InvalidNetworkInterfaceID.NotFound"
    assert code(ec2.associate_address, **mine, NetworkInterfaceId="x") == "InvalidNetworkInterfaceId.Malformed"
    assert code(ec2.associate_address, **nowhere, **guest) == "InvalidAllocationID.NotFound"
    assert code(ec2.associate_address, PublicIp="203.0.113.1", **guest) == "InvalidAddress.NotFound"
    assert code(ec2.associate_address, **mine) == "MissingParameter"
    assert code(ec2.associate_address, **guest) == "MissingParameter"
    assert code(ec2.associate_address, **mine, **guest, **nic) == "InvalidParameterCombination"
    assert code(ec2.disassociate_address, AssociationId="eipassoc-1") == "InvalidAssociationID.NotFound"
    assert code(ec2.disassociate_address, PublicIp="203.0.113.1") == "InvalidAddress.NotFound"
    assert code(ec2.disassociate_address) == "MissingParameter"
    assert code(ec2.release_address, **nowhere) == "InvalidAllocationID.NotFound"
    assert code(ec2.release_address, PublicIp="203.0.113.1") == "InvalidAddress.NotFound"
    assert code(ec2.release_address) == "MissingParameter"
    assert code(ec2.release_address, **mine, NetworkBorderGroup="elsewhere") == "InvalidParameterValue"
    assert code(ec2.describe_addresses, PublicIps=["203.0.113.1"]) == "InvalidAddress.NotFound"
    for call in (ec2.disassociate_address, ec2.release_address):
        assert code(call, PublicIp="203.0.113") == "InvalidAddress.Malformed"
    assert code(ec2.describe_addresses, PublicIps=["nowhere"]) == "InvalidAddress.Malformed"
    assert code(ec2.describe_addresses, AllocationIds=["eipalloc-1"]) == "InvalidAllocationID.NotFound"


def test_a_private_address_that_the_interface_does_not_have_is_refused(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)
    asked = {"AllocationId": ec2.allocate_address()["AllocationId"], "InstanceId": guest["InstanceId"]}
    assert code(ec2.associate_address, **asked, PrivateIpAddress="10.0.0.1") == "InvalidParameterValue"
    ec2.associate_address(**asked, PrivateIpAddress=guest["PrivateIpAddress"])


def test_addresses_are_found_by_filter(cloud: Any, ec2: Any) -> None:
    guest = launch(cloud, ec2)
    made, _ = ec2.allocate_address(), ec2.allocate_address()
    ec2.create_tags(Resources=[made["AllocationId"]], Tags=[{"Key": "a", "Value": "1"}])
    ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=guest["InstanceId"])
    found = one(ec2, made["AllocationId"])
    for name, member in {
        "allocation-id": "AllocationId",
        "association-id": "AssociationId",
        "instance-id": "InstanceId",
        "network-interface-id": "NetworkInterfaceId",
        "network-interface-owner-id": "NetworkInterfaceOwnerId",
        "private-ip-address": "PrivateIpAddress",
        "public-ip": "PublicIp",
    }.items():
        chosen = ec2.describe_addresses(Filters=[{"Name": name, "Values": [found[member]]}])["Addresses"]
        assert chosen == [found], name
    assert ec2.describe_addresses(Filters=[{"Name": "tag:a", "Values": ["1"]}])["Addresses"] == [found]
    assert ec2.describe_addresses(PublicIps=[found["PublicIp"]])["Addresses"] == [found]
    for name, value in {"domain": "vpc", "network-border-group": "us-east-1", "public-ipv4-pool": "amazon"}.items():
        assert len(ec2.describe_addresses(Filters=[{"Name": name, "Values": [value]}])["Addresses"]) == 2


def test_an_address_has_no_domain_name(ec2: Any) -> None:
    made = ec2.allocate_address()
    asked = {"AllocationIds": [made["AllocationId"]], "Attribute": "domain-name"}
    (found,) = ec2.describe_addresses_attribute(**asked)["Addresses"]
    assert found == {"PublicIp": made["PublicIp"], "AllocationId": made["AllocationId"]}
    assert code(ec2.describe_addresses_attribute, AllocationIds=["eipalloc-1"]) == "InvalidAllocationID.NotFound"
    assert code(ec2.describe_addresses_attribute, Attribute="colour") == "InvalidParameterValue"


def test_nobody_sees_or_takes_the_addresses_of_another_account(cloud: Any, ec2: Any) -> None:
    made = ec2.allocate_address()
    other = cloud.account("other").client("ec2")
    assert other.describe_addresses()["Addresses"] == []
    assert code(other.release_address, AllocationId=made["AllocationId"]) == "InvalidAllocationID.NotFound"
    assert code(other.release_address, PublicIp=made["PublicIp"]) == "InvalidAddress.NotFound"
    guest = launch(cloud, ec2)
    theirs = {"AllocationId": other.allocate_address()["AllocationId"]}
    nic = guest["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert code(other.associate_address, **theirs, InstanceId=guest["InstanceId"]) == "InvalidInstanceID.NotFound"
    assert code(other.associate_address, **theirs, NetworkInterfaceId=nic) == "InvalidNetworkInterfaceID.NotFound"
