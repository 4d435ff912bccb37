"""What should be true of image files and of what is made of them: the part of `drivers.specs` that is theirs."""

from __future__ import annotations

from typing import Literal

import msgspec

from cumulet.lib.image_link import ImageLink


class _Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class ObjectSpec(_Struct, frozen=True):
    """An object to fetch by HTTP from `url`."""

    url: str
    sha1: str = ""
    """What its bytes must have; empty: whatever is there."""
    etag: str = ""
    """Of the very version that is meant; empty: whatever is there."""
    size: int = 0


class ObjectsSpec(_Struct, frozen=True):
    """What an image file is made of: one object, or the parts of a bundle, which are encrypted with `key` and `iv`."""

    parts: list[ObjectSpec]
    key: str = ""
    """AES-128, 32 hex digits; empty: it is no bundle."""
    iv: str = ""
    sha1: str = ""
    """Of the tarball in the bundle."""
    size: int = 0
    """Bytes of the file in the tarball, as its manifest says."""


class ImageFileSpec(_Struct, frozen=True, tag="image_file"):
    """An imported image in the store: `source` becomes the files that `image_files` names."""

    id: str
    source: str
    """Path of the file to take in, or of a directory with `kernel` and `initrd` for a direct kernel boot."""
    format: Literal["qcow2", "raw", "kernel", "aki", "ari", "vmdk", "vhd", "vhdx", "vdi", "ova"] | None = None
    """What the owner says it is, kernel and initrd by themselves being aki and ari; None: find out."""
    sha256: str | None = None
    """What its bytes were when it was first taken in: disks are on top of these and no others."""
    objects: ObjectsSpec | None = None
    link: ImageLink | None = None
    """Where its bytes are instead of at `source`: in objects, or on another host."""


class ExportSpec(_Struct, frozen=True, tag="export"):
    """What the image file `image_file` holds, as an object that is put to `url`.

    Where it may be too large for one request: in `parts` of `part_bytes` each, as many as are needed, and `complete` is
    where their list goes.
    """

    id: str
    image_file: str
    format: Literal["raw", "vmdk", "vhd"]
    url: str
    parts: tuple[str, ...] = ()
    part_bytes: int = 0
    complete: str = ""
