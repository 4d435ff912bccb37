"""Taking in images: where their bytes come from, and waiting until a running cloud has them."""

from __future__ import annotations

import hashlib
import os
import re
import time
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

from cumulet.cli import asking, running
from cumulet.cli.options import Cloud
from cumulet.cli.output import progress
from cumulet.lib.errors import Failure
from cumulet.lib.outward import opener

SECONDS = 3600.0
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
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    name = Path(urllib.parse.urlparse(url).path).name or "image"
    target = directory / f"{os.getpid()}-{name}"
    part = target.with_name(f".{target.name}")
    try:
        with opener(ranges).open(url, timeout=30) as answer, part.open("wb") as file, progress(name) as bar:
            total = int(answer.headers.get("content-length") or 0)
            done = 0
            while chunk := answer.read(_CHUNK):
                done += file.write(chunk)
                bar.reach(done, total or None)
        if total and done != total:
            raise Failure(f"downloading {url}: it ended after {done} of {total} bytes")
        part.rename(target)
    except (OSError, urllib.error.URLError) as e:
        raise Failure(f"downloading {url}") from (e if isinstance(e, urllib.error.HTTPError) else _reason(e))
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
            runs = running.pid(cloud.config.state_dir) is not None
            found: dict[str, Any] = asking.ask(cloud, "GetImage", name=id)
            if found["state"] != "pending" or not runs:
                return found
            if time.monotonic() > deadline:
                raise Failure(f"{id} has not been taken in after {SECONDS:g} s: `cumulet explain {id}` says more")
            if found["trouble"]:
                bar.say(f"not yet: {found['trouble']}")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
