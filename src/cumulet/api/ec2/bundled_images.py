"""Registering what a manifest in a bucket names: a machine image, a kernel or an initial RAM disk."""

from __future__ import annotations

from typing import Any

from cumulet.api.context import Context
from cumulet.api.ec2.bundles import Bundle
from cumulet.api.ec2.image_rows import registered
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, image


def take_in(ctx: Context, tx: Tx, bundle: Bundle, location: str, values: dict[str, Any]) -> str:
    """Write down the new image and its file, which is fetched from now on; gives the image's id.

    `values`: name, description, attributes; and kernel, ramdisk and root_device where the request has them.
    """
    manifest = bundle.manifest
    found = {"kernel": manifest.kernel, "ramdisk": manifest.ramdisk, "root_device": manifest.root_device}
    found |= {key: value for key, value in values.items() if value}
    if manifest.kind != "machine" and (values.get("kernel") or values.get("ramdisk")):
        text = f"The manifest is of a {manifest.kind} image, which has no KernelId and no RamdiskId."
        raise Refusal("InvalidParameterCombination", text)
    if values["attributes"].get("BootMode") and (manifest.kind != "machine" or found["kernel"]):
        raise Refusal("InvalidParameterCombination", "What boots by a kernel of its own has no BootMode.")
    check_parts(tx, ctx.account, found)
    if not found["root_device"]:
        del found["root_device"]
    shared = {
        "account": ctx.account,
        "location": location,
        "kind": manifest.kind,
        "architecture": manifest.architecture,
    }
    return image.take_in(tx, {**found, **shared, **bundle.columns})[0]


def check_parts(tx: Tx, account: str, values: dict[str, Any]) -> None:
    """Raise `Refusal` unless `kernel` and `ramdisk` are images of these kinds, or not given."""
    for kind in ("kernel", "ramdisk"):
        if values[kind] and registered(tx, account, values[kind]).kind != kind:
            raise Refusal("InvalidParameterValue", f"The image '{values[kind]}' is no {kind} image.")
    if values["ramdisk"] and not values["kernel"]:
        raise Refusal("InvalidParameterCombination", "A RamdiskId goes with a KernelId.")
