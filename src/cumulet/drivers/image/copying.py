"""An image file from another host: its files, with holes, each gone on with where an earlier try has ended."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from cumulet.lib.errors import Failure
from cumulet.lib.image_link import ImageLink

SECONDS = 30.0
_CHUNK = 1 << 20
_ZEROES = memoryview(bytes(_CHUNK))
Note = Callable[[int], None]
"""Is told how many bytes more have come; raises what ends the work early."""


def copy(link: ImageLink, id: str, folder: Path, note: Note) -> Path:
    """The image file's one file, or `folder` where it has several; raises `Failure`."""
    for name, size in link.files.items():
        file = folder / name
        if file.exists():
            note(size)
            continue
        part = folder / f"{name}.part"
        try:
            _fetch(link, f"/{id}/{name}", part, size, note)
        except (OSError, http.client.HTTPException) as e:
            raise Failure(f"fetching {id} from {link.address}") from e
        part.rename(file)
    return folder / next(iter(link.files)) if len(link.files) == 1 else folder


def _fetch(link: ImageLink, path: str, part: Path, size: int, note: Note) -> None:
    there = part.stat().st_size if part.exists() else 0
    if there > size:
        part.unlink()
        there = 0
    note(there)
    host, _, port = link.address.rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=SECONDS, context=_context(link))
    try:
        headers = {"Authorization": f"Bearer {link.token}", "Range": f"bytes={there}-"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status not in (200, 206):
            raise Failure(f"fetching {path} from {link.address}: HTTP {answer.status} ({answer.reason})")
        with part.open("r+b" if there else "wb") as file:
            file.seek(there if answer.status == 206 else 0)
            while chunk := answer.read(_CHUNK):
                if chunk == _ZEROES[: len(chunk)]:
                    file.seek(len(chunk), os.SEEK_CUR)
                else:
                    file.write(chunk)
                note(len(chunk))
            length = file.tell()
            file.truncate(length)
    finally:
        connection.close()
    if length != size:
        raise Failure(f"fetching {path} from {link.address}: it ended after {length} of {size} bytes")


def _context(link: ImageLink) -> ssl.SSLContext:
    """The other host is known by its certificate, whatever it is called."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=link.certificate)
    return context
