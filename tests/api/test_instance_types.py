"""Instance types: those of 2012, those of today's configurations, the operator's own, and where they are offered."""

from __future__ import annotations

from typing import Any

import pytest
from support.refusals import code, message

from cumulet.lib.config import InstanceType


def sizes(ec2: Any, **parameters: Any) -> dict[str, tuple[int, int]]:
    shown = ec2.describe_instance_types(**parameters)["InstanceTypes"]
    return {one["InstanceType"]: (one["VCpuInfo"]["DefaultVCpus"], one["MemoryInfo"]["SizeInMiB"]) for one in shown}


def wanted(**filters: str) -> list[dict[str, Any]]:
    return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]


def test_the_tutorials_types_have_the_sizes_of_2012(ec2: Any) -> None:
    assert sizes(ec2, Filters=wanted(instance_type="m1.*")) == {
        "m1.tiny": (1, 512),
        "m1.small": (1, 2048),
        "m1.medium": (2, 4096),
        "m1.large": (4, 8192),
        "m1.xlarge": (8, 16384),
    }


@pytest.mark.parametrize(
    ("name", "vcpus", "memory"),
    [
        ("t2.nano", 1, 512),
        ("t2.medium", 2, 4096),
        ("t3.nano", 2, 512),
        ("t3.micro", 2, 1024),
        ("t3.2xlarge", 8, 32768),
        ("m5.large", 2, 8192),
        ("m5.24xlarge", 96, 393216),
        ("c5.large", 2, 4096),
        ("c5.9xlarge", 36, 73728),
        ("c5.18xlarge", 72, 147456),
        ("r5.large", 2, 16384),
        ("r5.24xlarge", 96, 786432),
    ],
)
def test_todays_types_have_awss_sizes(ec2: Any, name: str, vcpus: int, memory: int) -> None:
    assert sizes(ec2, InstanceTypes=[name]) == {name: (vcpus, memory)}


def test_a_type_is_described_as_clients_expect_it(ec2: Any) -> None:
    (shown,) = ec2.describe_instance_types(InstanceTypes=["t3.micro"])["InstanceTypes"]
    assert shown["BurstablePerformanceSupported"] is shown["CurrentGeneration"] is True
    assert shown["VCpuInfo"]["DefaultCores"] == 1
    assert shown["VCpuInfo"]["DefaultThreadsPerCore"] == 2
    assert shown["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]
    assert shown["SupportedVirtualizationTypes"] == ["hvm"]


def test_types_are_found_by_what_they_have(ec2: Any) -> None:
    exact = {"vcpu-info.default-vcpus": "2", "memory-info.size-in-mib": "8192"}
    assert set(sizes(ec2, Filters=wanted(**exact))) == {"t2.large", "t3.large", "m5.large"}
    burstable = sizes(ec2, Filters=wanted(**{"burstable-performance-supported": "true"}))
    assert {name.partition(".")[0] for name in burstable} == {"t2", "t3"}
    assert sizes(ec2, Filters=wanted(**{"bare-metal": "true"})) == {}


def test_types_come_in_pages(ec2: Any) -> None:
    pages = ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 10})
    names = [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]
    assert len(names) == len(set(names)) == len(sizes(ec2))


def test_a_type_that_is_not_there_is_refused_in_awss_words(ec2: Any) -> None:
    wrong = {"InstanceTypes": ["m9.large", "m5.large", "foo"]}
    assert code(ec2.describe_instance_types, **wrong) == "InvalidInstanceType"
    text = "The following supplied instance types do not exist: [foo, m9.large]"
    assert message(ec2.describe_instance_types, **wrong) == text


OWN = {
    "x1.huge": InstanceType(vcpus=3, memory_mib=700),
    "m1.tiny": InstanceType(vcpus=1, memory_mib=256),
}


@pytest.mark.parametrize("cloud", [{"instance_types": OWN}], indirect=True)
def test_the_operators_table_adds_and_replaces(cloud: Any, ec2: Any) -> None:
    found = sizes(ec2)
    assert (found["x1.huge"], found["m1.tiny"], found["m1.small"]) == ((3, 700), (1, 256), (1, 2048))


@pytest.mark.parametrize(
    ("how", "places"),
    [
        ("region", ["us-east-1"]),
        ("availability-zone", ["us-east-1a", "us-east-1b"]),
        ("availability-zone-id", ["use1-az1", "use1-az2"]),
    ],
)
def test_types_are_offered_everywhere(ec2: Any, how: str, places: list[str]) -> None:
    answer = ec2.describe_instance_type_offerings(LocationType=how, Filters=wanted(instance_type="t3.micro"))
    assert [(one["InstanceType"], one["Location"]) for one in answer["InstanceTypeOfferings"]] == [
        ("t3.micro", place) for place in places
    ]


def test_offerings_are_found_by_place(ec2: Any) -> None:
    there = ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=wanted(location="us-east-1b", instance_type="m1.tiny")
    )
    assert [one["Location"] for one in there["InstanceTypeOfferings"]] == ["us-east-1b"]
    assert code(ec2.describe_instance_type_offerings, LocationType="planet") == "InvalidParameterValue"
