"""Where an image is exported to: one link for what S3 takes in one request, else those of an upload in parts.

The upload is begun here, since a link names it, and kept with the task; one that was begun by a run that died is found
in the bucket's list. What an export leaves is ended with it.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from cumulet.control.object_links import Links
from cumulet.engine.engine import Run
from cumulet.lib.errors import Failure, Impossible
from cumulet.lib.s3_link import answer_to
from cumulet.model import image_task
from cumulet.model.database import Row

AT_ONCE_BYTES = 5 << 30
"""S3 takes no more in one request."""
PART_BYTES = 4 << 30
_UPLOAD = re.compile("<UploadId>([^<]+)</UploadId>")
_OVERHEAD = 1.01
"""A disk without gaps is a little larger in a format that has an index of them."""


def links(run: Run, row: Row, size: int) -> dict[str, Any]:
    """The fields of an `ExportSpec` that say where to; `size`: of the disk in bytes."""
    to = Links(run, row.account, row.details["by"])
    bucket, key = row.details["bucket"], row.details["key"]
    found: dict[str, Any] = {"url": to.to(bucket, key, "PUT")}
    if not is_in_parts(size):
        return found
    upload = row.details.get("upload") or _upload(to, bucket, key) or _begun(to, bucket, key)
    if "upload" not in row.details:
        with run.write() as tx:
            image_task.keep(tx, row.id, {**row.details, "upload": upload})
    count = -int(-size * _OVERHEAD // PART_BYTES)
    parts = [to.to(bucket, key, "PUT", partNumber=str(number), uploadId=upload) for number in range(1, count + 1)]
    complete = to.to(bucket, key, "POST", uploadId=upload)
    return found | {"parts": tuple(parts), "part_bytes": PART_BYTES, "complete": complete}


def is_in_parts(size: int) -> bool:
    """Whether a disk of so many bytes may become too large for one request."""
    return size * _OVERHEAD > AT_ONCE_BYTES


def _begun(to: Links, bucket: str, key: str) -> str:
    found = _UPLOAD.search(answer_to("POST", to.to(bucket, key, "POST", uploads="")).decode())
    if found is None:
        raise Failure(f"an upload of {key} to {bucket} was begun, and its id not told")
    return found[1]


def _upload(to: Links, bucket: str, key: str) -> str | None:
    """The upload that has been begun, if one has; who may not list them begins another."""
    with contextlib.suppress(Impossible):
        listed = answer_to("GET", to.to(bucket, "", "GET", uploads="", prefix=key)).decode()
        found = _UPLOAD.search(listed)
        return found[1] if found is not None else None
    return None


def abandon(run: Run, row: Row) -> None:
    """Nothing is left of an upload in parts."""
    to = Links(run, row.account, row.details["by"])
    bucket, key = row.details["bucket"], row.details["key"]
    with contextlib.suppress(Impossible, Failure):  # the bucket or the rights may be gone
        upload = row.details.get("upload") or _upload(to, bucket, key)
        if upload is not None:
            answer_to("DELETE", to.to(bucket, key, "DELETE", uploadId=upload))
