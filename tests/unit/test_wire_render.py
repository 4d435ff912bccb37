"""The XML of answers, byte for byte where clients look at it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cumulet.wire.models import load
from cumulet.wire.render import render, render_error

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
EC2 = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
STS = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'


def ec2(operation: str, result: dict[str, Any] | None) -> str:
    body = render(load("ec2"), operation, result, "r-1").decode()
    return body.removeprefix(f"{HEAD}<{operation}Response {EC2}><requestId>r-1</requestId>")


def test_an_answer_of_ec2_has_items_and_empty_lists() -> None:
    instance = {"InstanceId": "i-1", "State": {"Code": 16, "Name": "running"}, "Tags": [], "EbsOptimized": False}
    result = {"Reservations": [{"Groups": [], "Instances": [instance | {"KeyName": None}]}]}
    assert ec2("DescribeInstances", result) == (
        "<reservationSet><item><groupSet/><instancesSet><item><instanceId>i-1</instanceId><instanceState><code>16</code>"
        "<name>running</name></instanceState><tagSet/><ebsOptimized>false</ebsOptimized></item></instancesSet></item>"
        "</reservationSet></DescribeInstancesResponse>"
    )


def test_an_element_without_a_name_is_an_item() -> None:
    result = {"InstanceTypes": [{"InferenceAcceleratorInfo": {"Accelerators": [{"Count": 1}]}}]}
    accelerators = "<accelerators><item><count>1</count></item></accelerators>"
    assert f"<inferenceAcceleratorInfo>{accelerators}</inferenceAcceleratorInfo>" in ec2(
        "DescribeInstanceTypes", result
    )


def test_an_answer_of_a_query_service_is_in_its_wrapper() -> None:
    body = render(load("sts"), "GetCallerIdentity", {"Account": "1", "Arn": "a", "UserId": "u"}, "r-1")
    assert body.decode() == (
        f"{HEAD}<GetCallerIdentityResponse {STS}><GetCallerIdentityResult><Account>1</Account><Arn>a</Arn>"
        "<UserId>u</UserId></GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )


def test_ec2_says_true_where_it_has_nothing_else_to_say() -> None:
    assert ec2("CreateTags", None) == "<return>true</return></CreateTagsResponse>"
    assert ec2("DeleteKeyPair", {"KeyPairId": "k"}).startswith("<keyPairId>k</keyPairId><return>true</return>")
    assert ec2("DeleteKeyPair", {"Return": False}).startswith("<return>false</return></")
    assert ec2("DescribeVpcs", {"Vpcs": []}) == "<vpcSet/></DescribeVpcsResponse>"


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 999_999), "2026-01-02T03:04:05.999Z"),
        (datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T03:04:05.000Z"),
        (1767323045.25, "2026-01-02T03:04:05.250Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_as_ec2_writes_them(time: datetime | float, text: str) -> None:
    assert f"<launchTime>{text}</launchTime>" in ec2(
        "DescribeInstances", {"Reservations": [{"Instances": [{"LaunchTime": time}]}]}
    )


def test_the_query_protocol_leaves_out_milliseconds_that_are_none() -> None:
    def expiration(seconds: float) -> str | None:
        result = {"Credentials": {"Expiration": seconds}}
        return ET.fromstring(render(load("sts"), "GetSessionToken", result, "r")).findtext(".//{*}Expiration")

    assert expiration(1767323045) == "2026-01-02T03:04:05Z"
    assert expiration(1767323045.5) == "2026-01-02T03:04:05.500Z"


@given(st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=()), max_size=50))
def test_any_text_is_well_formed_xml_and_comes_back(text: str) -> None:
    root = ET.fromstring(render(load("ec2"), "GetConsoleOutput", {"Output": text}, text))
    back = root.findtext("{*}output") or ""
    assert len(back) == len(text)
    assert all(there == here or there == "\ufffd" for here, there in zip(text, back, strict=True))
    assert ET.fromstring(render_error("ec2", text, text, text)).findtext(".//Message") == back


def test_what_xml_can_hold_is_kept() -> None:
    text = "\t\n\r &<>'\"]]> ä語🎲 \x7f\x85"
    assert ET.fromstring(render_error("query", "C", text, "r")).findtext(".//Message") == text


@pytest.mark.parametrize(
    "instance",
    [
        {"NoSuchMember": 1},
        {"InstanceId": 1},
        {"AmiLaunchIndex": "1"},
        {"AmiLaunchIndex": 1.5},
        {"EbsOptimized": "false"},
        {"LaunchTime": "2026-01-02"},
        {"State": "running"},
        {"Tags": 5},
    ],
)
def test_a_result_that_does_not_fit_the_model_is_a_mistake_that_says_where(instance: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, AttributeError)) as caught:
        ec2("DescribeInstances", {"Reservations": [{"Instances": [instance]}]})
    assert caught.value.__notes__ == [f"in {name}" for name in [*instance, "Instances", "Reservations"]]


def test_errors_have_the_form_of_their_protocol() -> None:
    assert render_error("ec2", "InvalidID", "a < b", "r-1").decode() == (
        f"{HEAD}<Response><Errors><Error><Code>InvalidID</Code><Message>a &lt; b</Message></Error></Errors>"
        "<RequestID>r-1</RequestID></Response>"
    )
    namespace = load("sts").metadata.xml_namespace
    assert render_error("query", "C", "m", "r-1", namespace=namespace).decode() == (
        f"{HEAD}<ErrorResponse {STS}><Error><Type>Sender</Type><Code>C</Code><Message>m</Message></Error>"
        "<RequestId>r-1</RequestId></ErrorResponse>"
    )
    assert render_error("rest-xml", "C", "m", "r-1").decode() == (
        f"{HEAD}<Error><Code>C</Code><Message>m</Message><RequestId>r-1</RequestId></Error>"
    )
    assert b"<Type>Receiver</Type>" in render_error("query", "InternalFailure", "m", "r-1", status=500)
