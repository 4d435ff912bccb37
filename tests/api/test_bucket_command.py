"""`cumulet bucket`: what is in the buckets of all accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import Run, answered, elsewhere
from support.refusals import code


def flush(cloud: Any) -> None:
    """What was answered is counted just afterwards: by the time that another answer comes."""
    cloud.client("s3").list_buckets()
    cloud.house.counts.flush()


def test_buckets_are_listed_with_what_is_in_them(cloud: Any, run: Run) -> None:
    assert answered(run, "bucket", "list") == []
    s3, bob = cloud.client("s3"), cloud.account("bob").client("s3")
    for client, name in ((s3, "logs"), (s3, "site"), (bob, "theirs")):
        client.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket="site", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_logging(
        Bucket="site", BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": ""}}
    )
    for _ in range(2):
        s3.put_object(Bucket="site", Key="k", Body=bytes(1 << 20))
    upload = bob.create_multipart_upload(Bucket="theirs", Key="k")["UploadId"]
    bob.upload_part(Bucket="theirs", Key="k", UploadId=upload, PartNumber=1, Body=bytes(3 << 20))
    logs, site, theirs = answered(run, "bucket", "list")
    assert (logs["name"], logs["objects"], logs["bytes"], logs["versioning"]) == ("logs", 0, 0, "never")
    assert (site["account"], site["objects"], site["bytes"]) == ("admin", 2, 2 << 20)
    assert (site["versioning"], site["log_bucket"], site["most_objects"]) == ("Enabled", "logs", 0)
    assert (theirs["account"], theirs["objects"], theirs["unfinished_bytes"]) == ("bob", 0, 3 << 20)
    flush(cloud)
    line = next(line for line in run("bucket", "list").output.splitlines() if line.startswith("site"))
    assert line.split() == ["site", "admin", "2", "2.0", "0.0", "Enabled", "logs", "4"]


def test_requests_are_counted_by_kind_and_by_configuration(cloud: Any, run: Run) -> None:
    assert answered(run, "bucket", "metrics") == []
    s3 = cloud.client("s3")
    for name in ("site", "other"):
        s3.create_bucket(Bucket=name)
    filters: dict[str, Any] = {
        "all": None,
        "pages": {"Prefix": "pages/"},
        "tagged": {"And": {"Prefix": "pages/", "Tags": [{"Key": "t", "Value": "1"}]}},
    }
    for id, chosen in filters.items():
        wanted = {"Id": id, **({"Filter": chosen} if chosen else {})}
        s3.put_bucket_metrics_configuration(Bucket="site", Id=id, MetricsConfiguration=wanted)
    flush(cloud)
    s3.put_object(Bucket="site", Key="pages/1", Body=bytes(1000), Tagging="t=1")
    s3.put_object(Bucket="site", Key="pages/2", Body=bytes(1 << 20))
    s3.put_object(Bucket="site", Key="other", Body=b"")
    for key in ("pages/1", "pages/2", "pages/2"):
        s3.get_object(Bucket="site", Key=key)["Body"].read()
    assert code(s3.get_object, Bucket="site", Key="pages/absent") == "NoSuchKey"
    s3.head_object(Bucket="site", Key="pages/1")
    s3.list_objects_v2(Bucket="site")
    s3.delete_objects(Bucket="site", Delete={"Objects": [{"Key": "other"}]})
    flush(cloud)
    found = {one["configuration"]: one for one in answered(run, "bucket", "metrics", "site")}
    kinds = ("puts", "gets", "heads", "lists", "deletes", "client_errors")
    assert [found["all"][kind] for kind in kinds] == [3, 4, 1, 1, 1, 1]
    assert [found["pages"][kind] for kind in kinds] == [2, 3 + 1, 1, 0, 0, 1]
    assert [found["tagged"][kind] for kind in kinds] == [1, 1, 1, 0, 0, 0]
    assert found["tagged"]["bytes_out"] == 1000
    assert found["pages"]["bytes_in"] >= 1000 + (1 << 20)
    assert found[""]["requests"] == found["all"]["requests"] + 1
    assert found["all"]["total_ms"] >= found["all"]["first_byte_ms"] >= 0
    s3.put_object(Bucket="other", Key="k", Body=b"")
    flush(cloud)
    assert {one["bucket"] for one in answered(run, "bucket", "metrics")} == {"site", "other"}
    s3.delete_bucket_metrics_configuration(Bucket="site", Id="pages")
    s3.delete_object(Bucket="other", Key="k")
    s3.delete_bucket(Bucket="other")
    flush(cloud)
    assert {one["configuration"] for one in answered(run, "bucket", "metrics")} == {"", "all", "tagged"}
    assert "(all)" in run("bucket", "metrics").output


@pytest.mark.parametrize("cloud", [{"quota_bucket_objects": 1000, "quota_bucket_gib": 1}], indirect=True)
def test_what_may_be_in_them_is_said(cloud: Any, tmp_path: Path) -> None:
    cloud.client("s3").create_bucket(Bucket="site")
    run = elsewhere(cloud, tmp_path)
    assert "0 of 1000" in run("bucket", "list").output
    assert "0.0 of 1024.0" in run("bucket", "list").output
