"""Access logs of buckets: a line for each request, delivered to the bucket that their owner has named."""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from support.refusals import code
from support.tested_cloud import TestedCloud

from cumulet.cli import access_logs

FIELD = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')
NAMES = (
    *("owner", "bucket", "time", "ip", "requester", "request_id", "operation", "key", "uri", "status", "error"),
    *("sent", "size", "total", "turn_around", "referer", "agent", "version", "host_id", "signature", "cipher"),
    *("auth", "host", "tls", "access_point", "acl_required"),
)


@pytest.fixture
def s3(cloud: TestedCloud) -> Any:
    """With a bucket that has its log in another one."""
    made = cloud.client("s3")
    made.create_bucket(Bucket="site")
    made.create_bucket(Bucket="logs")
    log(made)
    return made


def log(s3: Any, **more: Any) -> None:
    wanted = {"TargetBucket": "logs", "TargetPrefix": "of-site/", **more}
    s3.put_bucket_logging(Bucket="site", BucketLoggingStatus={"LoggingEnabled": wanted})


def await_lines(cloud: TestedCloud, number: int) -> None:
    """A line is written when its request has been answered already."""
    end = time.monotonic() + 10
    while sum(file.read_bytes().count(b"\n") for file in cloud.config.access_log_directory().glob("*")) < number:
        assert time.monotonic() < end
        time.sleep(0.01)


def delivered(cloud: TestedCloud, number: int = 0) -> list[str]:
    """With at least so many lines."""
    await_lines(cloud, number)
    return access_logs.delivered(cloud.config, cloud.database, cloud.url, everything=True)


def lines(cloud: TestedCloud, s3: Any, number: int) -> list[dict[str, str]]:
    """So many that are new, of the one file that they are delivered in."""
    (key,) = delivered(cloud, number)
    assert re.fullmatch(r"of-site/\d{4}(-\d\d){5}-[0-9A-F]{16}", key)
    text = s3.get_object(Bucket="logs", Key=key)["Body"].read().decode()
    found = []
    for each in text.splitlines():
        fields = FIELD.findall(each)
        assert len(fields) == len(NAMES), each
        found.append(dict(zip(NAMES, fields, strict=True)))
    return found


def test_each_request_is_a_line_with_what_was_asked_and_answered(cloud: Any, s3: Any) -> None:
    s3.put_object(Bucket="site", Key="a b/ü", Body=b"x" * 1000)
    s3.get_object(Bucket="site", Key="a b/ü", Range="bytes=0-99")["Body"].read()
    assert code(s3.get_object, Bucket="site", Key="absent") == "NoSuchKey"
    s3.list_objects_v2(Bucket="site")
    put, got, missed, listed = lines(cloud, s3, 4)
    owner = s3.list_buckets()["Owner"]["ID"]
    assert (put["owner"], put["bucket"], put["requester"]) == (owner, "site", owner)
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]", put["time"])
    assert (put["operation"], put["status"], put["error"], put["size"]) == ("REST.PUT.OBJECT", "200", "-", "1000")
    assert put["key"] == "a%20b/%C3%BC"
    assert put["uri"] == '"PUT /site/a%20b/%C3%BC HTTP/1.1"'
    assert (got["operation"], got["status"], got["sent"], got["size"]) == ("REST.GET.OBJECT", "206", "100", "1000")
    assert (missed["status"], missed["error"], missed["key"]) == ("404", "NoSuchKey", "absent")
    assert int(missed["sent"]) > 100
    assert (listed["operation"], listed["key"]) == ("REST.GET.BUCKET", "-")
    assert listed["uri"].startswith('"GET /site?list-type=2')
    assert "Botocore" in listed["agent"]
    assert {each["signature"] + each["auth"] for each in (put, got, missed, listed)} == {"SigV4AuthHeader"}
    assert int(put["total"]) >= int(put["turn_around"]) >= 1
    assert len({each["request_id"] for each in (put, got, missed, listed)}) == 4


def test_operations_have_the_names_that_aws_gives_them(cloud: Any, s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="site", Key="k")["UploadId"]
    part = s3.upload_part(Bucket="site", Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    s3.list_parts(Bucket="site", Key="k", UploadId=upload)
    s3.complete_multipart_upload(
        Bucket="site", Key="k", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    s3.copy_object(Bucket="site", Key="c", CopySource="site/k")
    s3.get_object_tagging(Bucket="site", Key="k")
    s3.get_bucket_versioning(Bucket="site")
    s3.get_bucket_acl(Bucket="site")
    s3.list_multipart_uploads(Bucket="site")
    s3.delete_objects(Bucket="site", Delete={"Objects": [{"Key": "k"}, {"Key": "c"}]})
    found = {each["operation"].removeprefix("REST.") for each in lines(cloud, s3, 10)}  # written after each answer
    assert found == {
        *("POST.UPLOADS", "PUT.PART", "GET.UPLOAD", "POST.UPLOAD", "COPY.OBJECT", "GET.OBJECT_TAGGING"),
        *("GET.VERSIONING", "GET.ACL", "GET.UPLOADS", "POST.MULTI_OBJECT_DELETE"),
    }


def test_who_asked_is_said_and_no_secret(cloud: Any, s3: Any) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="bob")
    iam.attach_user_policy(UserName="bob", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    key = iam.create_access_key(UserName="bob")["AccessKey"]
    cloud.watch.know({"SecretAccessKey": key["SecretAccessKey"]})
    import boto3

    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    boto3.client("s3", endpoint_url=cloud.url, region_name="us-east-1", **keys).list_objects_v2(Bucket="site")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": "site", "Key": "absent"})
    for url in (link, f"{cloud.url}/site/absent"):
        request = urllib.request.Request(url, headers={"User-Agent": 'a"b', "Referer": "http://here/"})
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request)
    bob, presigned, anonymous = lines(cloud, s3, 3)
    assert bob["requester"] == f"arn:aws:iam::{cloud.admin.id}:user/bob"
    assert (presigned["auth"], presigned["error"]) == ("QueryString", "NoSuchKey")
    assert "Signature=-" in presigned["uri"]
    assert (presigned["agent"], presigned["referer"]) == ('"a%22b"', '"http://here/"')
    assert (anonymous["requester"], anonymous["auth"], anonymous["error"]) == ("-", "-", "AccessDenied")


def test_delivering_is_not_logged_so_that_there_is_an_end(cloud: Any, s3: Any) -> None:
    log(s3, TargetBucket="site")
    s3.list_objects_v2(Bucket="site")
    assert len(delivered(cloud, 2)) == 1
    time.sleep(0.2)  # a line of the delivery would come late
    assert delivered(cloud) == []
    s3.delete_bucket_lifecycle(Bucket="site")
    assert len(delivered(cloud, 1)) == 1


def test_a_bucket_without_logging_has_none(cloud: Any, s3: Any) -> None:
    s3.put_bucket_logging(Bucket="site", BucketLoggingStatus={})
    s3.list_objects_v2(Bucket="site")
    s3.list_objects_v2(Bucket="logs")
    time.sleep(0.2)
    assert delivered(cloud) == []
    assert s3.list_objects_v2(Bucket="logs").get("Contents", []) == []


def test_a_prefix_may_have_the_source_and_the_day(cloud: Any, s3: Any) -> None:
    log(s3, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}})
    s3.list_objects_v2(Bucket="site")
    (key,) = delivered(cloud, 1)
    place = rf"of-site/{cloud.admin.id}/us-east-1/site/\d{{4}}/\d\d/\d\d"
    assert re.fullmatch(rf"{place}/\d{{4}}(-\d\d){{5}}-[0-9A-F]{{16}}", key)


def test_a_target_that_is_gone_loses_the_lines_and_says_so(cloud: Any, s3: Any) -> None:
    s3.list_objects_v2(Bucket="site")
    s3.delete_bucket(Bucket="logs")
    assert delivered(cloud, 1) == []
    assert any("an access log is lost" in line for line in cloud.watch.lines)
    assert list(cloud.config.access_log_directory().iterdir()) == []


def test_what_could_not_be_delivered_is_delivered_later(cloud: Any, s3: Any) -> None:
    s3.list_objects_v2(Bucket="site")
    await_lines(cloud, 1)
    with pytest.raises(Exception, match=r"asking 127\.0\.0\.1:9"):
        access_logs.delivered(cloud.config, cloud.database, "http://127.0.0.1:9", everything=True)
    s3.head_bucket(Bucket="site")
    await_lines(cloud, 2)
    assert access_logs.delivered(cloud.config, cloud.database, cloud.url) != []
    assert len(delivered(cloud)) == 1, "what was being written is delivered the next time"


def test_what_waits_is_limited_and_the_oldest_is_lost_first(
    cloud: Any, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = cloud.config.access_log_directory()
    directory.mkdir(exist_ok=True)
    for number in range(3):
        file = directory / f"site.taken-{number:016x}"
        file.write_bytes(b"%d" % number * 900)
        os.utime(file, (number, number))
    monkeypatch.setattr(access_logs, "MOST_WAITING", 2000)
    keys = delivered(cloud)
    found = [s3.get_object(Bucket="logs", Key=key)["Body"].read()[:1] for key in keys]
    assert sorted(found) == [b"1", b"2"]
    assert [*directory.glob("*.taken-*")] == []
