"""Imports of disks in buckets as images and snapshots, exports of images, and the tasks of both."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.bundles import real_images
from support.identity import document, session, user
from support.launching import launched
from support.refusals import code, message
from support.tested_cloud import TestedCloud

from cumulet.administration import accounts
from cumulet.administration.desk import Named
from cumulet.control import export_links
from cumulet.drivers.places import image_files
from cumulet.lib.command import run
from cumulet.model import image, image_task, volume, work

DISK = bytes(510) + b"\x55\xaa" + b"a disk" * 1000 + bytes(3 << 20)
KEPT = DISK + bytes(-len(DISK) % 512)
STREAM = "subformat=streamOptimized"


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, request: pytest.FixtureRequest) -> Iterator[TestedCloud]:
    """A cloud whose images are real files, and all else fake; or all of it by `parametrize("cloud", [None], …)`."""
    parts = getattr(request, "param", real_images)
    made = TestedCloud(tmp_path / "state", parts, database_url=database_url)
    made.client("s3").create_bucket(Bucket="disks")
    yield made
    made.stop()


def converted(directory: Path, format: str, *options: str) -> bytes:
    (directory / "raw").write_bytes(KEPT)
    source = directory / "source"
    run(["qemu-img", "convert", "-f", "raw", "-O", format, *options, directory / "raw", source])
    return source.read_bytes()


def put(cloud: Any, content: bytes, key: str = "a/disk") -> dict[str, str]:
    cloud.client("s3").put_object(Bucket="disks", Key=key, Body=content)
    return {"S3Bucket": "disks", "S3Key": key}


def over(cloud: Any, describe: Any, member: str, **ids: Any) -> Any:
    """The task once it is not active any more."""
    for _ in range(400):
        cloud.pass_time(1)
        (found,) = describe(**ids)[member]
        told = found.get("SnapshotTaskDetail") or found
        if told["Status"] not in ("active", "deleting"):
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def imported(cloud: Any, ec2: Any, task: str) -> Any:
    return over(cloud, ec2.describe_import_image_tasks, "ImportImageTasks", ImportTaskIds=[task])


def disk_of(cloud: Any, id: str, directory: Path) -> bytes:
    """What a guest of the image would have on its disk."""
    with cloud.database.read() as tx:
        row = image.find(tx, id)
    assert row is not None
    disk = image_files(cloud.config.image_directory(), row.image_file)["disk"]
    run(["qemu-img", "convert", "-O", "raw", disk, directory / "out"])
    return (directory / "out").read_bytes()


@pytest.mark.parametrize(
    ("format", "made"),
    [("VMDK", ["vmdk", "-o", STREAM]), ("VHD", ["vpc"]), ("VHDX", ["vhdx"]), ("VDI", ["vdi"]), ("", ["qcow2"])],
)
def test_a_disk_of_another_hypervisor_becomes_an_image(
    cloud: Any, ec2: Any, tmp_path: Path, format: str, made: list[str]
) -> None:
    tags = [{"ResourceType": "import-image-task", "Tags": [{"Key": "Name", "Value": "x"}]}]
    container: dict[str, Any] = {"UserBucket": put(cloud, converted(tmp_path, *made)), "Description": "the disk"}
    begun = ec2.import_image(
        DiskContainers=[container | ({"Format": format} if format else {})],
        Description="mine",
        TagSpecifications=tags,
    )
    assert (begun["Status"], begun["StatusMessage"], begun["Progress"]) == ("active", "pending", "1")
    assert begun["Tags"] == tags[0]["Tags"]
    task = imported(cloud, ec2, begun["ImportTaskId"])
    assert (task["Status"], task["Description"], task["Tags"]) == ("completed", "mine", tags[0]["Tags"])
    assert task["SnapshotDetails"][0]["UserBucket"] == {"S3Bucket": "disks", "S3Key": "a/disk"}
    (found,) = ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert (found["State"], found["Name"], found["Public"]) == ("available", task["ImportTaskId"], False)
    assert disk_of(cloud, task["ImageId"], tmp_path)[: len(DISK)] == DISK
    launched(cloud, ec2, ImageId=task["ImageId"])


def test_a_disk_in_an_ova_becomes_an_image(cloud: Any, ec2: Any, tmp_path: Path) -> None:
    (tmp_path / "a.vmdk").write_bytes(converted(tmp_path, "vmdk", "-o", STREAM))
    (tmp_path / "a.ovf").write_text("<Envelope/>")
    run(["tar", "-C", tmp_path, "--format=ustar", "-cf", tmp_path / "a.ova", "a.ovf", "a.vmdk"])
    put(cloud, (tmp_path / "a.ova").read_bytes())
    begun = ec2.import_image(DiskContainers=[{"Url": "s3://disks/a/disk", "Format": "OVA"}])
    task = imported(cloud, ec2, begun["ImportTaskId"])
    assert disk_of(cloud, task["ImageId"], tmp_path)[: len(DISK)] == DISK


@pytest.mark.parametrize("cloud", [None], indirect=True)
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_disk_becomes_a_snapshot_of_which_volumes_are_made(cloud: Any, ec2: Any, encrypted: bool) -> None:
    source = {"UserBucket": put(cloud, b"no boot record" * 1000), "Format": "RAW"}
    begun = ec2.import_snapshot(DiskContainer=source, Description="data", Encrypted=encrypted)
    assert begun["SnapshotTaskDetail"]["Status"] == "active"
    ids = {"ImportTaskIds": [begun["ImportTaskId"]]}
    task = over(cloud, ec2.describe_import_snapshot_tasks, "ImportSnapshotTasks", **ids)
    detail = task["SnapshotTaskDetail"]
    assert (detail["Status"], detail["DiskImageSize"], detail["Format"]) == ("completed", 14000.0, "RAW")
    (found,) = ec2.describe_snapshots(SnapshotIds=[detail["SnapshotId"]])["Snapshots"]
    assert (found["State"], found["VolumeSize"], found["Description"]) == ("completed", 1, "data")
    cloud.settle()
    with cloud.database.read() as tx:
        assert volume.find(tx, found["VolumeId"]) is None
    made = ec2.create_volume(SnapshotId=detail["SnapshotId"], AvailabilityZone="us-east-1a")
    cloud.settle()
    assert (detail["Encrypted"], found["Encrypted"], made["Encrypted"]) == (encrypted,) * 3
    assert ec2.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"][0]["State"] == "available"
    assert ec2.describe_volumes(Filters=[{"Name": "status", "Values": ["creating"]}])["Volumes"] == []


@pytest.mark.parametrize("cloud", [None], indirect=True)
def test_an_image_is_imported_encrypted(cloud: Any, ec2: Any) -> None:
    source = {"UserBucket": put(cloud, DISK), "Format": "RAW"}
    wrong = {"DiskContainers": [source], "Encrypted": True, "KmsKeyId": "alias/mine"}
    assert code(ec2.import_image, **wrong) == "InvalidParameterValue"
    asked = {"DiskContainers": [source], "Encrypted": True, "KmsKeyId": "alias/aws/ebs", "ClientToken": "once"}
    begun = ec2.import_image(**asked)
    assert (begun["Encrypted"], begun["Status"]) == (True, "active")
    assert ec2.import_image(**asked)["ImportTaskId"] == begun["ImportTaskId"]
    task = imported(cloud, ec2, begun["ImportTaskId"])
    assert (task["Status"], task["Encrypted"]) == ("completed", True)
    (found,) = ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    (disk,) = (one["Ebs"] for one in found["BlockDeviceMappings"])
    (kept,) = ec2.describe_snapshots(SnapshotIds=[disk["SnapshotId"]])["Snapshots"]
    assert (disk["Encrypted"], kept["Encrypted"], found["RootDeviceName"]) == (True, True, "/dev/sda1")
    guest = launched(cloud, ec2, ImageId=task["ImageId"])
    attached = [{"Name": "attachment.instance-id", "Values": [guest]}]
    assert [one["Encrypted"] for one in ec2.describe_volumes(Filters=attached)["Volumes"]] == [True]


@pytest.mark.parametrize("cloud", [None], indirect=True)
def test_several_disks_become_an_image_of_snapshots(cloud: Any, ec2: Any) -> None:
    containers = [
        {"UserBucket": put(cloud, DISK, "root"), "Format": "RAW", "Description": "the root"},
        {"UserBucket": put(cloud, b"data" * 1000, "data"), "Format": "RAW", "DeviceName": "/dev/sdf"},
        {"Url": "s3://disks/data", "Format": "RAW"},
    ]
    begun = ec2.import_image(DiskContainers=containers, Description="three")
    assert [one["Status"] for one in begun["SnapshotDetails"]] == ["active"] * 3
    task = imported(cloud, ec2, begun["ImportTaskId"])
    assert (task["Status"], len(task["SnapshotDetails"])) == ("completed", 3)
    (found,) = ec2.describe_images(ImageIds=[task["ImageId"]])["Images"]
    assert (found["State"], found["RootDeviceName"], found["Description"]) == ("available", "/dev/sda1", "three")
    disks = {one["DeviceName"]: one["Ebs"]["SnapshotId"] for one in found["BlockDeviceMappings"]}
    told = {one["DeviceName"]: one["SnapshotId"] for one in task["SnapshotDetails"]}
    assert disks == told
    assert sorted(disks) == ["/dev/sda1", "/dev/sdc", "/dev/sdf"]
    assert ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"] == []
    guest = launched(cloud, ec2, ImageId=task["ImageId"])
    attached = ec2.describe_instances(InstanceIds=[guest])["Reservations"][0]["Instances"][0]["BlockDeviceMappings"]
    assert sorted(one["DeviceName"] for one in attached) == sorted(disks)


def test_several_disks_of_which_one_is_none_leave_nothing(cloud: Any, ec2: Any) -> None:
    containers = [
        {"UserBucket": put(cloud, DISK, "root"), "Format": "RAW"},
        {"UserBucket": put(cloud, b"not what was said" * 100, "bad"), "Format": "VMDK"},
    ]
    task = imported(cloud, ec2, ec2.import_image(DiskContainers=containers)["ImportTaskId"])
    assert task["Status"] == "deleted"
    assert "not vmdk as was said" in task["StatusMessage"]
    cloud.settle()
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert list(cloud.config.image_directory().glob("*")) == []
    part = task["SnapshotDetails"][0]
    assert (part["Status"], "SnapshotId" in part) in [("deleted", False), ("completed", True)]
    twice: list[dict[str, Any]] = [
        {"UserBucket": put(cloud, DISK), "DeviceName": "/dev/sda1"},
        {"Url": "s3://disks/root"},
    ]
    ec2.import_image(DiskContainers=twice[:1])
    twice[1]["DeviceName"] = "/dev/sda1"
    assert code(ec2.import_image, DiskContainers=twice) == "InvalidParameterValue"
    assert code(ec2.import_image, DiskContainers=containers * 11) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("content", "format", "said"),
    [
        (b"neither a disk nor anything else" * 100, "", "neither qcow2 nor a disk with a boot record"),
        (b"not what was said" * 100, "VMDK", "the image has the format raw, not vmdk as was said"),
        (b"KDMV" + bytes(4096), "VMDK", "its descriptor names other files"),
        (b"short", "RAW", "the smallest disk has 512"),
    ],
)
def test_what_is_no_disk_ends_with_the_reason(cloud: Any, ec2: Any, content: bytes, format: str, said: str) -> None:
    container: dict[str, Any] = {"UserBucket": put(cloud, content)} | ({"Format": format} if format else {})
    task = imported(cloud, ec2, ec2.import_image(DiskContainers=[container])["ImportTaskId"])
    assert task["Status"] == "deleted"
    assert said in task["StatusMessage"]
    assert "ImageId" not in task
    cloud.settle()
    assert list(cloud.config.image_directory().glob("*")) == []


def test_an_import_is_cancelled_and_nothing_is_left(cloud: Any, ec2: Any) -> None:
    begun = ec2.import_image(DiskContainers=[{"UserBucket": put(cloud, DISK), "Format": "RAW"}])
    id = begun["ImportTaskId"]
    assert ec2.cancel_import_task(ImportTaskId=id, CancelReason="no more")["PreviousState"] == "active"
    task = imported(cloud, ec2, id)
    assert (task["Status"], task["StatusMessage"]) == ("deleted", "no more")
    cloud.pass_time(1)
    assert list(cloud.config.image_directory().glob("*")) == []
    assert code(ec2.cancel_import_task, ImportTaskId=id) == "IncorrectState"
    assert code(ec2.cancel_import_task, ImportTaskId="import-ami-x") == "InvalidConversionTaskId.Malformed"


@pytest.mark.parametrize("far", [False, True], ids=["begun", "on its way"])
def test_a_task_goes_with_its_account(cloud: Any, far: bool) -> None:
    other = cloud.account("other")
    disk = [{"UserBucket": put(cloud, DISK), "Format": "RAW"}]
    statement = {"Effect": "Allow", "Principal": {"AWS": other.id}, "Action": "s3:GetObject"}
    statement["Resource"] = "arn:aws:s3:::disks/*"
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("s3").put_bucket_policy(Bucket="disks", Policy=policy)
    tasks = [other.client().import_image(DiskContainers=disk)["ImportTaskId"] for _ in range(2)]
    other.client().cancel_import_task(ImportTaskId=tasks[0])
    if far:
        cloud.settle()
    with cloud.database.write() as tx:
        accounts.delete(tx, cloud.config, Named(name="other"))
    for _ in range(400):
        cloud.pass_time(1)
        with cloud.database.read() as tx:
            left = [id for id in tasks if image_task.find(tx, id) or work.find(tx, "image_task", id)]
        files = list(cloud.config.image_directory().glob("*"))
        if not left and not files:
            return
        time.sleep(0.02)
    raise AssertionError((left, files))


def test_the_same_token_makes_one_task(cloud: Any, ec2: Any) -> None:
    disk = [{"UserBucket": put(cloud, DISK), "Format": "RAW"}]
    first, second = (ec2.import_image(DiskContainers=disk, ClientToken="t")["ImportTaskId"] for _ in range(2))
    assert first == second
    changed = code(ec2.import_image, DiskContainers=disk, ClientToken="t", Description="another")
    assert changed == "IdempotentParameterMismatch"
    active = [{"Name": "task-state", "Values": ["active"]}]
    assert len(ec2.describe_import_image_tasks(Filters=active)["ImportImageTasks"]) == 1
    other = cloud.account("other").client()
    assert other.describe_import_image_tasks()["ImportImageTasks"] == []
    assert code(other.cancel_import_task, ImportTaskId=first) == "InvalidConversionTaskId"


def test_an_object_is_imported_with_the_rights_of_who_asks(cloud: Any) -> None:
    disk = [{"UserBucket": put(cloud, DISK), "Format": "RAW"}]
    other = cloud.account("other")
    assert "HTTP 403 (AccessDenied)" in message(other.client().import_image, DiskContainers=disk)
    allow = {"Effect": "Allow", "Principal": {"AWS": other.id}, "Action": "s3:GetObject"}
    statement = allow | {"Resource": "arn:aws:s3:::disks/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("s3").put_bucket_policy(Bucket="disks", Policy=policy)
    task = other.client().import_image(DiskContainers=disk)["ImportTaskId"]
    assert imported(cloud, other.client(), task)["Status"] == "completed"


def test_users_and_sessions_import_what_their_policies_let_them(cloud: Any) -> None:
    for key in ("a/disk", "b/disk"):
        put(cloud, DISK, key)
    own = {"Effect": "Allow", "Action": ["ec2:*", "s3:ListBucket"], "Resource": "*"}
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::disks/a/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [own, read]})
    ann = user(cloud, "ann", policy)
    sts = user(cloud, "root", document()).client("sts")
    limited = session(cloud, sts.get_federation_token(Name="guest", Policy=policy))
    for client in (ann.client(), limited.client()):
        task = client.import_image(DiskContainers=[{"Url": "s3://disks/a/disk", "Format": "RAW"}])["ImportTaskId"]
        assert imported(cloud, client, task)["Status"] == "completed"
        refused = message(client.import_image, DiskContainers=[{"Url": "s3://disks/b/disk", "Format": "RAW"}])
        assert "HTTP 403 (AccessDenied)" in refused
    policy = json.dumps({"Version": "2012-10-17", "Statement": [own]})
    task = ann.client().import_image(DiskContainers=[{"Url": "s3://disks/a/disk", "Format": "RAW"}])["ImportTaskId"]
    cloud.client("iam").put_user_policy(UserName="ann", PolicyName="its-own", PolicyDocument=policy)
    task = imported(cloud, ann.client(), task)
    assert (task["Status"], "HTTP 403" in task["StatusMessage"]) == ("deleted", True)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"UserBucket": {"S3Bucket": "disks", "S3Key": "none"}}, "InvalidParameter"),
    ({"UserBucket": {"S3Bucket": "nowhere", "S3Key": "none"}}, "InvalidParameter"),
    ({"Url": "http://169.254.169.254/latest"}, "InvalidParameterValue"),
    ({"Url": "file:///etc/passwd"}, "InvalidParameterValue"),
    ({"Url": "s3://disks/a/disk", "Format": "ISO"}, "InvalidParameterValue"),
    ({"Format": "RAW"}, "MissingParameter"),
    ({"SnapshotId": "snap-0123456789abcdef0"}, "UnsupportedOperation"),
]


def test_an_import_that_cannot_be_is_refused(cloud: Any, ec2: Any) -> None:
    put(cloud, DISK)
    for container, expected in REFUSED:
        assert code(ec2.import_image, DiskContainers=[container]) == expected, container
    assert ec2.describe_import_image_tasks()["ImportImageTasks"] == []


@pytest.mark.parametrize("format", ["raw", "VMDK", "vhd"])
def test_an_image_is_exported_to_a_bucket(cloud: Any, ec2: Any, tmp_path: Path, format: str) -> None:
    begun = ec2.import_image(DiskContainers=[{"UserBucket": put(cloud, KEPT), "Format": "RAW"}])
    id = imported(cloud, ec2, begun["ImportTaskId"])["ImageId"]
    where = {"S3Bucket": "disks", "S3Prefix": "out/"}
    made = ec2.export_image(ImageId=id, DiskImageFormat=format, S3ExportLocation=where, ClientToken="t")
    assert (made["Status"], made["ImageId"], made["S3ExportLocation"]) == ("active", id, where)
    again = ec2.export_image(ImageId=id, DiskImageFormat=format, S3ExportLocation=where, ClientToken="t")
    assert again["ExportImageTaskId"] == made["ExportImageTaskId"]
    ids = {"ExportImageTaskIds": [made["ExportImageTaskId"]]}
    task = over(cloud, ec2.describe_export_image_tasks, "ExportImageTasks", **ids)
    assert task["Status"] == "completed"
    key = f"out/{task['ExportImageTaskId']}.{format.lower()}"
    (tmp_path / "got").write_bytes(cloud.client("s3").get_object(Bucket="disks", Key=key)["Body"].read())
    known = {"raw": "raw", "VMDK": "vmdk", "vhd": "vpc"}[format]
    run(["qemu-img", "convert", "-f", known, "-O", "raw", tmp_path / "got", tmp_path / "out"])
    assert (tmp_path / "out").read_bytes()[: len(KEPT)] == KEPT
    assert list(cloud.config.image_directory().glob(".*")) == []


def test_an_export_is_cancelled_and_nothing_is_left(cloud: Any, ec2: Any) -> None:
    begun = ec2.import_image(DiskContainers=[{"UserBucket": put(cloud, DISK), "Format": "RAW"}])
    id = imported(cloud, ec2, begun["ImportTaskId"])["ImageId"]
    where = {"S3Bucket": "disks", "S3Prefix": "out/"}
    task = {
        "ExportTaskId": ec2.export_image(ImageId=id, DiskImageFormat="RAW", S3ExportLocation=where)["ExportImageTaskId"]
    }
    assert code(cloud.account("other").client().cancel_export_task, **task) == "InvalidExportTaskID.NotFound"
    assert code(ec2.cancel_export_task, ExportTaskId="export-ami-x") == "InvalidExportTaskID.Malformed"
    ec2.cancel_export_task(**task)
    ids = {"ExportImageTaskIds": [task["ExportTaskId"]]}
    assert over(cloud, ec2.describe_export_image_tasks, "ExportImageTasks", **ids)["Status"] == "deleted"
    assert "Contents" not in cloud.client("s3").list_objects_v2(Bucket="disks", Prefix="out/")
    assert code(ec2.cancel_export_task, **task) == "IncorrectState"


@pytest.mark.parametrize("cancelled", [False, True], ids=["done", "cancelled"])
def test_what_is_too_large_for_one_request_is_exported_in_parts(
    cloud: Any, ec2: Any, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(export_links, "AT_ONCE_BYTES", 4 << 20)
    monkeypatch.setattr(export_links, "PART_BYTES", 5 << 20)
    content = DISK + random.Random(1).randbytes(9 << 20)
    content += bytes(-len(content) % 512)
    begun = ec2.import_image(DiskContainers=[{"UserBucket": put(cloud, content), "Format": "RAW"}])
    id = imported(cloud, ec2, begun["ImportTaskId"])["ImageId"]
    s3, where = cloud.client("s3"), {"S3Bucket": "disks", "S3Prefix": "out/"}
    task = ec2.export_image(ImageId=id, DiskImageFormat="RAW", S3ExportLocation=where)["ExportImageTaskId"]
    if cancelled:
        cloud.cloud.engine.run_due()
        assert len(s3.list_multipart_uploads(Bucket="disks")["Uploads"]) == 1
        with cloud.database.write() as tx:
            image_task.cancel(tx, task, "no more")
    ids = {"ExportImageTaskIds": [task]}
    done = over(cloud, ec2.describe_export_image_tasks, "ExportImageTasks", **ids)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="disks")
    if cancelled:
        assert done["Status"] == "deleted"
        return
    found = s3.get_object(Bucket="disks", Key=f"out/{task}.raw")
    assert (done["Status"], found["Body"].read(), found["ETag"].endswith('-3"')) == ("completed", content, True)


def test_an_export_that_may_not_be_written_ends_with_the_reason(cloud: Any, ec2: Any) -> None:
    cloud.account("other").client("s3").create_bucket(Bucket="theirs")
    begun = ec2.import_image(DiskContainers=[{"UserBucket": put(cloud, DISK), "Format": "RAW"}])
    id = imported(cloud, ec2, begun["ImportTaskId"])["ImageId"]
    arguments: dict[str, Any] = {"ImageId": id, "DiskImageFormat": "RAW"}
    made = ec2.export_image(**arguments, S3ExportLocation={"S3Bucket": "theirs"})
    ids = {"ExportImageTaskIds": [made["ExportImageTaskId"]]}
    task = over(cloud, ec2.describe_export_image_tasks, "ExportImageTasks", **ids)
    assert task["Status"] == "deleted"
    assert "HTTP 403" in task["StatusMessage"]
    assert code(ec2.export_image, **arguments, S3ExportLocation={"S3Bucket": "nowhere"}) == "InvalidParameter"
    arguments["DiskImageFormat"] = "VDI"
    assert code(ec2.export_image, **arguments, S3ExportLocation={"S3Bucket": "disks"}) == "InvalidParameterValue"
