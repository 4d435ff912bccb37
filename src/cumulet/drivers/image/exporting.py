"""Images on their way out: converted, and put to a link, in threads as those on their way in."""

from __future__ import annotations

import contextlib
import shutil
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from cumulet.drivers.image.http import SECONDS
from cumulet.drivers.image.inspect import Limits, convert
from cumulet.drivers.places import image_files
from cumulet.drivers.specs import ExportSpec
from cumulet.lib.errors import CumuletError, Failure, Impossible
from cumulet.lib.log import Log
from cumulet.lib.urls import without_password
from cumulet.lib.works import Work, Works

log = Log("exporting")
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
        size = target.stat().st_size
        if size > MOST_BYTES:
            text = f"the image has {size} bytes as {self._spec.format}, an exported object at most {MOST_BYTES}"
            raise Impossible("ClientError", text)
        return target

    def _put(self, file: Path) -> None:
        url, where = urlsplit(self._spec.url), without_password(self._spec.url)
        connection = (HTTPSConnection if url.scheme == "https" else HTTPConnection)(url.netloc, timeout=SECONDS)
        headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
        with contextlib.closing(connection), file.open("rb") as body:
            # who refuses it says so without reading it
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request("PUT", f"{url.path}?{url.query}", body, headers)
            answer = connection.getresponse()
        if answer.status in (400, 403, 404):
            raise Impossible("ClientError", f"uploading to {where}: HTTP {answer.status} ({answer.reason})")
        if answer.status != 200:
            raise Failure(f"uploading to {where}: HTTP {answer.status} ({answer.reason})")
