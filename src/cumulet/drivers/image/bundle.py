"""Bundled images undone: parts decrypted, and the one file in the tarball taken out of it, with no trust in either.

A bundle is a tarball of one file, compressed by gzip, encrypted by AES-128 in CBC mode and cut in parts.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from cumulet.drivers.image.http import Note
from cumulet.lib.errors import Impossible

_CHUNK = 1 << 20
_HEADERS = 4 << 20
"""The most bytes of a tarball that may be headers, or padding."""


def decrypt(parts: Iterable[Path], target: Path, key: str, iv: str, note: Note) -> None:
    """Join the parts in `target`, decrypted; each is removed then. Raises `Impossible` where the key is not theirs."""
    decryptor = Cipher(algorithms.AES(bytes.fromhex(key)), modes.CBC(bytes.fromhex(iv))).decryptor()
    padding = PKCS7(128).unpadder()
    with target.open("wb") as writing:
        try:
            for part in parts:
                with part.open("rb") as reading:
                    while chunk := reading.read(_CHUNK):
                        writing.write(padding.update(decryptor.update(chunk)))
                        note(len(chunk))
            writing.write(padding.update(decryptor.finalize()) + padding.finalize())
        except ValueError as e:
            raise Impossible(
                "Client.InvalidImage.Decrypt", "the parts cannot be decrypted with the key of the manifest"
            ) from e


def untar(tarball: Path, target: Path, sha1: str, most: int, note: Note) -> None:
    """Have `target` hold the one file of the tarball, which may be of `most` bytes; compressed or not.

    Raises `Impossible` for anything else in it, and unless the tarball's SHA-1 is this one.
    """
    try:
        with tarball.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            plain = Counted(cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw)
            with tarfile.open(fileobj=cast(IO[bytes], plain), mode="r|") as archive:
                member = archive.next()
                _check(member, most)
                assert member is not None
                plain.left = member.size + _HEADERS
                take_out(archive, member, target, note)
                if archive.next() is not None:
                    raise _refused("the tarball has more than one file")
            while plain.read(_CHUNK):
                pass
    except (OSError, EOFError, zlib.error, tarfile.TarError) as e:
        if isinstance(e, OSError) and not isinstance(e, gzip.BadGzipFile):
            raise
        raise _refused(f"it is no tarball, or cut off: {e}") from e
    if plain.digest.hexdigest() != sha1:
        raise _refused(f"the SHA-1 of the tarball is {plain.digest.hexdigest()}, not {sha1} as its manifest says")


class Counted:
    """A stream that is read in order, no further than there is a reason to: what is `left` may still come."""

    def __init__(self, inside: IO[bytes]) -> None:
        self._inside = inside
        self.left = _HEADERS
        self.digest = hashlib.sha1(usedforsecurity=False)

    def read(self, size: int) -> bytes:
        chunk = self._inside.read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise _refused("the tarball has more in it than the file that it is for")
        self.digest.update(chunk)
        return chunk


def _check(member: tarfile.TarInfo | None, most: int) -> None:
    if member is None:
        raise _refused("the tarball is empty")
    if not member.isreg():
        kind = "link" if member.issym() or member.islnk() else "directory" if member.isdir() else "device"
        raise _refused(f"the tarball has a {kind}, {member.name[:80]!r}, where it should have the image's file")
    if member.size > most:
        raise _refused(f"the file in the tarball has {member.size} bytes; {most} are the most that are taken in")


def take_out(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, note: Note) -> None:
    """Its name is of no interest: it goes to `target`, with holes where it has zeroes."""
    reading = archive.extractfile(member)
    assert reading is not None
    with target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            if chunk.count(0) == len(chunk):
                writing.seek(len(chunk), os.SEEK_CUR)
            else:
                writing.write(chunk)
            note(len(chunk))
        writing.truncate(writing.tell())
    if target.stat().st_size != member.size:
        raise _refused(f"the tarball is cut off: {target.stat().st_size} of {member.size} bytes are in it")


def _refused(why: str) -> Impossible:
    return Impossible("Client.InvalidImage.Untar", why)
