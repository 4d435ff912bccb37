"""Buckets of all accounts."""

from __future__ import annotations

from typing import Any

import msgspec

from cumulet.administration.desk import Nothing
from cumulet.lib.config import Config
from cumulet.model import Tx, account, bucket, bucket_count, upload


class OfBucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What belongs to the bucket of this name; None: to any."""

    bucket: str | None = None


def buckets(tx: Tx, config: Config, wanted: Nothing) -> list[dict[str, Any]]:
    """Each bucket: name, account (its name), objects and bytes as quotas count them (versions and unfinished uploads),
    unfinished_bytes, the most of both (0: any number), versioning, log_bucket, requests, created (seconds since 1970).
    """
    names = {row.id: row.name for row in account.all(tx)}
    counted = {row.bucket: row for row in bucket_count.of_all(tx) if not row.configuration}
    unfinished = upload.used_by_bucket(tx)
    return [
        {
            "name": row.name,
            "account": names.get(row.account, row.account),
            "objects": row.objects,
            "bytes": row.bytes,
            "unfinished_bytes": unfinished.get(row.name, 0),
            "most_objects": config.quota_bucket_objects,
            "most_bytes": config.quota_bucket_gib << 30,
            "versioning": row.versioning or "never",
            "log_bucket": row.settings.get("logging", {}).get("TargetBucket", ""),
            "requests": counted[row.name].requests if row.name in counted else 0,
            "created": row.created,
        }
        for row in bucket.all(tx)
    ]


def bucket_counts(tx: Tx, config: Config, wanted: OfBucket) -> list[dict[str, Any]]:
    """Each count of requests: bucket, configuration (the id of a metrics configuration; empty: all requests), since
    (seconds since 1970), and the sums: of requests, of each kind, of errors, of bytes, of milliseconds."""
    return [
        {"bucket": row.bucket, "configuration": row.configuration, "since": row.since}
        | {name: getattr(row, name) for name in bucket_count.COUNTED}
        for row in bucket_count.of_all(tx, wanted.bucket or "")
    ]
