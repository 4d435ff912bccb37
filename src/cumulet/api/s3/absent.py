"""Configurations that no bucket of this cloud has: they are asked for in vain, and cannot be put.

So who looks through all that a bucket may have is told that there is none, as of a bucket of S3 that has none.
Source: the operations on inventory, analytics and intelligent tiering in the S3 API Reference.
"""

from __future__ import annotations

from cumulet.api.s3 import metrics
from cumulet.api.s3.call import Call, Given, Result
from cumulet.api.s3.operations import operation

KINDS = ("Inventory", "Analytics", "IntelligentTiering")


def _missing(call: Call, given: Given) -> Result:
    raise metrics.missing(call)


def _none(call: Call, given: Given) -> Result:
    return {"IsTruncated": False}


for _kind in KINDS:
    operation(f"GetBucket{_kind}Configuration", "Id", needs=(f"s3:Get{_kind}Configuration", ""))(_missing)
    operation(f"DeleteBucket{_kind}Configuration", "Id", needs=(f"s3:Put{_kind}Configuration", ""))(_missing)
    operation(f"ListBucket{_kind}Configurations", "ContinuationToken", needs=(f"s3:Get{_kind}Configuration", ""))(_none)
