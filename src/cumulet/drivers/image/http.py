"""Objects by HTTP: into files that are whole and right, or not there."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from cumulet.drivers.specs import ObjectSpec
from cumulet.lib.errors import Failure, Impossible
from cumulet.lib.urls import without_password

SECONDS = 60.0
_CHUNK = 1 << 20
Note = Callable[[int], None]
"""Is told how many bytes more have come; raises what ends the work early."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Who signed a link has said where to: an answer that leads elsewhere is none."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())


def fetch(wanted: ObjectSpec, target: Path, most: int, note: Note) -> None:
    """Have `target` hold the object, of at most `most` bytes; what an earlier try has left is gone on with.

    Raises `Impossible` for what is not there, may not be read or is not what it should be; else `Failure`.
    """
    part = target.with_name(f"{target.name}.part")
    there = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={there}-"} if there else {}
    if wanted.etag:
        headers["If-Match"] = f'"{wanted.etag}"'
    try:
        with _OPENER.open(urllib.request.Request(wanted.url, headers=headers), timeout=SECONDS) as answer:
            if answer.status != 206:
                there = 0
            length = there + int(answer.headers.get("content-length") or 0)
            if length > most:
                raise _refused(wanted, f"it has {length} bytes; {most} are the most that are taken in")
            note(there)
            with part.open("r+b" if there else "wb") as file:
                file.seek(there)
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    note(len(chunk))
    except urllib.error.HTTPError as e:
        if e.code == 416:
            part.unlink(missing_ok=True)
        raise _answered(wanted, e) from None
    except (OSError, HTTPException) as e:
        raise Failure(f"fetching {without_password(wanted.url)}") from e
    if part.stat().st_size != length:
        raise Failure(
            f"fetching {without_password(wanted.url)}: it ended after {part.stat().st_size} of {length} bytes"
        )
    if wanted.sha1 and (found := sha1(part)) != wanted.sha1:
        part.unlink()
        raise _refused(wanted, f"its SHA-1 is {found}, not {wanted.sha1} as its manifest says")
    part.rename(target)


def sha1(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha1").hexdigest()


def _answered(wanted: ObjectSpec, e: urllib.error.HTTPError) -> Exception:
    """What an answer that is no success means: these codes will be the same the next time."""
    if e.code == 412:
        return _refused(wanted, "it has been changed meanwhile")
    if e.code in (400, 403, 404):
        return _refused(wanted, f"HTTP {e.code} ({e.reason}): check that it is there, and that its owner lets you read")
    return Failure(f"fetching {without_password(wanted.url)}: HTTP {e.code} ({e.reason})")


def _refused(wanted: ObjectSpec, why: str) -> Impossible:
    return Impossible("Client.InvalidImage.Download", f"downloading {without_password(wanted.url)}: {why}")
