"""Where a host gives an image file to another one."""

from __future__ import annotations

import msgspec

IMAGE_PORT = 10812
"""Where image files are given to other hosts."""


class ImageLink(msgspec.Struct, frozen=True, kw_only=True):
    """Leads to the files of one image file, for an hour."""

    address: str
    """HOST:PORT on the underlay, by HTTPS."""
    certificate: str
    """PEM: what there must have, and nobody else has."""
    token: str
    """Opens it."""
    files: dict[str, int]
    """Name to bytes."""
