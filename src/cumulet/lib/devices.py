"""Device names: `/dev/sdf`, `/dev/xvdf`, `xvdf` and `/dev/vdf` are the same place in a guest, the slot `f`."""

from __future__ import annotations

import re

_NAME = re.compile(r"(?:/dev/sd|/dev/xvd|/dev/vd|xvd)([b-z]|[bc][a-z])")
ROOT = "a"
SINGLE = "bcdefghijklmnopqrstuvwxyz"


def slot(device: str) -> str | None:
    """The slot of a device that is not the root device: b to z, ba to cz; None for a name that cannot be.

    AWS's names (EC2 User Guide: "Device names for volumes"), and the 2012 tutorial's /dev/vdb.
    """
    found = _NAME.fullmatch(device)
    return found[1] if found else None
