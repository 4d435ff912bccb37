"""`cumulet audit deliver`: the audit log in a bucket, in files as CloudTrail delivers them."""

from __future__ import annotations

import gzip
import json as jsons
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from cumulet.cli import running
from cumulet.cli.options import as_json, database, settings
from cumulet.cli.output import progress, say
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure, Refusal
from cumulet.lib.files import write

if TYPE_CHECKING:
    from cumulet.cli.calls import Client
    from cumulet.lib.s3_link import Signer

NOTE = "delivered.json"
"""In the directory of the audit log: how many bytes of each file are in the bucket."""
MOST_BYTES = 32 << 20
"""Of one file that is delivered, before it is compressed."""


@click.group()
def audit() -> None:
    """The audit log: who has asked for what."""


@audit.command(epilog="Example: cumulet audit deliver")
@as_json
@settings
def deliver(config: Config, json: bool) -> None:
    """Put what is new in the audit log into its bucket. The running cloud does so by itself, see `audit_bucket`."""
    url = running.url(config.state_dir)
    if not config.audit_bucket:
        raise Failure("the setting audit_bucket names no bucket")
    if url is None:
        raise Failure(f"no cloud runs for {config.state_dir}, so its buckets cannot be reached")
    with progress("delivering"):
        files = [f"{config.audit_bucket}/{key}" for key in delivered(config, url)]
    say(files, json, "\n".join(files))


class _News(NamedTuple):
    """Lines of a file that are not in the bucket yet, from one byte to another."""

    file: str
    begin: int
    end: int
    lines: list[bytes]


def delivered(config: Config, url: str) -> list[str]:
    """Put what is new into the bucket, which is the first account's and is made if need be; gives the new keys.

    Whoever dies before he has noted it delivers the same under the same key again. Raises `Failure` or `Refusal`.
    """
    from cumulet.cli import calls

    directory = config.audit_directory()
    note = directory / NOTE
    news = list(_news(directory, _noted(note)))
    if not news:
        return []
    client = calls.Client(_signer(config), url, url)
    made = []
    for one in news:
        key = _key(config, one)
        records = b'{"Records":[' + b",".join(one.lines) + b"]}"
        _put(client, config.audit_bucket, key, gzip.compress(records, mtime=0))
        done = {**_noted(note), one.file: one.end}
        there = {file: end for file, end in done.items() if (directory / file).exists()}
        write(note, jsons.dumps(there).encode(), durable=not config.test)
        made.append(key)
    return made


def _signer(config: Config) -> Signer:
    """The first account's root."""
    from cumulet.administration.credentials import key_of
    from cumulet.lib import s3_link

    with database(config) as opened, opened.read() as tx:
        _, key, secret = key_of(tx, config.account)
    return s3_link.Signer(key.id, secret, "", config.region)


def _put(client: Client, bucket: str, key: str, content: bytes) -> None:
    """The bucket is made only where it is not there: that is in the audit log too, and so never at an end."""
    from cumulet.cli import calls

    try:
        calls.put(client, bucket, key, content)
    except Refusal as e:
        if e.code != "NoSuchBucket":
            raise
        calls.make_bucket(client, bucket)
        calls.put(client, bucket, key, content)


def _noted(note: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = jsons.loads(note.read_text())
    except FileNotFoundError:
        return {}
    return found


def _news(directory: Path, noted: dict[str, int]) -> Iterator[_News]:
    """Of each account's files, the oldest first; the requests of whom no account is known stay in their file."""
    for path in sorted(directory.glob("[0-9]*/*.jsonl"), key=lambda path: (path.name, path)):
        file = str(path.relative_to(directory))
        begin = noted.get(file, 0)
        with path.open("rb") as reading:
            reading.seek(begin)
            while text := reading.read(MOST_BYTES):
                text = text[: text.rfind(b"\n") + 1]
                if not text:
                    break
                yield _News(file, begin, begin + len(text), text.splitlines())
                begin += len(text)
                reading.seek(begin)


def _key(config: Config, news: _News) -> str:
    """As CloudTrail names its log files (CloudTrail User Guide: "CloudTrail log file names")."""
    account = news.file.partition("/")[0]
    moment = str(msgspec.json.decode(news.lines[0])["eventTime"])
    day, minute = moment[:10].replace("-", "/"), moment[:16].replace("-", "").replace(":", "")
    unique = sha256(f"{config.host()} {news.file} {news.begin}".encode()).hexdigest()[:16]
    name = f"{account}_CloudTrail_{config.region}_{minute}Z_{unique}.json.gz"
    return f"AWSLogs/{account}/CloudTrail/{config.region}/{day}/{name}"
