"""Copies of images: the same file, or copies of the snapshots; encrypted, snapshots with all that is on them."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import client_tokens
from cumulet.api.ec2.encryption import check_key
from cumulet.api.ec2.image_making import inherited
from cumulet.api.ec2.image_names import check_name, check_new
from cumulet.api.ec2.image_rows import launchable
from cumulet.api.ec2.snapshot_rows import copied, of_file
from cumulet.api.ec2.tagging import TagSpecification, tags_for
from cumulet.api.ec2.validation import check_region, described_freely
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, image, image_disk, snapshot, tag
from cumulet.model.database import Row

_TAGGED = ("image", "snapshot")


@action(accepts={"SnapshotCopyCompletionDurationMinutes": "a copy is complete within seconds"})
def copy_image(
    ctx: Context,
    name: str,
    source_image_id: str,
    source_region: str,
    description: str = "",
    client_token: str = "",
    copy_image_tags: bool = False,
    encrypted: bool = False,
    kms_key_id: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """A new image of the account's own that is the same as another one; its disks are copies of that one's.

    One that is to be encrypted is an image of snapshots, of a file too.
    """
    check_key(ctx, kms_key_id, encrypted=encrypted)
    check_name(name)
    check_region(ctx, source_region)
    described_freely(description, "image")
    tags = {kind: tags_for(tag_specifications, kind, _TAGGED) for kind in _TAGGED}
    request = {"name": name, "source": source_image_id, "description": description}
    request |= {"encrypted": "true"} if encrypted else {}
    id = ids.new("image")
    with ctx.write() as tx:
        before = client_tokens.earlier(tx, ctx.account, "CopyImage", client_token, request, {"image": id})
        if before is not None:
            return {"ImageId": before["image"]}
        origin = launchable(tx, ctx.account, source_image_id)
        check_new(ctx, tx, name)
        values = {**inherited(origin), "id": id, "account": ctx.account, "name": name, "description": description}
        values |= {"attributes": _attributes(ctx, origin)}
        values |= {"location": origin.location if origin.image_file else f"{ctx.account}/{name}"}
        encrypted = encrypted or account.encrypts_volumes(tx, ctx.account)
        disks = _disks(ctx, tx, origin, values, tags["snapshot"], encrypted=encrypted)
        image.add(tx, values, disks)
        own = tag.of(tx, origin.id) if copy_image_tags and origin.account == ctx.account else {}
        tag.put(tx, ctx.account, id, "image", own | tags["image"])
    return {"ImageId": id}


def _attributes(ctx: Context, origin: Row) -> dict[str, Any]:
    shown = {**origin.attributes, "SourceImageId": origin.id, "SourceImageRegion": ctx.config.region}
    shown.pop("SourceInstanceId", None)
    return shown


def _disks(
    ctx: Context, tx: Tx, origin: Row, values: dict[str, Any], tags: dict[str, str], *, encrypted: bool
) -> list[dict[str, Any]]:
    """The disks of the copy, whose columns are `values`; it has no file any more that it does not need."""
    said = f"Copied for DestinationAmi {values['id']} from SourceAmi {origin.id}"
    kept = image_disk.of(tx, origin.id)
    if kept or not encrypted:
        return [_copied(ctx, tx, disk, said, tags, encrypted=encrypted) for disk in kept]
    if origin.boot != "kernel" or origin.kernel:
        values |= {"image_file": None, "location": f"{ctx.account}/{values['name']}"}
    row = of_file(ctx, tx, origin.image_file, origin.root_gib, f"{said}.", tags)
    disk = {"device": origin.root_device, "snapshot": row.id, "size_gib": origin.root_gib}
    disk["type"] = origin.attributes.get("VolumeType", "gp3")
    return [{**disk, "delete_on_termination": origin.attributes.get("DeleteOnTermination", True)}]


def _copied(ctx: Context, tx: Tx, disk: Row, said: str, tags: dict[str, str], *, encrypted: bool) -> dict[str, Any]:
    """One disk of the copy, with a copy of its snapshot; raises `Refusal` for a snapshot that is not open."""
    values = {name: disk._mapping[name] for name in disk._mapping if name not in ("image", "sealed")}
    row = snapshot.find(tx, disk.snapshot) if disk.snapshot is not None else None
    if row is None:
        return values
    if not snapshot.is_open_to(tx, row, ctx.account):
        raise Refusal("InvalidRequest", "You do not have permission to access the storage of this ami")
    said = f"{said} for SourceSnapshot {row.id}."
    return {**values, "snapshot": copied(ctx, tx, row, said, tags, encrypted=encrypted).id}
