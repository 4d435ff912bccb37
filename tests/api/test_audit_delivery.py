"""The audit log in a bucket, in files as CloudTrail delivers them."""

from __future__ import annotations

import gzip
import json
import re
from functools import partial
from typing import Any

import pytest
from support.commands import command
from support.refusals import code
from support.tested_cloud import TestedCloud

from cumulet.cli import audit
from cumulet.lib.repeating import Repeating

BUCKET = {"audit_bucket": "our-trail", "audit_bucket_seconds": 0.01}
KEY = re.compile(
    r"AWSLogs/(\d{12})/CloudTrail/us-east-1/(\d{4})/(\d\d)/(\d\d)/"
    r"\1_CloudTrail_us-east-1_\2\3\4T\d{4}Z_[0-9a-f]{16}\.json\.gz"
)

pytestmark = pytest.mark.parametrize("cloud", [BUCKET], indirect=True)


def records(cloud: TestedCloud, key: str) -> list[dict[str, Any]]:
    body = cloud.client("s3").get_object(Bucket="our-trail", Key=key)["Body"].read()
    found: list[dict[str, Any]] = json.loads(gzip.decompress(body))["Records"]
    return found


def keys(cloud: TestedCloud) -> list[str]:
    return [one["Key"] for one in cloud.client("s3").list_objects_v2(Bucket="our-trail").get("Contents", [])]


def test_each_accounts_calls_are_delivered_once(cloud: TestedCloud, ec2: Any) -> None:
    bob = cloud.account("bob")
    ec2.create_key_pair(KeyName="k")
    bob.client().describe_vpcs()
    made = audit.delivered(cloud.config, cloud.url)
    assert sorted(made) == sorted(keys(cloud))
    assert all(KEY.fullmatch(key) for key in made)
    found = {key.split("/")[1]: [one["eventName"] for one in records(cloud, key)] for key in made}
    assert found == {cloud.admin.id: ["CreateKeyPair"], bob.id: ["DescribeVpcs"]}
    (own,) = audit.delivered(cloud.config, cloud.url)
    assert [one["eventName"] for one in records(cloud, own)] == ["CreateBucket", "ListObjectsV2"]
    assert audit.delivered(cloud.config, cloud.url) == []
    ec2.delete_key_pair(KeyName="k")
    (more,) = audit.delivered(cloud.config, cloud.url)
    assert [one["eventName"] for one in records(cloud, more)] == ["DeleteKeyPair"]
    assert code(lambda: bob.client("s3").list_objects_v2(Bucket="our-trail")) == "AccessDenied"


def test_who_died_before_he_noted_it_delivers_under_the_same_key(cloud: TestedCloud, ec2: Any) -> None:
    ec2.create_key_pair(KeyName="k")
    (first,) = audit.delivered(cloud.config, cloud.url)
    (cloud.config.audit_directory() / audit.NOTE).unlink()
    (again,) = audit.delivered(cloud.config, cloud.url)
    assert again == first
    assert [one["eventName"] for one in records(cloud, again)] == ["CreateKeyPair", "CreateBucket"]


def test_a_line_that_is_being_written_waits_and_a_large_file_is_parted(
    cloud: TestedCloud, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        ec2.create_key_pair(KeyName=f"k{number}")
    (file,) = (cloud.config.audit_directory() / cloud.admin.id).iterdir()
    size = file.stat().st_size
    with file.open("ab") as writing:
        writing.write(b'{"eventName": "Half')
    monkeypatch.setattr(audit, "MOST_BYTES", size // 2)
    made = audit.delivered(cloud.config, cloud.url)
    assert len(made) > 1
    assert sum(len(records(cloud, key)) for key in made) == 5
    assert json.loads((cloud.config.audit_directory() / audit.NOTE).read_text()) == {
        str(file.relative_to(cloud.config.audit_directory())): size
    }


def test_it_goes_on_by_itself_and_a_bucket_that_cannot_be_is_said(cloud: TestedCloud, ec2: Any) -> None:
    ec2.create_key_pair(KeyName="k")
    deliver = partial(audit.delivered, cloud.config, cloud.url)
    delivery = Repeating("delivery", 0.01, deliver, end=deliver, failed="cannot be delivered")
    delivery.start()
    delivery.stop()
    assert len(keys(cloud)) == 1
    ec2.delete_key_pair(KeyName="k")
    deliver = partial(audit.delivered, cloud.config, "http://127.0.0.1:9")
    broken = Repeating("delivery", 0.01, deliver, end=deliver, failed="the audit log cannot be delivered")
    broken.start()
    broken.stop()
    assert any("the audit log cannot be delivered" in line for line in cloud.watch.lines)
    assert len(audit.delivered(cloud.config, cloud.url)) == 1


def test_the_command_says_what_is_missing(cloud: TestedCloud) -> None:
    done = command(cloud)("audit", "deliver")
    assert done.exit_code == 1
    assert "the setting audit_bucket names no bucket" in done.stderr
