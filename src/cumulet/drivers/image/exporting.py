"""Images on their way out: converted, and put to a link, in threads as those on their way in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from cumulet.drivers.image.http import SECONDS
from cumulet.drivers.image.inspect import Limits, convert
from cumulet.drivers.places import image_files
from cumulet.drivers.specs import ExportSpec
from cumulet.lib.errors import CumuletError, Failure, Impossible
from cumulet.lib.log import Log
from cumulet.lib.s3_link import answer_to
from cumulet.lib.urls import without_password
from cumulet.lib.works import Work, Works

log = Log("exporting")
PIECE = 1 << 20
MOST_BYTES = 5 << 30
"""S3 takes no larger object in one request."""
_OPTIONS = {
    "raw": ["raw"],
    "vmdk": ["vmdk", "-o", "subformat=streamOptimized"],
    "vhd": ["vpc", "-o", "subformat=dynamic"],
}


class Exporting:
    """Exports of the images in `directory`; they have no traces but the object."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        self._directory = directory
        self._limits = limits
        self._works: Works[_Work] = Works()

    def ensure(self, spec: ExportSpec) -> None:
        """Have it uploaded; raises, once, what has ended it early, and begins anew the next time."""
        self._works.go_on(spec.id, lambda: _Work(spec, self._directory, self._limits))

    def end(self, id: str) -> None:
        """Nothing is left of it here. What is being uploaded may still arrive."""
        self._works.forget(id)
        shutil.rmtree(self._directory / f".{id}.export", ignore_errors=True)


class _Work(Work):
    def __init__(self, spec: ExportSpec, directory: Path, limits: Limits) -> None:
        super().__init__(f"export {spec.id}")
        self._spec = spec
        self._directory = directory
        self._limits = limits

    def run(self) -> None:
        folder = self._directory / f".{self._spec.id}.export"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._put(self._converted(folder / "image"))
        except CumuletError as e:
            self.error = e
        except (OSError, HTTPException) as e:
            self.error = Failure(f"exporting {self._spec.image_file}: {e}")
        except Exception as e:  # noqa: BLE001 - an agent outlives any order
            log.exception("exporting failed", id=self._spec.id)
            self.error = Failure(f"exporting {self._spec.image_file}: {type(e).__name__}: {e}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _converted(self, target: Path) -> Path:
        disk = image_files(self._directory, self._spec.image_file)["disk"]
        if not disk.exists():
            raise Impossible("ClientError", "the image has no disk: it boots by a kernel of its own")
        with disk.open("rb") as opened:
            format = "qcow2" if opened.read(4) == b"QFI\xfb" else "raw"
        done = convert(["-f", format, "-O", *_OPTIONS[self._spec.format], str(disk), str(target)], self._limits)
        if done.returncode != 0:
            raise Failure(f"converting {self._spec.image_file}: {done.stderr.strip()[:500]}")
        return target

    def _put(self, file: Path) -> None:
        size, spec = file.stat().st_size, self._spec
        if not spec.parts:
            if size > MOST_BYTES:
                text = f"the image has {size} bytes as {spec.format}, an exported object at most {MOST_BYTES}"
                raise Impossible("ClientError", text)
            self._send(spec.url, file, 0, size)
            return
        count = max(1, -(-size // spec.part_bytes))
        if count > len(spec.parts):
            text = (
                f"the image has {size} bytes as {spec.format}, more than {len(spec.parts)} parts of {spec.part_bytes}"
            )
            raise Impossible("ClientError", text)
        tags = []
        for number, link in enumerate(spec.parts[:count]):
            start = number * spec.part_bytes
            tags.append(self._send(link, file, start, min(spec.part_bytes, size - start)))
        named = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
            for number, tag in enumerate(tags, start=1)
        )
        answer_to("POST", spec.complete, f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode())

    def _send(self, link: str, file: Path, start: int, length: int) -> str:
        """So many bytes of the file from there on; gives the entity tag."""
        url, where = urlsplit(link), without_password(link)
        connection = (HTTPSConnection if url.scheme == "https" else HTTPConnection)(url.netloc, timeout=SECONDS)
        headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
        with contextlib.closing(connection), file.open("rb") as body:
            body.seek(start)
            # who refuses it says so without reading it
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request("PUT", f"{url.path}?{url.query}", _pieces(body, length), headers)
            answer = connection.getresponse()
        if answer.status in (400, 403, 404):
            raise Impossible("ClientError", f"uploading to {where}: HTTP {answer.status} ({answer.reason})")
        if answer.status != 200:
            raise Failure(f"uploading to {where}: HTTP {answer.status} ({answer.reason})")
        return answer.getheader("ETag") or ""


def _pieces(body: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (piece := body.read(min(PIECE, length))):
        length -= len(piece)
        yield piece
