"""Exports of images to buckets, and the tasks that say what has become of them."""

from __future__ import annotations

from typing import TypedDict

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2 import client_tokens
from cumulet.api.ec2.image_rows import launchable
from cumulet.api.ec2.import_tasks import progress_of
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.validation import described_freely, invalid, missing
from cumulet.api.id_forms import check_id
from cumulet.identity.principal import rights_of
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import bucket, image, image_task, tag
from cumulet.model.database import Row

FORMATS = ("RAW", "VMDK", "VHD")


class Location(TypedDict, total=False):
    S3Bucket: str
    S3Prefix: str


@action(accepts={"RoleName": "the object is written with the rights of who exports the image, not of a role"})
def export_image(
    ctx: Context,
    image_id: str,
    disk_image_format: str,
    s3_export_location: Location,
    description: str = "",
    client_token: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Have an image's disk put to a bucket, as S3Prefix, the task's id and the format's ending."""
    format = disk_image_format.upper()
    if format not in FORMATS:
        raise invalid(disk_image_format, "diskImageFormat", f"It is one of {', '.join(FORMATS)}.")
    id, tags = ids.new("export_image"), tags_for(tag_specifications, "export-image-task")
    if not s3_export_location.get("S3Bucket"):
        raise missing("S3ExportLocation.S3Bucket")
    where, prefix = s3_export_location.get("S3Bucket", ""), s3_export_location.get("S3Prefix", "")
    details = {"format": format.lower(), "bucket": where, "prefix": prefix, "by": rights_of(ctx.principal)}
    details["key"] = f"{prefix}{id}.{format.lower()}"
    request = {"image": image_id, "format": format, "location": s3_export_location, "description": description}
    with ctx.write() as tx:
        earlier = client_tokens.earlier(tx, ctx.account, "ExportImage", client_token, request, {"task": id})
        if earlier is None:
            row = launchable(tx, ctx.account, image_id)
            if row.account != ctx.account:
                raise Refusal("AuthFailure", f"Not authorized for image:{image_id}", 403)
            file = image.file(tx, row.image_file)
            if file is None or (file.facts or {}).get("format") not in ("qcow2", "raw"):
                raise Refusal("UnsupportedOperation", f"The image '{image_id}' has no disk of its own to export.")
            if bucket.find(tx, where) is None:
                raise Refusal("InvalidParameter", f"The S3 bucket '{where}' does not exist.")
            values = {"account": ctx.account, "kind": "export", "image": row.id, "image_file": file.id}
            values |= {"description": described_freely(description, "task"), "details": details}
            image_task.add(tx, {**values, "id": id})
            tag.put(tx, ctx.account, id, "export-image-task", tags)
        task = image_task.find(tx, id if earlier is None else earlier["task"])
        assert task is not None
        return _item(task, shown(tags)) | {"DiskImageFormat": format}


@action()
def cancel_export_task(ctx: Context, export_task_id: str) -> Result:
    """Have an export end, and nothing be left of it; one that is over cannot."""
    check_id(export_task_id, "InvalidExportTaskID.Malformed", "export-ami-")
    with ctx.write() as tx:
        row = image_task.find(tx, export_task_id)
        if row is None or row.account != ctx.account or row.kind != "export":
            raise Refusal("InvalidExportTaskID.NotFound", f"The export task ID '{export_task_id}' does not exist")
        if row.state != "active":
            text = f"The task {row.id} is {row.state}; only active tasks can be cancelled."
            raise Refusal("IncorrectState", text)
        image_task.cancel(tx, row.id)
    return {}


@describes(
    "ExportImageTasks",
    id="ExportImageTaskId",
    ids="export_image_task_ids",
    missing="InvalidExportTaskID.NotFound",
    malformed="InvalidExportTaskID.Malformed",
    prefix="export-ami-",
    filters={"task-state": "Status"},
)
def describe_export_image_tasks(ctx: Context) -> list[Item]:
    """The account's exports, those that are over too."""
    with ctx.read() as tx:
        tags = tag.of_account(tx, ctx.account, ["export-image-task"])
        return [_item(row, tags.get(row.id, [])) for row in image_task.of_account(tx, ctx.account, "export")]


def _item(row: Row, tags: list[dict[str, str]]) -> Item:
    told = progress_of(row, None)
    location = {"S3Bucket": row.details["bucket"], "S3Prefix": row.details["prefix"]}
    return {
        "ExportImageTaskId": row.id,
        "Description": row.description or None,
        "ImageId": row.image,
        "S3ExportLocation": location,
        "Tags": tags,
        **told,
    }
