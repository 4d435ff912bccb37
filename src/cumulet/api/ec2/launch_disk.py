"""The root disk of a launch: its size and kind, from the image and the request's BlockDeviceMappings."""

from __future__ import annotations

from typing import NamedTuple

from cumulet.api.ec2.launch_request import BlockDeviceMapping
from cumulet.lib.errors import Refusal
from cumulet.model.database import Row

TYPES = ("gp3", "gp2", "io1", "io2", "standard")
"""AWS's volume types that can be a root disk; here they are all the same."""
LARGEST_GIB = 16384


class RootDisk(NamedTuple):
    size_gib: int
    type: str
    delete_on_termination: bool


def root_disk(image: Row, mappings: list[BlockDeviceMapping]) -> RootDisk:
    """The root disk of an instance of this image; raises `Refusal` InvalidBlockDeviceMapping for what cannot be."""
    kept = image.attributes
    usual = RootDisk(image.root_gib, kept.get("VolumeType", "gp3"), kept.get("DeleteOnTermination", True))
    if not mappings:
        return usual
    if len(mappings) > 1 or mappings[0].get("DeviceName") != image.root_device:
        raise _wrong(
            f"An instance of this cloud is launched with its root disk only, {image.root_device} of the image "
            f"'{image.id}'; given are {', '.join(one.get('DeviceName', 'no DeviceName') for one in mappings)}."
        )
    ebs = mappings[0].get("Ebs") or {}
    kind = ebs.get("VolumeType", usual.type)
    if kind not in TYPES:
        raise _wrong(f"The volume type {kind} cannot be a root disk's; these can: {', '.join(TYPES)}.")
    if ebs.get("Encrypted"):
        raise Refusal("UnsupportedOperation", "Encrypted volumes are not supported by this cloud.")
    return RootDisk(
        _size(image, ebs.get("VolumeSize")), kind, ebs.get("DeleteOnTermination", usual.delete_on_termination)
    )


def _size(image: Row, given: int | None) -> int:
    if given is None:
        return int(image.root_gib)
    if given < image.root_gib:
        raise _wrong(
            f"Volume of size {given}GB is smaller than the image '{image.id}', expect size >= {image.root_gib}GB"
        )
    if given > LARGEST_GIB:
        raise _wrong(f"Volume of size {given}GB is larger than {LARGEST_GIB}GB, the largest that there is.")
    return given


def _wrong(text: str) -> Refusal:
    return Refusal("InvalidBlockDeviceMapping", text)
