"""Server access logs, from where the cloud has kept them to the buckets that their owners have named."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cumulet.api.s3.access_log import DELIVERER
from cumulet.cli import calls
from cumulet.lib import session
from cumulet.lib.config import Config
from cumulet.lib.errors import Refusal
from cumulet.lib.log import Log
from cumulet.lib.s3_link import Signer
from cumulet.model import Database, bucket
from cumulet.model.database import Row

log = Log("access")
SESSION_SECONDS = 900
GONE = {"NoSuchBucket", "AccessDenied", "QuotaExceeded", "EntityTooLarge"}
"""What will not be otherwise soon: AWS's delivery is best effort too."""
MOST_WAITING = 1 << 30
"""Bytes of all that could not be delivered for now: beyond it the oldest is lost, before the disk is full."""


def delivered(config: Config, database: Database, url: str, everything: bool = False) -> list[str]:
    """Put what is new of each bucket's log into its target, as one object; gives the new keys.

    A file is taken away by another name first, and delivered the next time, so that nobody still writes to it;
    `everything`: at once. What is refused for now is tried again the next time; raises `Failure` where nobody answers.
    """
    directory = config.access_log_directory()
    waiting = _kept(sorted(directory.glob("*.taken-*")))
    for file in [file for file in sorted(directory.glob("*")) if ".taken-" not in file.name]:
        taken = file.rename(f"{file}.taken-{secrets.token_hex(8)}")
        waiting += [taken] if everything else []
    return [key for file in waiting for key in _deliver(config, database, url, file)]


def _kept(waiting: list[Path]) -> list[Path]:
    """The newest of these, up to `MOST_WAITING`."""
    room, kept = MOST_WAITING, []
    for file in sorted(waiting, key=lambda one: one.stat().st_mtime, reverse=True):
        room -= file.stat().st_size
        if room >= 0:
            kept.append(file)
            continue
        log.warning("an access log is lost: too much waits", bucket=file.name.split(".taken-")[0], bytes=MOST_WAITING)
        file.unlink()
    return kept


def _deliver(config: Config, database: Database, url: str, file: Path) -> Iterator[str]:
    name, unique = file.name.split(".taken-")
    with database.read() as tx:
        row = bucket.find(tx, name)
    wanted = row.settings.get("logging") if row is not None else None
    if row is None or not wanted:
        log.info("an access log that nobody wants any more is dropped", bucket=name)
        file.unlink()
        return
    key = _key(config, row, wanted, unique)
    made, token = session.begin(database.keys, row.account, time.time(), SESSION_SECONDS, kind="user", name=DELIVERER)
    client = calls.Client(Signer(made.key, made.secret, token, config.region), url, url)
    try:
        calls.put(client, wanted["TargetBucket"], key, file)
    except Refusal as e:
        if e.code not in GONE:
            log.error("an access log is not delivered yet", bucket=name, target=wanted["TargetBucket"], error=e)
            return
        log.warning("an access log is lost", bucket=name, target=wanted["TargetBucket"], error=e)
    else:
        yield key
    file.unlink()


def _key(config: Config, row: Row, wanted: dict[str, object], unique: str) -> str:
    """`TargetPrefix` and the time; with the partitioned form, where it is from and of which day before that.

    Source: "Log object key format" (Amazon S3 User Guide).
    """
    now = datetime.now(UTC)
    name = f"{now:%Y-%m-%d-%H-%M-%S}-{unique.upper()}"
    form = wanted.get("TargetObjectKeyFormat")
    if isinstance(form, dict) and "PartitionedPrefix" in form:
        name = f"{row.account}/{config.region}/{row.name}/{now:%Y/%m/%d}/{name}"
    return f"{wanted['TargetPrefix']}{name}"
