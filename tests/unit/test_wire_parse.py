"""What a Query form means, and what is refused about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cumulet.lib.errors import Refusal
from cumulet.wire.models import load
from cumulet.wire.parse import MAX_DEPTH, MAX_LIST, action_of, parse
from cumulet.wire.request import MAX_PARAMETERS, Request, decode_form, read_form

FORM = "application/x-www-form-urlencoded"


def read(operation: str, raw: str, service: str = "ec2") -> dict[str, Any]:
    return parse(load(service), operation, decode_form(raw.encode()))


def refused(operation: str, raw: str, service: str = "ec2") -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(operation, raw, service)
    assert caught.value.status == 400
    return caught.value


def test_lists_structures_and_plain_values_have_the_names_of_the_model() -> None:
    raw = (
        "ImageId=ami-1&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda&BlockDeviceMapping.1.Ebs.VolumeSize=8&DryRun=true"
    )
    assert read("RunInstances", raw + "&MinCount=1&MaxCount=2") == {
        "ImageId": "ami-1",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}],
        "DryRun": True,
        "MinCount": 1,
        "MaxCount": 2,
    }


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        ("InstanceId.0=a&InstanceId.1=b", ["a", "b"]),
        ("InstanceId.2=b&InstanceId.10=c&InstanceId.1=a", ["a", "b", "c"]),
        ("InstanceId.999999999=a", ["a"]),
        ("InstanceId=a", ["a"]),
        ("InstanceId.1=", [""]),
        ("InstanceId.1=a+b%2Bc%E8%AA%9E", ["a b+c語"]),
    ],
)
def test_a_list_is_in_the_order_of_its_numbers_which_may_have_gaps(raw: str, ids: list[str]) -> None:
    assert read("TerminateInstances", raw) == {"InstanceIds": ids}


def test_a_single_value_may_be_numbered_as_boto_2_does() -> None:
    assert read("GetConsoleOutput", "InstanceId.1=i-1") == {"InstanceId": "i-1"}


def test_lists_of_the_query_protocol_are_wrapped() -> None:
    raw = (
        "RoleArn=r&RoleSessionName=s&TransitiveTagKeys.member.1=a&Tags.member.1.Key=k&Tags.member.1.Value=v&PolicyArns="
    )
    assert read("AssumeRole", raw, "sts") == {
        "RoleArn": "r",
        "RoleSessionName": "s",
        "TransitiveTagKeys": ["a"],
        "Tags": [{"Key": "k", "Value": "v"}],
        "PolicyArns": [],
    }


def test_common_parameters_are_not_the_operations() -> None:
    raw = "Action=DescribeVpcs&Version=1&AWSAccessKeyId=A&Signature=s&SignatureMethod=m&SignatureVersion=2&Timestamp=t"
    assert read("DescribeVpcs", raw + "&X-Amz-Algorithm=a&Expires=e&SecurityToken=t") == {}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.250Z", datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)),
        ("2026-01-02T05:04:05%2B02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_utc(text: str, time: datetime) -> None:
    raw = f"Status=ok&InstanceId.1=i&ReasonCode.1=other&StartTime={text}"
    assert read("ReportInstanceStatus", raw)["StartTime"] == time


def test_blobs_are_read_from_base64_with_or_without_line_ends() -> None:
    raw = "KeyName=k&PublicKeyMaterial=c3NoLXJz%0AYSBB%0A"
    assert read("ImportKeyPair", raw)["PublicKeyMaterial"] == b"ssh-rsa A"


@pytest.mark.parametrize(
    ("operation", "raw", "name"),
    [
        ("DescribeInstances", "Nonsense=1", "Nonsense"),
        ("DescribeInstances", "instanceId.1=i-1", "instanceId"),
        ("DescribeInstances", "InstanceId.first=i-1", "InstanceId.first"),
        ("DescribeInstances", "InstanceId.-1=i-1", "InstanceId.-1"),
        ("DescribeInstances", "InstanceId.%D9%A1=i-1", "InstanceId.\u0661"),
        ("DescribeInstances", "InstanceId.99999999999=i-1", "InstanceId.99999999999"),
        ("DescribeInstances", "Filter.1.Value.1.x=1", "Filter.1.Value.1.x"),
        ("DescribeInstances", "=1", ""),
        ("RunInstances", "MinCount=1&MaxCount=1&Placement.Nowhere=x", "Placement.Nowhere"),
        ("RunInstances", "MinCount.1=1&MinCount.2=1&MaxCount=1", "MinCount.1"),
    ],
)
def test_an_unknown_parameter_is_refused_by_its_name(operation: str, raw: str, name: str) -> None:
    refusal = refused(operation, raw)
    assert (refusal.code, refusal.message) == ("UnknownParameter", f"The parameter {name} is not recognized")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("MinCount=one&MaxCount=1", "Invalid value 'one' for MinCount. It must be an integer from"),
        ("MinCount=1_0&MaxCount=1", "Invalid value '1_0' for MinCount."),
        ("MinCount=2147483648&MaxCount=1", "Invalid value '2147483648' for MinCount."),
        ("MinCount=" + "9" * 5000 + "&MaxCount=1", "Invalid value '9999"),
        ("MinCount=1&MaxCount=1&DryRun=maybe", "Invalid value 'maybe' for DryRun. It must be true or false."),
        ("MinCount=1&MaxCount=1&Placement=x", "Invalid value 'x' for Placement. It must be given by its members."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_what_would_be_right(raw: str, message: str) -> None:
    refusal = refused("RunInstances", raw)
    assert refusal.code == "InvalidParameterValue"
    assert refusal.message.startswith(message)
    assert len(refusal.message) < 300


@pytest.mark.parametrize(
    ("operation", "raw"),
    [
        ("ImportKeyPair", "KeyName=k&PublicKeyMaterial=%C3%A4"),
        ("ImportKeyPair", "KeyName=k&PublicKeyMaterial=abc"),
        ("ReportInstanceStatus", "Status=ok&InstanceId.1=i&ReasonCode.1=other&StartTime=2026-13-01"),
        ("ReportInstanceStatus", "Status=ok&InstanceId.1=i&ReasonCode.1=other&StartTime=0001-01-01T00:00:00%2B10:00"),
        ("ReportInstanceStatus", "Status=ok&InstanceId.1=i&ReasonCode.1=other&StartTime=yesterday"),
        ("CreateCapacityReservation", "InstanceCount=nan"),
    ],
)
def test_blobs_times_and_numbers_that_are_none_are_refused(operation: str, raw: str) -> None:
    assert refused(operation, raw).code == "InvalidParameterValue"


def test_a_missing_parameter_is_named() -> None:
    refusal = refused("RunInstances", "MinCount=1")
    assert (refusal.code, refusal.message) == ("MissingParameter", "The request must contain the parameter MaxCount")


def test_a_query_service_says_so_in_its_own_way() -> None:
    refusal = refused("AssumeRole", "RoleSessionName=s", "sts")
    assert refusal.code == "ValidationError"
    assert "Value null at 'roleArn' failed to satisfy constraint: Member must not be null" in refusal.message


@pytest.mark.parametrize(
    "raw",
    [
        "ImageId=%",
        "ImageId=%4",
        "ImageId=%zz",
        "ImageId=%ff",
        "ImageId=%00",
        "ImageId=a&ImageId=b",
        "InstanceId.1=a&InstanceId.1=b",
        "InstanceId.1=a&InstanceId.01=b",
        "InstanceId=a&InstanceId.1=b",
        "InstanceId.1=b&InstanceId=a",
    ],
)
def test_bad_encoding_and_doubles_are_malformed(raw: str) -> None:
    refusal = refused("DescribeInstances", raw)
    assert refusal.code == "MalformedQueryString"
    assert refusal.message.startswith("The query string contains a syntax error")


def test_lists_depth_and_count_of_parameters_have_bounds() -> None:
    many = "&".join(f"InstanceId.{i}=i" for i in range(MAX_LIST + 1))
    assert "there may be 1000" in refused("DescribeInstances", many).message
    assert refused("DescribeInstances", "a" + ".a" * MAX_DEPTH + "=1").code == "UnknownParameter"
    assert refused("DescribeInstances", "a&" * MAX_PARAMETERS).code == "MalformedQueryString"
    assert len(read("DescribeInstances", many.rpartition("&")[0])["InstanceIds"]) == MAX_LIST


@pytest.mark.parametrize(
    ("service", "form", "code"),
    [
        ("ec2", [("Version", "2016-11-15")], "MissingAction"),
        ("ec2", [("Action", "")], "MissingAction"),
        ("ec2", [("Action", "MakeTea")], "InvalidAction"),
        ("sts", [("Action", "RunInstances")], "InvalidAction"),
    ],
)
def test_an_action_that_the_service_has_not_is_refused(service: str, form: list[tuple[str, str]], code: str) -> None:
    with pytest.raises(Refusal) as caught:
        action_of(load(service), form)
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_a_form_comes_from_the_url_and_from_the_body_if_that_is_a_form() -> None:
    request = Request.of("POST", "/", "Action=A", [("Content-Type", FORM + "; charset=utf-8")], b"B=c")
    assert read_form(request) == [("Action", "A"), ("B", "c")]
    other = Request.of("POST", "/", "Action=A", [("Content-Type", "application/json")], b"B=c")
    assert read_form(other) == [("Action", "A")]
