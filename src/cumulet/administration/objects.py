"""Buckets of all accounts."""

from __future__ import annotations

from typing import Any

from cumulet.administration.desk import Nothing
from cumulet.lib.config import Config
from cumulet.model import Tx, account, bucket, upload


def buckets(tx: Tx, config: Config, wanted: Nothing) -> list[dict[str, Any]]:
    """Each bucket: name, account (its name), objects and bytes as quotas count them (versions and unfinished uploads),
    unfinished_bytes, the most of both (0: any number), versioning, log_bucket, created (seconds since 1970)."""
    names = {row.id: row.name for row in account.all(tx)}
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
            "created": row.created,
        }
        for row in bucket.all(tx)
    ]
