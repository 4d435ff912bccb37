"""Images of instances and of snapshots: their rows, and the snapshots that are taken for them."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import instance_rows
from cumulet.api.ec2.bundled_images import check_parts
from cumulet.api.ec2.image_disks import columns, of_instance, of_snapshots
from cumulet.api.ec2.image_names import check_name, check_new
from cumulet.api.ec2.launch_request import BlockDeviceMapping
from cumulet.api.ec2.snapshot_sets import disks_of, take
from cumulet.api.ec2.tagging import TagSpecification, tags_for
from cumulet.api.ec2.validation import described_freely, invalid
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, image, instance, tag
from cumulet.model.database import Row

_TAGGED = ("image", "snapshot")


@action(accepts={"SnapshotLocation": "there is one region, and no local zones"})
def create_image(
    ctx: Context,
    instance_id: str,
    name: str,
    description: str = "",
    no_reboot: bool = False,
    block_device_mappings: list[BlockDeviceMapping] | None = None,
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """A new image of an instance: snapshots of its volumes of one moment, between two starts unless `no_reboot`."""
    check_name(name)
    described_freely(description, "image")
    tags = {kind: tags_for(tag_specifications, kind, _TAGGED) for kind in _TAGGED}
    with ctx.write() as tx:
        check_new(ctx, tx, name)
        guest = instance_rows.one(tx, ctx.account, instance_id)
        found, volumes = of_instance(tx, guest, disks_of(tx, guest), block_device_mappings or [])
        id = ids.new("image")
        said = f"Created by CreateImage({guest.id}) for {id}"
        made = take(ctx, tx, guest, volumes, said, {disk.id: tags["snapshot"] for disk in volumes})
        taken = {disk.device: row.id for disk, row in zip(volumes, made, strict=True)}
        if guest.state == "running" and not no_reboot:
            _reboot(ctx, tx, guest)
        values = {"id": id, "name": name, "description": description, **_of_guest(tx, guest)}
        values |= {"location": f"{ctx.account}/{name}", "root_gib": found[0].shape.size_gib}
        image.add(tx, values, columns(found, taken))
        tag.put(tx, ctx.account, id, "image", tags["image"])
    return {"ImageId": id}


def _reboot(ctx: Context, tx: Tx, guest: Row) -> None:
    expected = {"desired": guest.desired, "state": guest.state, "generation": guest.generation}
    values = {"generation": guest.generation + 1, "force_after": tx.now + ctx.config.stop_grace_seconds}
    if not instance.move(tx, guest.id, expected, **values):
        raise Refusal("IncorrectInstanceState", f"The instance '{guest.id}' has changed meanwhile; try again.")


def _of_guest(tx: Tx, guest: Row) -> dict[str, Any]:
    """What an image of an instance has of it, and of the image that it was launched from."""
    origin = image.find(tx, guest.image)
    before = inherited(origin) if origin is not None else {"attributes": {}}
    shown = {name: guest.attributes.get(name) or before["attributes"].get(name) for name in _SHOWN}
    return {
        **before,
        "account": guest.account,
        "image_file": guest.image_file if guest.boot == "kernel" and not guest.kernel else None,
        "boot": guest.boot,
        "kernel": guest.kernel,
        "ramdisk": guest.ramdisk,
        "architecture": guest.architecture,
        "root_device": guest.root_device,
        "attributes": {**shown, "SourceInstanceId": guest.id},
    }


_SHOWN = ("EnaSupport", "SriovNetSupport", "BootMode", "ImdsSupport")


def inherited(origin: Row) -> dict[str, Any]:
    """All of an image that one made of it has too, unless it is said otherwise."""
    own = _OF_ITS_OWN + _OF_ITS_LIFE
    return {column.name: origin._mapping[column.name] for column in image.image.c if column.name not in own}


_OF_ITS_OWN = ("id", "account", "name", "description", "location", "public", "created")
_OF_ITS_LIFE = ("deregistered", "disabled", "deprecates", "protection", "protected_until")


def registered_of_snapshots(
    ctx: Context,
    values: dict[str, Any],
    architecture: str,
    boot_mode: str,
    mappings: list[BlockDeviceMapping],
    tags: dict[str, str],
) -> Result:
    """A new image of own snapshots; `values`: name, description, attributes, kernel, ramdisk, root_device."""
    device = values["root_device"] or "/dev/sda1"
    with ctx.write() as tx:
        check_new(ctx, tx, values["name"])
        check_parts(tx, ctx.account, values)
        found = of_snapshots(tx, ctx.account, device, mappings)
        row = {**values, "id": ids.new("image"), "account": ctx.account, "location": f"{ctx.account}/{values['name']}"}
        row |= {"root_device": device, "root_gib": found[0].shape.size_gib, "architecture": architecture or "x86_64"}
        row["boot"] = _boot(boot_mode, values["kernel"])
        image.add(tx, row, columns(found, {}))
        tag.put(tx, ctx.account, row["id"], "image", tags)
    return {"ImageId": row["id"]}


def _boot(mode: str, kernel: str) -> str:
    """How guests boot; raises `Refusal`."""
    if mode and mode not in image.BOOTS:
        raise invalid(mode, "bootMode", f"It is one of {', '.join(image.BOOTS)}.")
    if mode and kernel:
        raise Refusal("InvalidParameterCombination", "What boots by a kernel of its own has no BootMode.")
    if kernel:
        return "kernel"
    return image.BOOTS[mode] if mode else "bios"
