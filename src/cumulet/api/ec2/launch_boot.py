"""What a guest boots with: its disk's own loader, or a kernel and an initial RAM disk from images of their own."""

from __future__ import annotations

from typing import Any

from cumulet.api.ec2.image_rows import booting
from cumulet.lib.errors import Refusal
from cumulet.model import Tx
from cumulet.model.database import Row


def boot_of(tx: Tx, account: str, image: Row, kernel_id: str, ramdisk_id: str) -> dict[str, str]:
    """The columns of an instance that say how it boots: as its image says, or as the request does instead.

    Raises `Refusal` for an image that is no kernel or ramdisk, or cannot be used.
    """
    kernel, ramdisk = kernel_id or image.kernel, ramdisk_id or image.ramdisk
    if not kernel and ramdisk:
        raise Refusal(
            "InvalidParameterCombination",
            f"A RamdiskId goes with a KernelId, and the image '{image.id}' has none.",
        )
    if not kernel:
        return {"boot": image.boot}
    own = image.image_file if image.boot == "kernel" and not image.kernel else ""
    found = {"boot": "kernel", "kernel": kernel, "ramdisk": ramdisk, "ramdisk_file": own}
    found["kernel_file"] = booting(tx, account, kernel, "kernel").image_file
    if ramdisk:
        found["ramdisk_file"] = booting(tx, account, ramdisk, "ramdisk").image_file
    return found


def metadata_of(image: Row, given: dict[str, Any]) -> dict[str, Any]:
    """How guests ask for their metadata where the image's ImdsSupport says it, and the columns `given` do not."""
    if image.attributes.get("ImdsSupport") != "v2.0":
        return {}
    return {"metadata_options": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, **given["metadata_options"]}}
