"""The operations of S3 that we have: one function each, with the parameters that it honours.

    @operation("GetBucketVersioning", "Bucket", needs=("s3:GetBucketVersioning", ""))
    def get_bucket_versioning(call, given): ...

A parameter of the model that is not honoured is refused by name; `accepts` are those without effect here, each with its
reason. `needs`: what the caller must be allowed to do with the bucket, by policy or by its access control list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cumulet.api.s3.call import Answer, Call, Given, Result

EVERYWHERE = {
    "ExpectedBucketOwner": "",
    "RequestPayer": "",
    "ContentMD5": "",
    "ChecksumAlgorithm": "the body is verified by whichever checksum is there",
    "ContentLength": "",
}
"""What is seen to for all operations, with a reason where it has no effect."""

_NO_KEYS = "it has no key management service; use AES256 or SSE-C."
INSTEAD = {
    "RestoreObject": "objects of each storage class are read without being restored.",
    "SelectObjectContent": "get the object, or ranges of it, and select from what comes.",
    "GetObjectTorrent": "get the object.",
    "SSEKMSKeyId": _NO_KEYS,
    "SSEKMSEncryptionContext": _NO_KEYS,
}
"""By an operation, or a parameter, that is not here: why, or what would be right."""
DIGESTED = frozenset(
    ["DeleteObjects", "PutBucketCors", "PutBucketLifecycleConfiguration", "PutObjectLegalHold", "PutObjectRetention"]
    + ["PutObjectLockConfiguration", "PutBucketReplication"]
)
"""Operations whose body has to come with Content-MD5 or a checksum, as the S3 API Reference says at each."""


@dataclass(frozen=True)
class Operation:
    name: str
    function: Callable[..., Any]
    honours: frozenset[str]
    accepts: Mapping[str, str]
    needs: tuple[str, str] | None
    receive: Callable[[Call, Given], Any] | None


OPERATIONS: dict[str, Operation] = {}

Handler = Callable[[Call, Given], Result | Answer]


def operation(
    name: str,
    honours: str = "",
    *,
    needs: tuple[str, str] | None = None,
    accepts: Mapping[str, str] | None = None,
    receive: Callable[[Call, Given], Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as an operation.

    `receive` makes the receiver of a body that is too large for memory; the function then gets what was received as a
    third argument.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        names = frozenset([*honours.split(), "Bucket", "Key"])
        OPERATIONS[name] = Operation(name, function, names, accepts or {}, needs, receive)
        return function

    return register
