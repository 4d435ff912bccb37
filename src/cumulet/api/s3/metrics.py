"""The metrics configurations of a bucket: what their filters choose is counted (`counting`)."""

from __future__ import annotations

import re
from typing import Any

from cumulet.api.s3 import errors
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.model import bucket, bucket_count
from cumulet.wire.rest_parse import malformed

MAX_CONFIGURATIONS, PAGE = 1000, 100
"""Of a bucket, and of an answer (S3 API Reference: PutBucketMetricsConfiguration, ListBucketMetricsConfigurations)."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@operation("GetBucketMetricsConfiguration", "Id", needs=("s3:GetMetricsConfiguration", ""))
def get_bucket_metrics_configuration(call: Call, given: Given) -> Result:
    found = _kept(call.bucket.settings).get(given["Id"])
    if found is None:
        raise missing(call)
    return {"MetricsConfiguration": found}


@operation("PutBucketMetricsConfiguration", "Id MetricsConfiguration", needs=("s3:PutMetricsConfiguration", ""))
def put_bucket_metrics_configuration(call: Call, given: Given) -> Result:
    id, wanted = given["Id"], given.get("MetricsConfiguration") or {}
    if not _ID.fullmatch(id):
        raise errors.invalid_argument(f'the id "{id}" has not 1 to 64 letters, digits, periods, dashes and underscores')
    if wanted.get("Id") != id:
        raise errors.invalid_argument(f'the id of the configuration is not that of the request, "{id}"')
    _check(wanted.get("Filter"))
    with call.write() as tx:
        kept = _kept(call.still_there(bucket.hold(tx, call.bucket_name)).settings)
        if id not in kept and len(kept) >= MAX_CONFIGURATIONS:
            why = f"This bucket has {MAX_CONFIGURATIONS} metrics configurations, and cannot have more."
            raise errors.S3Refusal("TooManyConfigurations", why, 400)
        bucket.put(tx, call.bucket_name, metrics={**kept, id: wanted})
    return {}


@operation("DeleteBucketMetricsConfiguration", "Id", needs=("s3:PutMetricsConfiguration", ""))
def delete_bucket_metrics_configuration(call: Call, given: Given) -> Answer:
    with call.write() as tx:
        kept = _kept(call.still_there(bucket.hold(tx, call.bucket_name)).settings)
        if given["Id"] not in kept:
            raise missing(call)
        rest = {id: one for id, one in kept.items() if id != given["Id"]}
        bucket.put(tx, call.bucket_name, metrics=rest or None)
        bucket_count.forget(tx, call.bucket_name, given["Id"])
    return Answer(204)


@operation("ListBucketMetricsConfigurations", "ContinuationToken", needs=("s3:GetMetricsConfiguration", ""))
def list_bucket_metrics_configurations(call: Call, given: Given) -> Result:
    """By id; the token is the last id of the page before."""
    kept, token = _kept(call.bucket.settings), given.get("ContinuationToken", "")
    ids = sorted(id for id in kept if id > token)
    page, more = ids[:PAGE], len(ids) > PAGE
    return {
        "IsTruncated": more,
        "ContinuationToken": token or None,
        "NextContinuationToken": page[-1] if more else None,
        "MetricsConfigurationList": [kept[id] for id in page],
    }


def _kept(settings: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = settings.get("metrics") or {}
    return found


def _check(wanted: dict[str, Any] | None) -> None:
    """A filter is one thing, or And of several."""
    if wanted is None:
        return
    if len(wanted) != 1:
        raise malformed("Filter has one of Prefix, Tag, AccessPointArn and And")
    several = wanted.get("And")
    if "AccessPointArn" in wanted or "AccessPointArn" in (several or {}):
        raise errors.unsupported("AccessPointArn", "it has no access points.")
    if several is not None and ("Prefix" in several) + len(several.get("Tags") or []) < 2:
        raise malformed("And has at least two of Prefix and Tags")


def missing(call: Call) -> errors.S3Refusal:
    message = "The specified configuration does not exist."
    return errors.S3Refusal("NoSuchConfiguration", message, 404, BucketName=call.bucket_name)
