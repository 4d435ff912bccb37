"""Other people's clients of S3, unmodified: `aws s3`, boto3's transfer manager, s3cmd, rclone, s3fs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cumulet import testing

AWS = Path(sys.executable).with_name("aws")
BIG = os.urandom(1 << 20) * 17 + b"end"


@pytest.fixture(scope="module")
def cloud() -> Iterator[testing.RunningCloud]:
    with testing.cloud() as made:
        yield made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with files in it."""
    folder = tmp_path / "files"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a")
    (folder / "sub dir" / "b ü+.txt").write_bytes(b"b")
    (folder / "big").write_bytes(BIG)
    return folder


def need(command: str) -> str:
    found = shutil.which(command)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"the command {command} is not here")
    if found is None:
        pytest.skip(f"the command {command} is not here: tools/install --with-tests")
    return found


def run(cloud: testing.RunningCloud, home: Path, *command: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ = {**clean, **cloud.environ, "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}
    done = subprocess.run([str(part) for part in command], env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_aws_s3_and_s3api(cloud: testing.RunningCloud, work: Path, tmp_path: Path) -> None:
    def aws(*arguments: str) -> str:
        return run(cloud, tmp_path, str(AWS), *arguments)

    aws("s3", "mb", "s3://of-aws")
    aws("s3", "sync", str(work), "s3://of-aws/in")
    assert aws("s3", "ls", "--recursive", "s3://of-aws").count("\n") == 3
    aws("s3", "cp", "--recursive", "s3://of-aws/in", str(tmp_path / "out"))
    assert contents(tmp_path / "out") == contents(work)
    aws("s3", "mv", "s3://of-aws/in/big", "s3://of-aws/moved")
    aws("s3", "cp", "s3://of-aws/moved", "s3://of-aws/copied")
    head = json.loads(aws("s3api", "head-object", "--bucket", "of-aws", "--key", "copied"))
    assert head["ContentLength"] == len(BIG)
    tags = "TagSet=[{Key=a,Value=b}]"
    aws("s3api", "put-object-tagging", "--bucket", "of-aws", "--key", "copied", "--tagging", tags)
    found = json.loads(aws("s3api", "get-object-tagging", "--bucket", "of-aws", "--key", "copied"))
    assert found["TagSet"] == [{"Key": "a", "Value": "b"}]
    aws("s3", "rb", "--force", "s3://of-aws")


def test_boto3s_transfer_manager(cloud: testing.RunningCloud, work: Path, tmp_path: Path) -> None:
    from boto3.s3.transfer import TransferConfig

    s3: Any = cloud.client("s3")
    s3.create_bucket(Bucket="of-boto3")
    parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=5 << 20, max_concurrency=4)
    s3.upload_file(str(work / "big"), "of-boto3", "big", Config=parts, ExtraArgs={"Metadata": {"a": "b"}})
    s3.copy({"Bucket": "of-boto3", "Key": "big"}, "of-boto3", "copy", Config=parts)
    s3.download_file("of-boto3", "copy", str(tmp_path / "copy"), Config=parts)
    assert (tmp_path / "copy").read_bytes() == BIG
    assert s3.head_object(Bucket="of-boto3", Key="big", PartNumber=1)["PartsCount"] == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_boto_2_signs_with_version_2(cloud: testing.RunningCloud) -> None:
    if sys.version_info >= (3, 12):
        pytest.skip("boto 2 does not run on this Python")
    from boto.s3.connection import OrdinaryCallingFormat, S3Connection

    host, _, port = cloud.url.removeprefix("http://").partition(":")
    keys = {"aws_access_key_id": cloud.access_key, "aws_secret_access_key": cloud.secret_key}
    s3 = S3Connection(**keys, is_secure=False, host=host, port=int(port), calling_format=OrdinaryCallingFormat())
    bucket = s3.create_bucket("of-boto2")
    key = bucket.new_key("a b/ü")
    key.set_metadata("x", "1")
    key.set_contents_from_string("hello", policy="public-read")
    found = bucket.get_key("a b/ü")
    assert (found.get_contents_as_string(), found.get_metadata("x")) == (b"hello", "1")
    assert [grant.permission for grant in key.get_acl().acl.grants] == ["FULL_CONTROL", "READ"]
    assert [deleted.key for deleted in bucket.delete_keys(["a b/ü"]).deleted] == ["a b/ü"]
    bucket.delete()


@pytest.mark.parametrize("signature", ["--signature-v2", "--no-ssl"])
def test_s3cmd(cloud: testing.RunningCloud, work: Path, tmp_path: Path, signature: str) -> None:
    command = need("s3cmd")
    host = cloud.url.removeprefix("http://")
    own = ["--no-ssl", f"--host={host}", f"--host-bucket={host}", signature, "--region=us-east-1"]
    own += [f"--access_key={cloud.access_key}", f"--secret_key={cloud.secret_key}", "--multipart-chunk-size-mb=5"]

    def s3cmd(*arguments: str) -> str:
        return run(cloud, tmp_path, command, *own, *arguments)

    bucket = f"s3://of-s3cmd{len(signature)}"
    s3cmd("mb", bucket)
    s3cmd("sync", "--acl-public", f"{work}/", f"{bucket}/in/")
    assert s3cmd("ls", "--recursive", bucket).count("\n") == 3
    (tmp_path / "out").mkdir()
    s3cmd("get", "--recursive", f"{bucket}/in/", f"{tmp_path}/out/")
    assert contents(tmp_path / "out") == contents(work)
    assert "*anon*: READ" in s3cmd("info", f"{bucket}/in/a.txt")
    s3cmd("cp", f"{bucket}/in/big", f"{bucket}/copy")
    s3cmd("rb", "--recursive", "--force", bucket)


def test_rclone(cloud: testing.RunningCloud, work: Path, tmp_path: Path) -> None:
    command = need("rclone")
    remote = f":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='{cloud.url}':of-rclone"

    def rclone(*arguments: str) -> str:
        return run(cloud, tmp_path, command, "--s3-upload-cutoff=5M", "--s3-chunk-size=5M", *arguments)

    rclone("mkdir", remote)
    rclone("copy", str(work), f"{remote}/in")
    rclone("check", "--download", str(work), f"{remote}/in")
    rclone("moveto", f"{remote}/in/big", f"{remote}/moved")
    rclone("copy", remote, str(tmp_path / "out"))
    assert contents(tmp_path / "out")["moved"] == BIG
    rclone("purge", remote)


def test_s3fs(cloud: testing.RunningCloud, tmp_path: Path) -> None:
    command = need("s3fs")
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse here")
    cloud.client("s3").create_bucket(Bucket="of-s3fs")
    mount = tmp_path / "mount"
    mount.mkdir()
    run(
        cloud,
        tmp_path,
        command,
        "of-s3fs",
        str(mount),
        "-o",
        f"url={cloud.url},use_path_request_style,endpoint=us-east-1",
    )
    try:
        (mount / "d").mkdir()
        (mount / "d" / "f").write_bytes(b"written")
        (mount / "d" / "f").rename(mount / "g")
        assert (mount / "g").read_bytes() == b"written"
    finally:
        run(cloud, tmp_path, need("fusermount"), "-u", str(mount))
    assert cloud.client("s3").get_object(Bucket="of-s3fs", Key="g")["Body"].read() == b"written"
