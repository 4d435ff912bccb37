"""How much an account and a bucket may hold."""

from __future__ import annotations

from cumulet.api.s3 import errors
from cumulet.api.s3.call import Call
from cumulet.model import Tx, account, bucket
from cumulet.model.database import Row

GIB = 1 << 30


def check(call: Call, row: Row, size: int) -> None:
    """Before a body comes: raises QuotaExceeded if it cannot fit into the bucket."""
    _check(f"bucket {row.name}", row.objects, row.bytes + size, *_of_bucket(call))


def check_held(call: Call, tx: Tx, row: Row, size: int) -> None:
    """When a row is written: the bucket's and the account's, neither of which anybody else can use up meanwhile."""
    _check(f"bucket {row.name}", row.objects + 1, row.bytes + size, *_of_bucket(call))
    most_objects, most_gib = call.config.quota_objects, call.config.quota_object_gib
    if most_objects or most_gib:
        account.hold(tx, row.account)
        _, count, used = bucket.used(tx, row.account)
        _check(f"account {row.account}", count + 1, used + size, most_objects, most_gib)


def _of_bucket(call: Call) -> tuple[int, int]:
    return call.config.quota_bucket_objects, call.config.quota_bucket_gib


def _check(whose: str, count: int, used: int, most_objects: int, most_gib: int) -> None:
    if most_objects and count > most_objects:
        raise errors.S3Refusal("QuotaExceeded", f"The {whose} may hold {most_objects} objects.", 403)
    if most_gib and used > most_gib * GIB:
        raise errors.S3Refusal("QuotaExceeded", f"The {whose} may hold {most_gib} GiB.", 403)
