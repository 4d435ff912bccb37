"""`cumulet bucket`: what is in the buckets of all accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.commands import Run, answered, elsewhere


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
    line = next(line for line in run("bucket", "list").output.splitlines() if line.startswith("site"))
    assert line.split() == ["site", "admin", "2", "2.0", "0.0", "Enabled", "logs"]


@pytest.mark.parametrize("cloud", [{"quota_bucket_objects": 1000, "quota_bucket_gib": 1}], indirect=True)
def test_what_may_be_in_them_is_said(cloud: Any, tmp_path: Path) -> None:
    cloud.client("s3").create_bucket(Bucket="site")
    run = elsewhere(cloud, tmp_path)
    assert "0 of 1000" in run("bucket", "list").output
    assert "0.0 of 1024.0" in run("bucket", "list").output
