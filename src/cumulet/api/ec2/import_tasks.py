"""Imports of disks that are objects, as images and as snapshots, and the tasks that say how far they are."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict
from urllib.parse import urlsplit

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context, Found
from cumulet.api.ec2 import client_tokens, encryption
from cumulet.api.ec2.bundles import object_at
from cumulet.api.ec2.encryption import check_key
from cumulet.api.ec2.image_names import check_new
from cumulet.api.ec2.snapshot_rows import check_quota
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.validation import described_freely, invalid, missing
from cumulet.api.ec2.volume_rows import check_able
from cumulet.api.id_forms import check_id
from cumulet.identity.principal import rights_of
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, image, image_task, tag
from cumulet.model.database import Row

MOST_DISKS = 21
FORMATS = ("RAW", "QCOW2", "VMDK", "VHD", "VHDX", "VDI", "OVA")
_STAGES = {"downloading": (0, 50), "converting": (50, 85), "uploading": (85, 95)}
"""From and to which percent of the whole each stage of a file goes."""


class UserBucket(TypedDict, total=False):
    S3Bucket: str
    S3Key: str


class DiskContainer(TypedDict, total=False):
    Description: str
    DeviceName: str
    Format: str
    Url: str
    UserBucket: UserBucket


class SnapshotContainer(TypedDict, total=False):
    Description: str
    Format: str
    Url: str
    UserBucket: UserBucket


class Source(NamedTuple):
    """An object that is to be imported, and what its owner says of it."""

    found: Found
    container: dict[str, Any]


class Told(NamedTuple):
    """A task, its file while it is not over, its tags, and the tasks of its disks where there are several."""

    row: Row
    file: Row | None
    tags: list[dict[str, str]]
    parts: list[tuple[Row, Row | None]]


_IMPORTS = {
    "ClientData": "nobody reads it",
    "Hypervisor": "there is one",
    "LicenseType": "this cloud brings no licences",
    "RoleName": "the object is read with the rights of who imports it, not of a role",
    "UsageOperation": "this cloud brings no licences",
}


@action(accepts=_IMPORTS)
def import_image(
    ctx: Context,
    disk_containers: list[DiskContainer] | None = None,
    description: str = "",
    architecture: str = "x86_64",
    platform: str = "",
    boot_mode: str = "",
    encrypted: bool = False,
    kms_key_id: str = "",
    client_token: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Have an image made of disks in buckets: raw, qcow2, VMDK, VHD, VHDX, VDI, or an OVA with one disk.

    The first becomes the root disk. An image of several, or one that is to be encrypted, is one of snapshots, as those
    of `CreateImage` are.
    """
    containers = disk_containers or []
    if not 1 <= len(containers) <= MOST_DISKS:
        raise invalid(len(containers), "diskContainers", f"Give 1 to {MOST_DISKS} containers.")
    if architecture not in ("", "x86_64"):
        raise invalid(architecture, "architecture", "It is x86_64.")
    if platform not in ("", "Linux", "Windows"):
        raise invalid(platform, "platform", "It is Linux or Windows.")
    if boot_mode and boot_mode not in image.BOOTS:
        raise invalid(boot_mode, "bootMode", f"It is one of {', '.join(image.BOOTS)}.")
    check_key(ctx, kms_key_id, encrypted=encrypted)
    sources = [_source(ctx, dict(one)) for one in containers]
    devices = _devices(containers)
    with ctx.read() as tx:
        check_able(tx, ctx.config.zone_names()[0], sealed=encrypted)
    attributes = {"BootMode": boot_mode} if boot_mode else {}
    kept = {"attributes": attributes, "platform": platform, "encrypted": encrypted}
    request = {"disks": containers, "description": description, "platform": platform, "boot": boot_mode}
    request |= {"key": kms_key_id or "any"} if encrypted else {}
    disks = list(zip(devices, sources, strict=True))
    task = _begun(ctx, "image", disks, kept, description, (client_token, request), tag_specifications)
    return _image_item(ctx, task)


def _devices(containers: list[DiskContainer]) -> list[str]:
    """Where each disk is in the guest: as it says, else as they come."""
    usual = ["/dev/sda1", *(f"/dev/sd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")]
    found = [one.get("DeviceName") or device for one, device in zip(containers, usual, strict=False)]
    for device in found:
        if found.count(device) > 1:
            raise invalid(device, "deviceName", "Each container has a device name of its own.")
    return found


@action(accepts={name: why for name, why in _IMPORTS.items() if name in ("ClientData", "RoleName")})
def import_snapshot(
    ctx: Context,
    disk_container: SnapshotContainer | None = None,
    description: str = "",
    encrypted: bool = False,
    kms_key_id: str = "",
    client_token: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Have a snapshot made of a disk in a bucket, of the same formats."""
    if not disk_container:
        raise missing("DiskContainer")
    check_key(ctx, kms_key_id, encrypted=encrypted)
    source = _source(ctx, dict(disk_container))
    with ctx.read() as tx:
        encrypted = encrypted or account.encrypts_volumes(tx, ctx.account)
        check_able(tx, ctx.config.zone_names()[0], sealed=encrypted)
    request, kept = {"disk": disk_container, "description": description}, {"encrypted": encrypted}
    task = _begun(ctx, "snapshot", [("", source)], kept, description, (client_token, request), tag_specifications)
    return _snapshot_item(ctx, task)


@describes(
    "ImportImageTasks",
    id="ImportTaskId",
    ids="import_task_ids",
    missing="InvalidConversionTaskId",
    malformed="InvalidConversionTaskId.Malformed",
    prefix="import-ami-",
    filters={"task-state": "Status"},
)
def describe_import_image_tasks(ctx: Context) -> list[Item]:
    """The account's imports of images, those that are over too."""
    return [_image_item(ctx, told) for told in _tasks(ctx, "image")]


@describes(
    "ImportSnapshotTasks",
    id="ImportTaskId",
    ids="import_task_ids",
    missing="InvalidConversionTaskId",
    malformed="InvalidConversionTaskId.Malformed",
    prefix="import-snap-",
    filters={"task-state": "SnapshotTaskDetail.Status"},
)
def describe_import_snapshot_tasks(ctx: Context) -> list[Item]:
    """The account's imports of snapshots, those that are over too."""
    return [_snapshot_item(ctx, told) for told in _tasks(ctx, "snapshot")]


@action()
def cancel_import_task(ctx: Context, import_task_id: str = "", cancel_reason: str = "") -> Result:
    """Have an import end, and nothing be left of it."""
    if not import_task_id:
        raise missing("ImportTaskId")
    check_id(import_task_id, "InvalidConversionTaskId.Malformed", "import-ami-", "import-snap-")
    with ctx.write() as tx:
        row = image_task.find(tx, import_task_id)
        if row is None or row.account != ctx.account or row.kind not in ("image", "snapshot"):
            raise Refusal("InvalidConversionTaskId", f"The task {import_task_id} does not exist")
        if row.state != "active":
            text = f"The task {row.id} is {row.state}; only active tasks can be cancelled."
            raise Refusal("IncorrectState", text)
        image_task.cancel(tx, row.id, described_freely(cancel_reason, "cancel reason"))
    return {"ImportTaskId": import_task_id, "PreviousState": "active", "State": "deleting"}


def _source(ctx: Context, container: dict[str, Any]) -> Source:
    """The object that a container names, which the caller may read; raises `Refusal`."""
    named, url = container.get("UserBucket") or {}, urlsplit(container.get("Url") or "")
    bucket, key = named.get("S3Bucket", ""), named.get("S3Key", "")
    if container.get("Url"):
        if url.scheme != "s3" or named:
            raise invalid(container["Url"], "url", "It is s3://BUCKET/KEY, with no UserBucket beside it.")
        bucket, key = url.netloc, url.path.lstrip("/")
    if not bucket or not key:
        raise missing("UserBucket.S3Bucket and UserBucket.S3Key, or Url")
    if (format := container.get("Format", "")) and format.upper() not in FORMATS:
        raise invalid(format, "format", f"It is one of {', '.join(FORMATS)}.")
    return Source(object_at(ctx, bucket, key, "InvalidParameter"), container)


def _begun(
    ctx: Context,
    kind: str,
    sources: list[tuple[str, Source]],
    kept: dict[str, Any],
    description: str,
    once: tuple[str, dict[str, Any]],
    specifications: list[TagSpecification] | None,
) -> Told:
    """The new task, or that of an earlier request with the same client token."""
    id = ids.new(f"import_{kind}")
    token, request = once
    tags = tags_for(specifications, f"import-{kind}-task")
    with ctx.write() as tx:
        if kind == "image":
            check_new(ctx, tx, id)
        name = "ImportImage" if kind == "image" else "ImportSnapshot"
        earlier = client_tokens.earlier(tx, ctx.account, name, token, request, {"task": id})
        if earlier is None:
            parted = kind == "image" and (len(sources) > 1 or kept["encrypted"])
            if kind == "snapshot" or parted:
                check_quota(ctx, tx)
            if parted:
                _write_parts(ctx, tx, id, sources, kept, described_freely(description, "task"))
            else:
                _write(ctx, tx, id, kind, sources[0][1], kept, described_freely(description, "task"))
            tag.put(tx, ctx.account, id, f"import-{kind}-task", tags)
        row = image_task.find(tx, id if earlier is None else earlier["task"])
        assert row is not None
        return _told(tx, row, shown(tags))


def _write(ctx: Context, tx: Tx, id: str, kind: str, source: Source, kept: dict[str, Any], description: str) -> None:
    found, container = source
    part = {"url": found.key, "etag": found.etag, "size": found.size}
    origin = {"bucket": found.bucket, "by": rights_of(ctx.principal), "parts": [part]}
    file = {"account": ctx.account, "location": f"{ctx.account}/{id}", "source": f"s3://{found.bucket}/{found.key}"}
    declared = container.get("Format", "").lower() or None
    image_file = image.keep_file(tx, {**file, "declared": declared, "origin": origin})
    made = [kind] if kind == "image" else ["snapshot", "volume"]  # a disk of an image is a snapshot too
    details = {**kept, "container": container, "size": found.size}
    values = {"id": id, "account": ctx.account, "kind": kind, "description": description, "details": details}
    image_task.add(tx, {**values, **{name: ids.new(name) for name in made}, "image_file": image_file})


def _write_parts(
    ctx: Context, tx: Tx, id: str, sources: list[tuple[str, Source]], kept: dict[str, Any], description: str
) -> None:
    """The task of an image of snapshots, and one for each of its disks."""
    parts = [ids.new("import_snapshot") for _ in sources]
    size = sum(source.found.size for _, source in sources)
    details = {**kept, "container": sources[0][1].container, "size": size, "parts": parts}
    values = {"id": id, "account": ctx.account, "kind": "image", "description": description, "details": details}
    image_task.add(tx, {**values, "image": ids.new("image")})
    for part, (device, source) in zip(parts, sources, strict=True):
        about = str(source.container.get("Description") or f"{device} of import task {id}")
        _write(ctx, tx, part, "disk", source, {"of": id, "device": device, "encrypted": kept["encrypted"]}, about)


def _tasks(ctx: Context, kind: str) -> list[Told]:
    with ctx.read() as tx:
        tags = tag.of_account(tx, ctx.account, [f"import-{kind}-task"])
        rows = image_task.of_account(tx, ctx.account, kind)
        return [_told(tx, row, tags.get(row.id, [])) for row in rows]


def _told(tx: Tx, row: Row, tags: list[dict[str, str]]) -> Told:
    """The task with the files of those of its parts that are not over, which say how far they are."""
    found = [image_task.find(tx, id) for id in row.details.get("parts", [])]
    parts = [(one, _file_of(tx, one)) for one in found if one is not None]
    return Told(row, _file_of(tx, row), tags, parts)


def _file_of(tx: Tx, row: Row) -> Row | None:
    return image.file(tx, row.image_file) if row.state == "active" else None


def progress_of(row: Row, file: Row | None) -> Item:
    """Status, StatusMessage and Progress of a task."""
    if row.state != "active":
        return {"Status": row.state, "StatusMessage": row.message or None}
    if row.desired == "cancelled":
        return {"Status": "deleting", "StatusMessage": row.message or None}
    stage, _, percent = (file.stage if file is not None else "").partition(", ")
    begin, end = _STAGES.get(stage, (1, 1))
    done = begin + (end - begin) * int(percent.removesuffix(" %") or 0) // 100
    if file is not None and file.state == "available":
        stage, done = "updating", 95
    return {"Status": "active", "StatusMessage": stage or "pending", "Progress": str(max(1, done))}


def _disk(row: Row) -> Item:
    container = row.details["container"]
    told = {name: container.get(name) for name in ("Description", "Format", "Url", "UserBucket", "DeviceName")}
    return {**told, "DiskImageSize": float(row.details["size"])}


def _part(row: Row, file: Row | None) -> Item:
    """A disk of an image of several."""
    made = row.snapshot if row.state == "completed" else None
    return _disk(row) | progress_of(row, file) | {"DeviceName": row.details["device"], "SnapshotId": made}


def _image_item(ctx: Context, found: Told) -> Item:
    row = found.row
    told = progress_of(row, found.file)
    parts = [_part(*one) for one in found.parts]
    if parts and "Progress" in told:
        told["Progress"] = str(sum(int(one.get("Progress") or 100) for one in parts) // len(parts))
    return {
        "ImportTaskId": row.id,
        "Architecture": "x86_64",
        "BootMode": row.details["attributes"].get("BootMode"),
        "Description": row.description or None,
        **encryption.as_asked(ctx, row.account, encrypted=row.details.get("encrypted", False)),
        "Hypervisor": "xen",
        "ImageId": row.image if row.state == "completed" else None,
        "Platform": row.details["platform"] or None,
        "SnapshotDetails": parts or [_disk(row) | {"Status": told["Status"]}],
        "Tags": found.tags,
        **told,
    }


def _snapshot_item(ctx: Context, found: Told) -> Item:
    row = found.row
    told = progress_of(row, found.file)
    detail = {**_disk(row), **told, "SnapshotId": row.snapshot if row.state == "completed" else None}
    detail |= encryption.as_asked(ctx, row.account, encrypted=row.details.get("encrypted", False))
    del detail["DeviceName"]
    told_of = {"ImportTaskId": row.id, "Description": row.description or None, "Tags": found.tags}
    return {**told_of, "SnapshotTaskDetail": detail}
