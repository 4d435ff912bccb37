"""Bundled images: registered by their manifest, fetched, and refused where they are not what they say."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.bundles import INITRD, KERNEL, bundled, bundled_by_tools, papers, real_images, upload
from support.launching import launched, shown
from support.refusals import code, message
from support.tested_cloud import TestedCloud

from cumulet.drivers.places import image_files
from cumulet.lib.config import Config
from cumulet.parts import Part, fake_drivers

DISK = bytes(1 << 20) + b"a file system" + bytes(1 << 20)


def slow_images(config: Config) -> dict[str, Part]:
    """Images that are on their way for ever."""
    parts = fake_drivers(config.state_dir / "world", lambda id: None)
    questions = {**parts["image"].questions, "progress": lambda id: b'{"stage": "untarring", "percent": 40}'}
    return {**parts, "image": parts["image"]._replace(questions=questions)}


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> Iterator[TestedCloud]:
    """A cloud whose images are real files, and all else fake; or with others by `parametrize("cloud", [...], ...)`."""
    parts = getattr(request, "param", real_images)
    made = TestedCloud(tmp_path / "state", parts, database_url=database_url)
    yield made
    made.stop()


def arrived(cloud: Any, ec2: Any, id: str) -> Any:
    """The image, once it is not pending any more."""
    for _ in range(400):
        cloud.pass_time(1)
        (found,) = ec2.describe_images(ImageIds=[id])["Images"]
        if found["State"] != "pending":
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def file_of(cloud: Any, id: str, name: str) -> bytes:
    from cumulet.model import image

    with cloud.database.read() as tx:
        row = image.find(tx, id)
    assert row is not None
    return image_files(cloud.config.image_directory(), row.image_file)[name].read_bytes()


def test_kernel_ramdisk_and_a_machine_image_that_names_them(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    """What `cloud-publish-tarball` does, and the launch of it."""
    s3, mine = cloud.client("s3"), papers(cloud.config, "admin", tmp_path / "papers")
    kernel = upload(s3, bundled(tmp_path, mine, KERNEL, "vmlinuz", kind="kernel"))
    ramdisk = upload(s3, bundled(tmp_path, mine, INITRD, "initrd", kind="ramdisk"))
    aki = ec2.register_image(Name="kernel", ImageLocation=kernel)["ImageId"]
    ari = ec2.register_image(Name="ramdisk", ImageLocation=ramdisk)["ImageId"]
    assert (aki[:4], ari[:4]) == ("aki-", "ari-")
    disk = upload(s3, bundled(tmp_path, mine, DISK, kernel=aki, ramdisk=ari, root_device="/dev/sda1"), prefix="a/b/")
    ami = ec2.register_image(Name="machine", ImageLocation=disk)["ImageId"]
    found = [arrived(cloud, ec2, id) for id in (aki, ari, ami)]
    assert [one.get("StateReason") for one in found] == [None] * 3
    assert [one["ImageType"] for one in found] == ["kernel", "ramdisk", "machine"]
    assert (found[2]["KernelId"], found[2]["RamdiskId"], found[2]["ImageLocation"]) == (aki, ari, disk)
    contents = file_of(cloud, aki, "kernel"), file_of(cloud, ari, "initrd"), file_of(cloud, ami, "disk")
    assert contents == (KERNEL, INITRD, DISK)
    assert not list(cloud.config.image_directory().glob(".*"))
    kernels = ec2.describe_images(Filters=[{"Name": "image-type", "Values": ["kernel"]}])["Images"]
    assert [one["ImageId"] for one in kernels] == [aki]
    guest = shown(ec2, launched(cloud, ec2, ImageId=ami))
    assert (guest["KernelId"], guest["RamdiskId"]) == (aki, ari)
    assert code(ec2.run_instances, ImageId=aki, MinCount=1, MaxCount=1) == "InvalidParameterValue"
    wrong = code(ec2.run_instances, ImageId=ami, KernelId=ari, MinCount=1, MaxCount=1)
    assert wrong == "InvalidParameterValue"
    own = shown(ec2, launched(cloud, ec2, ImageId=ami, KernelId=aki))
    assert own["KernelId"] == aki


def test_what_the_tools_of_2012_make_is_taken_in(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    """tar, gzip and openssl, as they call them; the disk is sparse, and the parts are several."""
    mine = papers(cloud.config, "admin", tmp_path / "papers")
    disk = bytes(8 << 20) + random.Random(1).randbytes(300_000)
    manifest = bundled_by_tools(tmp_path / "bundle", mine, disk)
    assert len(list(manifest.parent.glob("image.part.?"))) > 2
    id = ec2.register_image(Name="mine", ImageLocation=upload(cloud.client("s3"), manifest))["ImageId"]
    assert arrived(cloud, ec2, id)["State"] == "available"
    assert file_of(cloud, id, "disk") == disk


def test_a_bundle_is_read_with_the_rights_of_who_registers_it(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    other = cloud.account("other")
    theirs = bundled(tmp_path, papers(cloud.config, "other", tmp_path / "papers"), DISK)
    location = upload(cloud.client("s3"), theirs)
    assert "HTTP 403 (AccessDenied)" in message(other.client().register_image, Name="mine", ImageLocation=location)
    allow = {"Effect": "Allow", "Principal": {"AWS": other.id}, "Action": ["s3:GetObject"]}
    policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": "arn:aws:s3:::images/*.xml"}]}
    cloud.client("s3").put_bucket_policy(Bucket="images", Policy=json.dumps(policy))
    id = other.client().register_image(Name="mine", ImageLocation=location)["ImageId"]
    found = arrived(cloud, other.client(), id)  # the manifest could be read, the parts cannot
    assert found["State"] == "failed"
    assert found["StateReason"]["Code"] == "Client.InvalidImage.Download"
    policy["Statement"] = [allow | {"Resource": "arn:aws:s3:::images/*"}]
    cloud.client("s3").put_bucket_policy(Bucket="images", Policy=json.dumps(policy))
    id = other.client().register_image(Name="again", ImageLocation=location)["ImageId"]
    assert arrived(cloud, other.client(), id)["State"] == "available"


@pytest.mark.parametrize("cloud", [slow_images], indirect=True)
def test_an_image_on_its_way_says_how_far_it_is(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    mine = papers(cloud.config, "admin", tmp_path / "papers")
    location = upload(cloud.client("s3"), bundled(tmp_path, mine, KERNEL, kind="kernel"))
    id = ec2.register_image(Name="mine", ImageLocation=location)["ImageId"]
    cloud.settle()
    (found,) = ec2.describe_images(ImageIds=[id])["Images"]
    assert (found["State"], found["StateReason"]) == ("pending", {"Code": "pending", "Message": "untarring, 40 %"})


def test_a_part_that_was_changed_fails_the_image(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    s3, mine = cloud.client("s3"), papers(cloud.config, "admin", tmp_path / "papers")
    location = upload(s3, bundled(tmp_path, mine, DISK))
    s3.put_object(Bucket="images", Key="image.part.0", Body=b"something else")
    id = ec2.register_image(ImageLocation=location, Name="mine")["ImageId"]
    found = arrived(cloud, ec2, id)
    assert (found["State"], found["StateReason"]["Code"]) == ("failed", "Client.InvalidImage.Download")
    assert "as its manifest says" in found["StateReason"]["Message"]
    assert not list(cloud.config.image_directory().glob("*"))
    ec2.deregister_image(ImageId=id)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"x86_64", b"i386", "signature"),
        (b"<filename>image.part.0", b"<filename>../other.part.0", "not that of an object beside the manifest"),
        (b'<part index="0">', b'<part index="1">', "numbered from 0 on"),
        (b"<manifest>", b'<!DOCTYPE manifest [<!ENTITY a "b">]><manifest>', "document type"),
        (b"</manifest>", b"", "no element found"),
        (b"<image>", b"<images>", "mismatched tag"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(
    cloud: Any, ec2: Any, tmp_path: Path, old: bytes, new: bytes, said: str
) -> None:
    s3, mine = cloud.client("s3"), papers(cloud.config, "admin", tmp_path / "papers")
    location = upload(s3, bundled(tmp_path, mine, KERNEL, kind="kernel"))
    manifest = s3.get_object(Bucket="images", Key="image.manifest.xml")["Body"].read()
    assert old in manifest
    s3.put_object(Bucket="images", Key="image.manifest.xml", Body=manifest.replace(old, new, 1))
    assert code(ec2.register_image, Name="mine", ImageLocation=location) == "InvalidManifest"
    assert said in message(ec2.register_image, Name="mine", ImageLocation=location)


def test_what_is_read_is_what_was_signed(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    """A signed text in a comment makes nothing else of the manifest believed."""
    s3, mine = cloud.client("s3"), papers(cloud.config, "admin", tmp_path / "papers")
    location = upload(s3, bundled(tmp_path, mine, KERNEL, kind="kernel"))
    manifest = s3.get_object(Bucket="images", Key="image.manifest.xml")["Body"].read()
    begin, end = manifest.index(b"<machine_configuration>"), manifest.index(b"<signature>")
    signed = manifest[begin:end]
    forged = signed.replace(b"image.part.0", b"evil.part.0")
    for document in (
        manifest[:begin] + b"<!--" + signed + b"-->" + forged + manifest[end:],
        manifest[:begin] + forged + b"<!--" + signed + b"-->" + manifest[end:],
    ):
        s3.put_object(Bucket="images", Key="image.manifest.xml", Body=document)
        try:
            id = ec2.register_image(Name="mine", ImageLocation=location)["ImageId"]
        except ClientError as e:
            assert "signature was not made" in str(e)
        else:
            assert arrived(cloud, ec2, id)["State"] == "available"
            assert file_of(cloud, id, "kernel") == KERNEL
            ec2.deregister_image(ImageId=id)


def test_a_bundle_of_another_account_or_another_cloud_is_refused(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    s3, mine = cloud.client("s3"), papers(cloud.config, "admin", tmp_path / "papers")
    cloud.account("other")
    theirs = papers(cloud.config, "other", tmp_path / "theirs")
    by_other = upload(s3, bundled(tmp_path, theirs, KERNEL, "by-other", kind="kernel"))
    assert "signature was not made" in message(ec2.register_image, Name="mine", ImageLocation=by_other)
    for_other = upload(s3, bundled(tmp_path, mine._replace(cloud=mine.certificate), KERNEL, "for-other", kind="kernel"))
    assert "not encrypted for this cloud" in message(ec2.register_image, Name="mine", ImageLocation=for_other)
    assert "HTTP 404 (NoSuchKey)" in message(ec2.register_image, Name="mine", ImageLocation="images/no.manifest.xml")
    assert "HTTP 404 (NoSuchBucket)" in message(ec2.register_image, Name="mine", ImageLocation="nowhere/no.xml")
