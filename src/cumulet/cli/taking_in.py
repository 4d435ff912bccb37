"""Taking in images: where their bytes come from, and waiting until a running cloud has them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from cumulet.cli import asking, calls, running
from cumulet.cli.options import Cloud
from cumulet.cli.output import Bar, progress
from cumulet.lib.errors import Failure, Refusal
from cumulet.lib.outward import opener

SECONDS = 3600.0
MOST_BYTES = 5 << 30
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
_CHUNK = 1 << 20


def readable(source: str) -> Path:
    """The file's whole name; raises `Failure` where it cannot be read."""
    scheme, is_url, _ = source.partition("://")
    if is_url:
        raise Failure(f"{source} cannot be downloaded by {scheme}: http and https are known")
    path = Path(source).expanduser().absolute()
    if not path.is_file():
        raise Failure(f"{path} is no file; a disk image is one" if path.exists() else f"there is no file {path}")
    if not os.access(path, os.R_OK):
        raise Failure(f"the file {path} cannot be read")
    return path


def download(url: str, directory: Path, ranges: list[str]) -> Path:
    """Download to a file in `directory`, whole or not at all; raises `Failure`.

    Only public addresses are asked, and those in `ranges`.
    """
    name = Path(urllib.parse.urlparse(url).path).name or "image"
    try:
        with opener(ranges).open(url, timeout=30) as answer:
            total = int(answer.headers.get("content-length") or 0)
            return _written(answer, directory, name, url, total)
    except (OSError, urllib.error.URLError) as e:
        raise Failure(f"downloading {url}") from (e if isinstance(e, urllib.error.HTTPError) else _reason(e))


def received(stream: IO[bytes], directory: Path) -> Path:
    """All that comes from a stream, in a file in `directory`, whole or not at all; raises `Failure`."""
    try:
        target = _written(stream, directory, "stdin", "the standard input")
    except OSError as e:
        raise Failure("reading the standard input") from e
    if not target.stat().st_size:
        target.unlink()
        raise Failure("nothing came from the standard input: `cumulet image import - --name NAME < FILE`")
    return target


def _written(stream: IO[bytes], directory: Path, name: str, source: str, total: int = 0) -> Path:
    """A new file with what comes; raises `Failure` where that is not `total` bytes, if it is known."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    target = directory / f"{os.getpid()}-{name}"
    part = target.with_name(f".{target.name}")
    try:
        with part.open("wb") as file, progress(name) as bar:
            done = 0
            while chunk := stream.read(_CHUNK):
                done += file.write(chunk)
                bar.reach(done, total or None)
        if total and done != total:
            raise Failure(f"reading {source}: it ended after {done} of {total} bytes")
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def check(file: Path, bits: int, expected: str, source: str, *, ours: bool) -> None:
    """Raises `Failure` unless the file has this SHA-256 or SHA-512; one that is `ours` (downloaded) is removed then."""
    name = f"SHA-{bits}"
    if not re.fullmatch(rf"[0-9a-fA-F]{{{bits // 4}}}", expected):
        raise Failure(f"{expected} is no {name}: that is {bits // 4} hexadecimal digits")
    digest, done, size = hashlib.new(f"sha{bits}"), 0, file.stat().st_size
    with file.open("rb") as opened, progress(f"checking its {name}") as bar:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            bar.reach(done, size)
    if digest.hexdigest() != expected.lower():
        if ours:
            file.unlink(missing_ok=True)
        raise Failure(f"{source} is not the file that was meant: its {name} is {digest.hexdigest()}, not {expected}")


def _reason(e: OSError) -> BaseException:
    """What is inside of urllib's error: the name is unknown, nobody listens there, the disk is full."""
    inside = getattr(e, "reason", e)
    return inside if isinstance(inside, BaseException) else e


def is_read_there(cloud: Cloud) -> bool:
    """Whether the cloud reads a file of this machine by its path: else its bytes are sent to it."""
    config = cloud.config
    if asking.is_elsewhere(cloud):
        return False
    return "image" in config.role_names() or bool(config.image_dir) or running.url(config.state_dir) is None


@contextmanager
def uploaded(cloud: Cloud, file: Path) -> Iterator[dict[str, str]]:
    """The file is an object of the cloud for as long as the block lasts, as `TakeInImage` wants it.

    Raises `Failure` where it cannot be, or is too large to be sent in one piece (Amazon S3 User Guide: 5 GiB).
    """
    size, asked = file.stat().st_size, asking.whom(cloud)
    if size > MOST_BYTES:
        way = f"`aws s3 cp {file} s3://BUCKET/`, and `aws ec2 import-image` from there"
        raise Failure(f"{file} has {size} bytes; {MOST_BYTES} can be sent in one piece: {way}")
    if asked is None:
        raise Failure(f"{file} cannot be sent: no cloud runs here (`cumulet up`)")
    client = calls.Client(asked[1], asked[0], asked[0])
    bucket, key = f"cumulet-import-{secrets.token_hex(8)}", file.name
    calls.make_bucket(client, bucket)
    try:
        with file.open("rb") as opened, progress(f"sending {file.name}") as bar:
            calls.stream(client, bucket, key, cast(IO[bytes], _Counted(opened, size, bar)), size)
        yield {"bucket": bucket, "key": key}
    finally:
        with suppress(Failure, Refusal):
            calls.delete(client, bucket, key)
            calls.delete(client, bucket)


class _Counted:
    """A file that says how far it has been read."""

    def __init__(self, file: IO[bytes], size: int, bar: Bar) -> None:
        self._file, self._size, self._bar = file, size, bar

    def read(self, most: int = -1) -> bytes:
        chunk = self._file.read(most)
        self._bar.reach(self._file.tell(), self._size)
        return chunk


def taken_in_from(cloud: Cloud, location: str, source: Path) -> str | None:
    """The image that has, or will have, the bytes which are at `source` (a kernel and an initrd) now."""
    digest = hashlib.sha256()
    for part in ("kernel", "initrd"):
        digest.update((source / part).read_bytes())
    for one in asking.ask(cloud, "ListImages"):
        same = one["sha256"] == digest.hexdigest() if one["sha256"] else one["source"] == str(source)
        if one["location"] == location and one["state"] != "failed" and same:
            return str(one["id"])
    return None


def wait(cloud: Cloud, id: str) -> dict[str, Any]:
    """The image when it is available or failed, or still pending where no cloud runs that could take it in."""
    deadline, pause = time.monotonic() + SECONDS, SHORTEST_PAUSE
    with progress("the cloud takes it in") as bar:
        while True:
            runs = asking.is_elsewhere(cloud) or running.pid(cloud.config.state_dir) is not None
            found: dict[str, Any] = asking.ask(cloud, "GetImage", name=id)
            if found["state"] != "pending" or not runs:
                return found
            if time.monotonic() > deadline:
                raise Failure(f"{id} has not been taken in after {SECONDS:g} s: `cumulet explain {id}` says more")
            if found["trouble"]:
                bar.say(f"not yet: {found['trouble']}")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
