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

import sqlalchemy as sa

from cumulet.cli import running
from cumulet.cli.output import progress
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.lib.outward import opener
from cumulet.model import Database, Tx, account, image, work
from cumulet.model.database import Row

SECONDS = 3600.0
PAUSE_SECONDS = 0.05
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


def order(database: Database, config: Config, values: dict[str, Any], owner: str, *, instead: bool = False) -> str:
    """Write down that an image should be taken in for an account; gives the image's id.

    `instead`: the owner's images of the same name are deregistered; guests that run from them go on. One that was
    refused is in nobody's way.
    """
    with database.write() as tx:
        found = account.named(tx, owner)
        if found is None:
            raise Failure(f"there is no account {owner}: `cumulet account list` shows all of them")
        table = image.image
        mine = table.c.account == found.id, table.c.name == values["name"], sa.not_(table.c.deregistered)
        refused = table.c.image_file.in_(sa.select(image.image_file.c.id).where(image.image_file.c.state == "failed"))
        tx.change(table.update().where(*mine, sa.true() if instead else refused).values(deregistered=True))
        if tx.first(sa.select(table).where(*mine)) is not None:
            raise Failure(f"the account {owner} has an image {values['name']} already: choose another --name")
        return image.take_in(tx, {**values, "account": found.id})[0]


def taken_in_from(database: Database, location: str, source: Path) -> str | None:
    """The image that has, or will have, the bytes which are at `source` (a kernel and an initrd) now."""
    digest = hashlib.sha256()
    for part in ("kernel", "initrd"):
        digest.update((source / part).read_bytes())
    with database.read() as tx:
        for row in image.all(tx):
            known = (row.facts or {}).get("sha256")
            same = known == digest.hexdigest() if known else row.source == str(source)
            if row.location == location and row.state != "failed" and not row.deregistered and same:
                return str(row.id)
    return None


def wait(database: Database, config: Config, id: str) -> dict[str, Any]:
    """The image when it is available or failed, or still pending where no cloud runs that could take it in."""
    deadline = time.monotonic() + SECONDS
    with progress("the cloud takes it in") as bar:
        while True:
            runs = running.pid(config.state_dir) is not None
            with database.read() as tx:
                row = _one(tx, id)
                trouble = work.find(tx, "image_file", row.image_file)
            if row.state != "pending" or not runs:
                return _described(row)
            if time.monotonic() > deadline:
                raise Failure(f"{id} has not been taken in after {SECONDS:g} s: `cumulet explain {id}` says more")
            if trouble is not None and trouble.error:
                bar.say(f"not yet: {trouble.error}")
            time.sleep(PAUSE_SECONDS)


def _one(tx: Tx, id: str) -> Row:
    for row in image.all(tx):
        if row.id == id:
            return row
    raise Failure(f"the image {id} is gone: somebody has removed it meanwhile")


def _described(row: Row) -> dict[str, Any]:
    facts = row.facts or {}
    return {
        "id": row.id,
        "name": row.name,
        "account": row.owner,
        "state": row.state,
        "public": bool(row.public),
        "format": facts.get("format", "") if row.image_file else "snapshot",
        "gib": row.root_gib,
        "boot": row.boot,
        "reason": f"{row.reason_code}: {row.reason}" if row.reason_code else row.stage,
    }
