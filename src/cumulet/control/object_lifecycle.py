"""Lifecycles carried out: what a bucket's rules say is done, a batch of rows in a transaction each."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from cumulet.lib import ids, lifecycle
from cumulet.lib.lifecycle import Rule
from cumulet.lib.log import Log
from cumulet.lib.notices import Event
from cumulet.model import Database, Tx, bucket, notification, upload
from cumulet.model import object as objects
from cumulet.model.database import Row

log = Log("lifecycle")
SOME = 500


def carry_out(database: Database, day: float, region: str = "") -> None:
    """Do what is due in every bucket that has rules; `day` in seconds. Events are told of where there is a `region`."""
    with database.read() as tx:
        rows = bucket.with_setting(tx, "lifecycle")
    for row in rows:
        rules = lifecycle.active(row.settings["lifecycle"])
        if rules:
            _versions(database, row, rules, day, region)
            _uploads(database, row, rules, day)


def _versions(database: Database, row: Row, rules: list[Rule], day: float, region: str) -> None:
    """Walk through the bucket key by key; a key's versions are judged together."""
    start: tuple[bytes, int] = (b"", -1)
    while True:
        with database.read() as tx:
            found = objects.versions(tx, row.name, *start, None, SOME)
        if not found:
            return
        by_key: dict[bytes, list[Row]] = defaultdict(list)
        for one in found:
            by_key[one.key].append(one)
        with database.read() as tx:
            keys = [
                key
                for key, versions in by_key.items()
                if _judged(row, _all(tx, row, key, versions), rules, day, tx.now)
            ]
        for key in keys:
            with database.write() as tx:
                held = bucket.hold(tx, row.name)
                if held is not None:
                    _apply(tx, held, key, rules, day, region)
        start = found[-1].key, objects.LAST


def _all(tx: Tx, row: Row, key: bytes, seen: list[Row]) -> list[Row]:
    """All the versions of a key, of which the batch may have only the first."""
    return seen if len(seen) < SOME else objects.versions(tx, row.name, key, -1, key + b"\0", 100_000)


def _apply(tx: Tx, row: Row, key: bytes, rules: list[Rule], day: float, region: str) -> None:
    versions = objects.versions(tx, row.name, key, -1, key + b"\0", 100_000)
    for one, act in _judged(row, versions, rules, day, tx.now):
        log.info("a lifecycle rule was carried out", bucket=row.name, version=one.version, act=act)
        version = one.version
        if act == "mark":
            id = ids.token(32) if row.versioning == "Enabled" else objects.NULL
            version = id
            objects.add(tx, {"bucket": row.name, "key": key, "version": id, "owner": row.owner, "marker": True})
        elif act != "delete":
            objects.relabel(tx, one, act)
        else:
            objects.delete(tx, one)
        if region:
            _tell(tx, row, one, act, version, region)


def _tell(tx: Tx, row: Row, one: Row, act: str, version: str, region: str) -> None:
    name = {"mark": "LifecycleExpiration:DeleteMarkerCreated", "delete": "LifecycleExpiration:Delete"}
    about = {"versionId": version} if row.versioning else {}
    event = Event(f"s3:{name.get(act, 'LifecycleTransition')}", one.key.decode(), about, "s3.amazonaws.com")
    notification.tell(tx, row, event, region)


def _judged(row: Row, versions: list[Row], rules: list[Rule], day: float, now: float) -> list[tuple[Row, str]]:
    """What is to be done with the versions of a key (newest first): `mark` the key as deleted, `delete` a version, or
    give it the storage class that is named."""
    if not versions:
        return []
    acts = [(one, "delete") for one in _noncurrent(versions, rules, day, now) if not _is_locked(one, now)]
    newest = versions[0]
    if newest.marker:
        alone = len(versions) == 1 and any(_takes_markers(rule, newest, day, now) for rule in rules)
        return [*acts, (newest, "delete")] if alone else acts
    key, tags = newest.key.decode(), newest.facts.get("tags") or []
    expires = lifecycle.expires_at(rules, key, tags, newest.size, newest.modified, day)
    if expires is not None and expires[0] <= now:
        if row.versioning:
            acts.append((newest, "mark"))
        elif not _is_locked(newest, now):
            acts.append((newest, "delete"))
        return acts
    label = lifecycle.storage_class_at(rules, key, tags, newest.size, newest.modified, now, day)
    return acts if label in (None, newest.storage_class) else [*acts, (newest, str(label))]


def _noncurrent(versions: list[Row], rules: list[Rule], day: float, now: float) -> list[Row]:
    """The versions that are behind another for long enough."""
    found = []
    for place, one in enumerate(versions[1:]):
        since = versions[place].modified
        for rule in rules:
            wanted = rule.get("NoncurrentVersionExpiration")
            applies = wanted and lifecycle.applies(rule, one.key.decode(), one.facts.get("tags") or [], one.size)
            if not wanted or not applies or place < wanted.get("NewerNoncurrentVersions", 0):
                continue
            if lifecycle.after_days(since, wanted["NoncurrentDays"], day) <= now:
                found.append(one)
                break
    return found


def _takes_markers(rule: Rule, marker: Row, day: float, now: float) -> bool:
    """Whether the rule removes a delete marker that has no versions behind it."""
    expiration: dict[str, Any] = rule.get("Expiration") or {}
    if not marker.key.decode().startswith(lifecycle.prefix_of(rule)):
        return False
    if expiration.get("ExpiredObjectDeleteMarker"):
        return True
    days = expiration.get("Days")
    return days is not None and lifecycle.after_days(marker.modified, days, day) <= now


def _is_locked(row: Row, now: float) -> bool:
    lock = row.facts.get("lock")
    return row.facts.get("hold") == "ON" or (lock is not None and lock["until"] > now)


def _uploads(database: Database, row: Row, rules: list[Rule], day: float) -> None:
    """Abort the uploads that were begun too long ago."""
    for rule in rules:
        wanted = rule.get("AbortIncompleteMultipartUpload")
        if not wanted:
            continue
        with database.read() as tx:
            before = tx.now - wanted["DaysAfterInitiation"] * day
            due = upload.older(tx, row.name, lifecycle.prefix_of(rule).encode(), before, 10_000)
        for one in due:
            with database.write() as tx:
                if upload.find(tx, row.name, one.key, one.id) is None:  # completed meanwhile, and its parts are needed
                    continue
                log.info("an upload was aborted by a lifecycle rule", bucket=row.name, upload=one.id)
                upload.abort(tx, one.id)
