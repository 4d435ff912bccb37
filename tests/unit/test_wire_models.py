"""The models that are shipped, and the names in them."""

from __future__ import annotations

import pytest
from botocore import xform_name
from support.wire_shapes import botocore_model, strip_models

from cumulet.wire.models import load, services
from cumulet.wire.names import python_name


def test_the_shipped_models_are_those_that_the_tool_writes() -> None:
    assert services() == set(strip_models().SERVICES)
    for service in services():
        ours = load(service)
        fresh = strip_models().strip(service)
        assert fresh.metadata == ours.metadata
        assert {name: ours.operation(name) for name in ours.operations} == fresh.operations
        assert {name: ours.shape(name) for name in fresh.shapes} == fresh.shapes


@pytest.mark.parametrize("service", ["ec2", "sts"])
def test_every_operation_of_botocore_is_there(service: str) -> None:
    assert load(service).operations == set(botocore_model(service).operation_names)


def test_a_model_knows_what_goes_in_and_out() -> None:
    ec2 = load("ec2")
    assert ec2.metadata.api_version == "2016-11-15"
    assert ec2.input("RunInstances").required == ("MaxCount", "MinCount")
    assert ec2.output("CreateTags").members == {}
    assert "t3.micro" in ec2.shape("InstanceType").enum
    assert load("sts").shape("roleDurationSecondsType").min == 900
    assert load("ec2") is ec2
    with pytest.raises(KeyError):
        ec2.operation("MakeTea")


def test_a_service_without_a_model_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        load("tea")


@pytest.mark.parametrize("service", ["ec2", "sts", "iam", "s3", "elbv2", "rds", "autoscaling"])
def test_python_names_are_those_of_botocore(service: str) -> None:
    whole = strip_models().strip(service)
    names = set(whole.operations) | {name for shape in whole.shapes.values() for name in shape.members}
    assert {name: python_name(name) for name in names} == {name: xform_name(name) for name in names}


@pytest.mark.parametrize(
    ("name", "python"),
    [
        ("RunInstances", "run_instances"),
        ("DescribeVPCs", "describe_vpcs"),
        ("ARNs", "arns"),
        ("EC2Type", "ec2_type"),
        ("Ipv6AddressCount", "ipv6_address_count"),
        ("dry_run", "dry_run"),
        ("", ""),
    ],
)
def test_a_word_begins_at_a_capital(name: str, python: str) -> None:
    assert python_name(name) == python
