"""The disks of a launch: from the image and the request's BlockDeviceMappings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cumulet.api.ec2.launch_request import BlockDeviceMapping, Ebs
from cumulet.api.ec2.volume_types import DEFAULT, ROOT_TYPES, Shape, shaped
from cumulet.lib import devices
from cumulet.lib.errors import Refusal
from cumulet.model.database import Row

Origin = Callable[[str], Row]


class Disk(NamedTuple):
    """A volume that is made with the instance."""

    device: str
    slot: str
    shape: Shape
    delete_on_termination: bool
    image_file: str | None = None
    snapshot: str | None = None
    encrypted: bool = False
    """Asked for; what is made from an encrypted snapshot is encrypted besides."""
    key_id: str = ""


class Kept(NamedTuple):
    """A disk that an image has, as a row of `model.image_disk`."""

    device: str
    snapshot: str | None
    size_gib: int
    type: str
    iops: int
    throughput: int
    delete_on_termination: bool


class Base(NamedTuple):
    """What there must be of an image that does not exist yet."""

    id: str
    root_device: str
    root_gib: int
    attributes: dict[str, Any]
    image_file: str | None = None


def disks(
    image: Row | Base, kept: Sequence[Row | Kept], mappings: list[BlockDeviceMapping], origin: Origin
) -> list[Disk]:
    """The disks of an instance of this image, the root disk first.

    `kept` are the image's own disks where it has any, which the mappings change; `origin` finds a snapshot. Raises
    `Refusal` InvalidBlockDeviceMapping for what cannot be.
    """
    named: dict[str, BlockDeviceMapping] = {}
    for one in mappings:
        device = one.get("DeviceName", "")
        if not device or device in named:
            raise _wrong(f"Each BlockDeviceMapping has a DeviceName of its own; {device or 'none'} is not.")
        named[device] = one
    own = {one.device: one for one in kept}
    root = root_disk(image, own.pop(image.root_device, None), named.pop(image.root_device, {}))
    wanted = [_over(one, named.pop(device, {})) for device, one in own.items()]
    found = [root, *(_data_disk(one, origin) for one in [*wanted, *named.values()] if "NoDevice" not in one)]
    for number, disk in enumerate(found):
        if any(disk.slot == other.slot for other in found[:number]):
            raise _wrong(f"The device '{disk.device}' is used more than once: sdX, xvdX and vdX are the same.")
    return found


def _over(kept: Row | Kept, given: BlockDeviceMapping) -> BlockDeviceMapping:
    """What an image has at a device, with what a request says of it."""
    said: Ebs = given.get("Ebs") or {}
    base: Ebs = {"VolumeType": kept.type, "DeleteOnTermination": kept.delete_on_termination}
    if said.get("SnapshotId") in (None, kept.snapshot):
        base["VolumeSize"] = int(kept.size_gib)
    if kept.snapshot is not None:
        base["SnapshotId"] = kept.snapshot
    if "VolumeType" not in said:
        base |= {"Iops": int(kept.iops)} if kept.iops else {}
        base |= {"Throughput": int(kept.throughput)} if kept.throughput else {}
    merged: BlockDeviceMapping = {**given, "DeviceName": kept.device}
    merged["Ebs"] = {**base, **said}
    return merged


def root_disk(image: Row | Base, own: Row | Kept | None, mapping: BlockDeviceMapping) -> Disk:
    """The root disk, as the image has it (`own`, or its file) and the request wants it."""
    if "NoDevice" in mapping:
        raise _wrong(f"The root device {image.root_device} of the image '{image.id}' cannot be left out.")
    _refuse_ephemeral(mapping)
    snapshot = own.snapshot if own is not None else None
    if (mapping.get("Ebs") or {}).get("SnapshotId", snapshot) != snapshot:
        raise _wrong(f"snapshotId cannot be modified on root device: the image '{image.id}' has {snapshot or 'none'}.")
    ebs = (_over(own, mapping) if own is not None else mapping).get("Ebs") or {}
    kind = ebs.get("VolumeType") or image.attributes.get("VolumeType", DEFAULT)
    if kind not in ROOT_TYPES:
        raise _wrong(f"The volume type {kind} cannot be a root disk's; these can: {', '.join(ROOT_TYPES)}.")
    size = ebs.get("VolumeSize", int(image.root_gib))
    if size < image.root_gib:
        raise _wrong(
            f"Volume of size {size}GB is smaller than the image '{image.id}', expect size >= {image.root_gib}GB"
        )
    goes = ebs.get("DeleteOnTermination", image.attributes.get("DeleteOnTermination", True))
    file = image.image_file if snapshot is None else None
    shape = _shape(ebs, kind, size)
    return Disk(image.root_device, devices.ROOT, shape, goes, file, snapshot, **_encryption(ebs))


def _data_disk(mapping: BlockDeviceMapping, origin: Origin) -> Disk:
    device = mapping["DeviceName"]
    slot = devices.slot(device)
    if slot is None:
        raise _wrong(
            f"The device name {device} is invalid: it is /dev/sd, /dev/xvd, xvd or /dev/vd and b to z or ba to cz."
        )
    _refuse_ephemeral(mapping)
    ebs = mapping.get("Ebs") or {}
    row = origin(ebs["SnapshotId"]) if ebs.get("SnapshotId") else None
    least = int(row.size_gib) if row is not None else 0
    size = ebs.get("VolumeSize", least)
    if not size:
        raise _wrong(f"The mapping of {device} needs a VolumeSize or a SnapshotId.")
    if size < least:
        raise _wrong(
            f"Volume of size {size}GB is smaller than snapshot '{ebs['SnapshotId']}', expect size >= {least}GB"
        )
    shape = _shape(ebs, ebs.get("VolumeType") or DEFAULT, size)
    goes = ebs.get("DeleteOnTermination", False)
    return Disk(device, slot, shape, goes, snapshot=row.id if row is not None else None, **_encryption(ebs))


def _refuse_ephemeral(mapping: BlockDeviceMapping) -> None:
    if mapping.get("VirtualName"):
        raise Refusal(
            "UnsupportedOperation",
            f"The VirtualName {mapping['VirtualName']} is not supported: instance types of this cloud have no "
            "ephemeral disks; give an Ebs with DeleteOnTermination instead.",
        )


def _encryption(ebs: Ebs) -> dict[str, Any]:
    return {"encrypted": ebs.get("Encrypted", False), "key_id": ebs.get("KmsKeyId", "")}


def refuse_encryption(found: list[Disk]) -> list[Disk]:
    """The disks of an image, as encrypted as their snapshots are; raises `Refusal` where more is asked for."""
    for disk in found:
        if disk.encrypted or disk.key_id:
            text = "The disks of an image are as encrypted as their snapshots: ask RunInstances for encrypted volumes."
            raise Refusal("UnsupportedOperation", text)
    return found


def _shape(ebs: Ebs, kind: str, size: int) -> Shape:
    try:
        return shaped(kind, size, ebs.get("Iops"), ebs.get("Throughput"))
    except Refusal as e:
        raise _wrong(e.message) from None


def _wrong(text: str) -> Refusal:
    return Refusal("InvalidBlockDeviceMapping", text)
