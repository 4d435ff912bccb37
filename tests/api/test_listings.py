"""What all the describing actions of EC2 have in common: the form of ids, the size of pages, the limits of filters."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.session import Session
from support.launching import launched, shown
from support.refusals import code, message

import cumulet.api.app  # noqa: F401 - it has all the actions registered
from cumulet.api.actions import ACTIONS

WRONG = [
    ("describe_instances", "InstanceIds", "i-", "InvalidInstanceID.Malformed"),
    ("describe_images", "ImageIds", "ami-", "InvalidAMIID.Malformed"),
    ("describe_volumes", "VolumeIds", "vol-", "InvalidParameterValue"),
    ("describe_snapshots", "SnapshotIds", "snap-", "InvalidParameterValue"),
    ("describe_security_groups", "GroupIds", "sg-", "InvalidGroupId.Malformed"),
    ("describe_security_group_rules", "SecurityGroupRuleIds", "sgr-", "InvalidSecurityGroupRuleId.Malformed"),
    ("describe_network_interfaces", "NetworkInterfaceIds", "eni-", "InvalidNetworkInterfaceId.Malformed"),
]


@pytest.mark.parametrize(("action", "parameter", "prefix", "expected"), WRONG)
def test_what_cannot_be_an_id_is_told_from_one_that_is_not_there(
    ec2: Any, action: str, parameter: str, prefix: str, expected: str
) -> None:
    call = getattr(ec2, action)
    for wrong in ("xyz", "123", "0123456789ABCDEF0", "0123456789abcdef01"):
        assert code(call, **{parameter: [prefix + wrong]}) == expected
    for right in ("12345678", "0123456789abcdef0"):
        assert code(call, **{parameter: [prefix + right]}).endswith(".NotFound")


def test_a_page_is_as_large_as_the_action_allows(ec2: Any) -> None:
    assert "between 5 and 100." in message(ec2.describe_instance_types, MaxResults=101)
    assert "between 5 and 100." in message(ec2.describe_route_tables, MaxResults=101)
    assert "between 1 and 1000." in message(ec2.describe_addresses_attribute, Attribute="domain-name", MaxResults=1001)
    assert ec2.describe_addresses_attribute(Attribute="domain-name", MaxResults=1)["Addresses"] == []
    assert "between 5 and 1000." in message(ec2.describe_instances, MaxResults=4)
    assert ec2.describe_subnets(MaxResults=1000)["Subnets"]


def test_a_request_has_50_filters_of_200_values_of_255_characters(ec2: Any) -> None:
    def asked(count: int, values: int, length: int) -> list[dict[str, Any]]:
        return [{"Name": "instance-id", "Values": ["x" * length] * values}] * count

    assert ec2.describe_instances(Filters=asked(50, 1, 1))["Reservations"] == []
    assert ec2.describe_instances(Filters=asked(1, 200, 255))["Reservations"] == []
    assert code(ec2.describe_instances, Filters=asked(51, 1, 1)) == "FilterLimitExceeded"
    assert code(ec2.describe_instances, Filters=asked(1, 201, 1)) == "FilterLimitExceeded"
    assert code(ec2.describe_instances, Filters=asked(1, 1, 256)) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("action", "parameter", "known"),
    [
        ("describe_images", "Owners", ["self", "amazon", "aws-marketplace", "123456789012"]),
        ("describe_images", "ExecutableUsers", ["self", "all", "123456789012"]),
        ("describe_snapshots", "OwnerIds", ["self", "amazon", "123456789012"]),
        ("describe_snapshots", "RestorableByUserIds", ["self", "all", "123456789012"]),
    ],
)
def test_an_owner_is_an_account_or_one_of_a_few_words(ec2: Any, action: str, parameter: str, known: list[str]) -> None:
    call = getattr(ec2, action)
    assert call(**{parameter: known})
    for wrong in ("somebody", "12345678901", ""):
        assert code(call, **{parameter: [wrong]}) == "InvalidUserID.Malformed"


def test_a_rule_to_be_taken_back_is_named_by_an_id(ec2: Any) -> None:
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    revoke = ec2.revoke_security_group_ingress
    assert code(revoke, GroupId=group["GroupId"], SecurityGroupRuleIds=["sgr-x"]).endswith("Id.Malformed")


def test_every_filter_that_aws_documents_is_known() -> None:
    service = Session().get_service_model("ec2")
    levels = {"informational", "low", "medium", "high", "critical"}
    unknown = []
    for (kind, name), action in ACTIONS.items():
        asked = service.operation_model(name).input_shape if kind == "ec2" else None
        if action.listing is None or asked is None or "Filters" not in asked.members:
            continue
        names = re.findall(r"<li>\s*<p>\s*<code>([^<]+)</code>", asked.members["Filters"].documentation)
        known = {*action.listing.filters, *levels}
        unknown += [(name, one) for one in names if one not in known and not one.startswith("tag")]
    assert unknown == []


def test_a_filter_of_what_is_not_here_finds_nothing(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    nic = shown(ec2, id)["NetworkInterfaces"][0]
    address = [{"Name": "network-interface.private-ip-address", "Values": [nic["PrivateIpAddress"]]}]
    assert found(ec2, address) == [id]
    for name in ("network-interface.requester-id", "outpost-arn", "capacity-reservation-id"):
        assert found(ec2, [{"Name": name, "Values": ["*"]}]) == []
    own = [{"Name": "operator.managed", "Values": ["false"]}]
    assert found(ec2, own) == [id]
    assert shown(ec2, id)["Operator"] == {"Managed": False}
    assert [one["Operator"] for one in ec2.describe_volumes(Filters=own)["Volumes"]] == [{"Managed": False}]
    assert len(ec2.describe_network_interfaces(Filters=own)["NetworkInterfaces"]) == 1
    assert len(ec2.describe_instance_status(Filters=own)["InstanceStatuses"]) == 1
    managed = [{"Name": "operator.managed", "Values": ["true"]}]
    assert found(ec2, managed) == []
    started = [{"Name": "start-time", "Values": ["20*"]}]
    assert ec2.describe_volumes_modifications(Filters=started)["VolumesModifications"] == []


def found(ec2: Any, filters: list[dict[str, Any]]) -> list[str]:
    pages = ec2.describe_instances(Filters=filters)["Reservations"]
    return [instance["InstanceId"] for page in pages for instance in page["Instances"]]


def test_a_number_of_results_goes_with_ids_but_where_the_reference_says_not(cloud: Any, ec2: Any) -> None:
    nets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]
    page = ec2.describe_subnets(SubnetIds=nets, MaxResults=5)["Subnets"]
    assert [one["SubnetId"] for one in page] == nets
    assert code(ec2.describe_network_interfaces, NetworkInterfaceIds=["eni-0123456789abcdef0"], MaxResults=5) == (
        "InvalidParameterCombination"
    )


@pytest.mark.parametrize(
    ("service", "action", "version", "refusal", "said"),
    [
        ("ec2", "describe_vpcs", "", "MissingParameter", "The request must contain the parameter Version"),
        (
            "ec2",
            "describe_vpcs",
            "2099-01-01",
            "NoSuchVersion",
            "The requested version (2099-01-01) of service AmazonEC2",
        ),
        ("ec2", "describe_vpcs", "new", "NoSuchVersion", "The requested version (new) of service AmazonEC2"),
        ("iam", "list_users", "", "InvalidAction", "operation ListUsers for version NO_VERSION_SPECIFIED"),
        ("iam", "list_users", "2010-05-09", "InvalidAction", "operation ListUsers for version 2010-05-09"),
    ],
)
def test_a_request_says_a_version_of_the_api(
    cloud: Any, service: str, action: str, version: str, refusal: str, said: str
) -> None:
    client = cloud.client(service)

    def changed(params: dict[str, Any], **_: Any) -> None:
        params["body"]["Version"] = version

    client.meta.events.register(f"before-call.{service}", changed)
    assert code(getattr(client, action)) == refusal
    assert said in message(getattr(client, action))


def test_parameters_of_ipv6_that_ask_for_nothing_are_let_through(cloud: Any, ec2: Any) -> None:
    launch = {"ImageId": cloud.image, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert code(ec2.run_instances, **launch, Ipv6AddressCount=0) == "DryRunOperation"
    nic = {"DeviceIndex": 0, "Ipv6AddressCount": 0, "PrimaryIpv6": False}
    assert code(ec2.run_instances, **launch, NetworkInterfaces=[nic]) == "DryRunOperation"
    assert "Ipv6AddressCount" in message(ec2.run_instances, **launch, Ipv6AddressCount=1)
