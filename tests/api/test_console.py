"""The console's output: what a guest has said, as far as its host can tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from support.launching import launched, one_of
from support.refusals import code, refusal

from cumulet.model import instance


def test_what_a_guest_has_said_is_shown(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    answer = ec2.get_console_output(InstanceId=id, Latest=True)
    assert answer["InstanceId"] == id
    assert answer["Output"] == f"start 1 of {id}\n"
    assert abs(datetime.now(UTC) - answer["Timestamp"]) < timedelta(minutes=1)


def test_a_guest_that_has_not_been_started_has_said_nothing(cloud: Any, ec2: Any) -> None:
    (made,) = ec2.run_instances(**one_of(cloud))["Instances"]
    assert ec2.get_console_output(InstanceId=made["InstanceId"])["Output"] == ""


def test_a_guest_that_is_not_there_has_no_console(cloud: Any, ec2: Any) -> None:
    assert code(ec2.get_console_output, InstanceId="i-0123456789abcdef0") == "InvalidInstanceID.NotFound"
    assert code(ec2.get_console_output, InstanceId="foo") == "InvalidInstanceID.Malformed"


def test_a_host_that_does_not_answer_is_said_to_be_away(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    with cloud.database.write() as tx:
        instance.move(tx, id, {}, host="elsewhere")
    error = refusal(ec2.get_console_output, InstanceId=id).response
    assert error["Error"]["Code"] == "Unavailable"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 503
