"""Images: those that the image command has taken in, as users name them."""

from __future__ import annotations

from functools import partial
from typing import Any

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2.bundled_images import check_parts, take_in
from cumulet.api.ec2.bundles import bundle_at, is_manifest
from cumulet.api.ec2.image_attributes import imds_word
from cumulet.api.ec2.image_lifecycle import check_unprotected
from cumulet.api.ec2.image_making import registered_of_snapshots
from cumulet.api.ec2.image_names import check_name, check_new
from cumulet.api.ec2.image_rows import PREFIXES, owned
from cumulet.api.ec2.image_view import ALIAS, image_item
from cumulet.api.ec2.launch_disks import disks, refuse_encryption
from cumulet.api.ec2.launch_request import BlockDeviceMapping
from cumulet.api.ec2.snapshot_rows import completed, deletable
from cumulet.api.ec2.tagging import TagSpecification, tags_for
from cumulet.api.ec2.users import OWNERS, USERS, check_users
from cumulet.api.ec2.validation import described_freely, missing
from cumulet.api.filters import never
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, image, image_disk, image_use, snapshot, tag
from cumulet.model.database import Row

_DISK = "BlockDeviceMappings.Ebs"
_FILTERS = {
    **never(
        "image-watermark.source-image-creation-time",
        "image-watermark.source-image-id",
        "image-watermark.source-image-region",
        "image-watermark.watermark-creation-time",
        "image-watermark.watermark-key",
        "instance-type-specification.supported-instance-type",
        "instance-type-specification.unsupported-instance-type",
        "public-ssm-parameter-name",
        "scan-result.critical-fix-available-since",
        "scan-result.finding-scan-date",
        "scan-result.high-fix-available-since",
        "scan-result.highest-finding-severity-label",
        "scan-result.informational-fix-available-since",
        "scan-result.low-fix-available-since",
        "scan-result.medium-fix-available-since",
    ),
    "architecture": "Architecture",
    "block-device-mapping.delete-on-termination": f"{_DISK}.DeleteOnTermination",
    "block-device-mapping.device-name": "BlockDeviceMappings.DeviceName",
    "block-device-mapping.encrypted": f"{_DISK}.Encrypted",
    "block-device-mapping.snapshot-id": f"{_DISK}.SnapshotId",
    "block-device-mapping.volume-size": f"{_DISK}.VolumeSize",
    "block-device-mapping.volume-type": f"{_DISK}.VolumeType",
    "boot-mode": "BootMode",
    "creation-date": "CreationDate",
    "description": "Description",
    "ena-support": "EnaSupport",
    "free-tier-eligible": "FreeTierEligible",
    "hypervisor": "Hypervisor",
    "image-allowed": "ImageAllowed",
    "image-id": "ImageId",
    "image-type": "ImageType",
    "is-public": "Public",
    "kernel-id": "KernelId",
    "manifest-location": "ImageLocation",
    "name": "Name",
    "owner-alias": "ImageOwnerAlias",
    "owner-id": "OwnerId",
    "platform": "Platform",
    "product-code": "ProductCodes.ProductCodeId",
    "product-code.type": "ProductCodes.ProductCodeType",
    "ramdisk-id": "RamdiskId",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "source-image-id": "SourceImageId",
    "source-image-region": "SourceImageRegion",
    "source-instance-id": "SourceInstanceId",
    "sriov-net-support": "SriovNetSupport",
    "state": "State",
    "state-reason-code": "StateReason.Code",
    "state-reason-message": "StateReason.Message",
    "virtualization-type": "VirtualizationType",
}


@describes(
    "Images",
    id="ImageId",
    ids="image_ids",
    missing="InvalidAMIID.NotFound",
    malformed="InvalidAMIID.Malformed",
    prefix=PREFIXES,
    filters=dict(_FILTERS),
)
def describe_images(
    ctx: Context,
    owners: list[str] | None = None,
    executable_users: list[str] | None = None,
    image_ids: list[str] | None = None,
    include_deprecated: bool = False,
    include_disabled: bool = False,
) -> list[Item]:
    """The account's own images, the public ones and those that were opened to it.

    Disabled ones are shown where they are asked for, and deprecated ones to their owner and where they are asked for.
    """
    check_users(owners, OWNERS)
    check_users(executable_users, USERS)
    with ctx.read() as tx:
        rows = image.visible(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["image"])
        disks = image.disks_of_visible(tx, ctx.account)
        opened = image.permissions(tx, ctx.account) if executable_users else {}
        now = tx.now
    named = set(image_ids or [])
    if not include_disabled:
        rows = [row for row in rows if not row.disabled or row.id in named]
    if not include_deprecated:
        rows = [row for row in rows if row.account == ctx.account or not _is_deprecated(row, now) or row.id in named]
    if executable_users:
        rows = [row for row in rows if _may_run(ctx, row, executable_users, opened.get(row.id, []))]
    found = [image_item(row, disks.get(row.id, []), tags.get(row.id, [])) for row in rows]
    return [item for item in found if _is_of(ctx, item, owners)] if owners else found


def _is_deprecated(row: Row, now: float) -> bool:
    return row.deprecates is not None and bool(row.deprecates <= now)


def _is_of(ctx: Context, item: Item, owners: list[str]) -> bool:
    wanted = [ctx.account if owner == "self" else owner for owner in owners]
    return item["OwnerId"] in wanted or (item["ImageOwnerAlias"] == ALIAS and ALIAS in wanted)


def _may_run(ctx: Context, row: Row, users: list[str], opened: list[str]) -> bool:
    """AWS's ExecutableUsers: an explicit permission for one of these accounts, `self`, or for `all`."""
    wanted = {ctx.account if user == "self" else user for user in users}
    given_to_me = row.account != ctx.account and not row.public and ctx.account in wanted
    return (row.public and "all" in wanted) or given_to_me or bool(wanted & set(opened))


@action()
def register_image(
    ctx: Context,
    name: str = "",
    image_location: str = "",
    description: str = "",
    architecture: str = "",
    kernel_id: str = "",
    ramdisk_id: str = "",
    root_device_name: str = "",
    virtualization_type: str = "hvm",
    ena_support: bool = False,
    sriov_net_support: str = "",
    boot_mode: str = "",
    imds_support: str = "",
    block_device_mappings: list[BlockDeviceMapping] | None = None,
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """A new image of a file that the image command has taken in under `image_location`, of a bundle, or of snapshots.

    A bundle is named by its manifest, BUCKET/KEY.manifest.xml; its kernels and initial RAM disks become images too.
    """
    if not image_location and not block_device_mappings:
        raise missing("ImageLocation or BlockDeviceMappings")
    bundle = bundle_at(ctx, image_location) if is_manifest(image_location) else None
    if name or bundle is None:
        check_name(name)
    if virtualization_type != "hvm":
        raise Refusal("UnsupportedOperation", f"The VirtualizationType {virtualization_type} is not hvm.")
    tags = tags_for(tag_specifications, "image")
    shown = {"EnaSupport": ena_support, "SriovNetSupport": sriov_net_support or None, "BootMode": boot_mode or None}
    values: dict[str, Any] = {
        "name": name or image_location[:128],
        "description": described_freely(description, "image"),
    }
    values |= {"attributes": shown, "kernel": kernel_id, "ramdisk": ramdisk_id, "root_device": root_device_name}
    if imds_support:
        shown["ImdsSupport"] = imds_word(imds_support)
    if not image_location:
        return registered_of_snapshots(ctx, values, architecture, boot_mode, block_device_mappings or [], tags)
    with ctx.write() as tx:
        check_new(ctx, tx, name)
        if bundle is None:
            file = _file(tx, ctx.account, image_location, architecture)
            values["root_device"] = values["root_device"] or "/dev/sda1"
            id = image.register(tx, ctx.account, file, values | _boot(tx, ctx.account, file, boot_mode, values))
        else:
            id = take_in(ctx, tx, bundle, image_location, values)
        _take_disk(tx, id, block_device_mappings or [], shown)
        tag.put(tx, ctx.account, id, "image", tags)
    return {"ImageId": id}


@action()
def deregister_image(ctx: Context, image_id: str, delete_associated_snapshots: bool = False) -> Result:
    """Nothing can be launched from the image any more; what runs of it goes on."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        check_unprotected(row, tx.now)
        disks = image_disk.of(tx, row.id)
        image.deregister(tx, row.id)
        tag.remove(tx, row.id)
        if not delete_associated_snapshots:
            return {"Return": True}
        snapshots = [disk.snapshot for disk in disks if disk.snapshot is not None]
        return {"Return": True, "DeleteSnapshotResults": [_let_go(tx, ctx.account, id) for id in snapshots]}


def _let_go(tx: Tx, account: str, id: str) -> Item:
    """Have a snapshot go that no other image has; AWS's DeleteSnapshotReturnCodes."""
    done = deletable(tx, account, id)
    if done:
        snapshot.let_go(tx, id)
    return {"SnapshotId": id, "ReturnCode": "success" if done else "skipped"}


def _file(tx: Tx, account: str, location: str, architecture: str) -> Row:
    """The file at this location, of this architecture if one is given; raises `Refusal`."""
    file = image.file_at(tx, account, location)
    if file is None or not image_use.say_used(tx, file):
        raise Refusal(
            "InvalidManifest",
            f"There is no image file at the location '{location}'; `cumulet image import` takes one in.",
        )
    found = (file.facts or {}).get("architecture", architecture)
    if architecture and found != architecture:
        raise Refusal("InvalidParameterValue", f"The file at '{location}' is {found}, not {architecture}.")
    return file


def _boot(tx: Tx, account: str, file: Row, mode: str, values: dict[str, Any]) -> dict[str, str]:
    """How the image boots where the request says it; raises `Refusal`."""
    check_parts(tx, account, values)
    if values["kernel"]:
        return {"boot": "kernel"}
    if not mode:
        return {}
    if mode not in image.BOOTS:
        known = ", ".join(image.BOOTS)
        text = f"Value ({mode}) for parameter bootMode is invalid. It is one of {known}."
        raise Refusal("InvalidParameterValue", text)
    if (file.facts or {}).get("boot") == "kernel":
        text = f"The file at '{file.location}' boots by its own kernel; no BootMode can be chosen for it."
        raise Refusal("InvalidParameterCombination", text)
    return {"boot": image.BOOTS[mode]}


def _take_disk(tx: Tx, id: str, mappings: list[BlockDeviceMapping], shown: dict[str, Any]) -> None:
    """The root disk is as large and as lasting as the request has it."""
    row = image.find(tx, id)
    if mappings and row is not None:
        disk, *others = refuse_encryption(disks(row, [], mappings, partial(completed, tx, row.account)))
        if others:
            raise Refusal(
                "UnsupportedOperation",
                f"An image of this cloud has its root disk only, {row.root_device}; not {others[0].device}.",
            )
        kept = {"VolumeType": disk.shape.type, "DeleteOnTermination": disk.delete_on_termination}
        image.change(tx, id, root_gib=disk.shape.size_gib, attributes={**shown, **kept})
