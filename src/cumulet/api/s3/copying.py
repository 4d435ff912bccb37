"""Copies: of an object, and of a range of one into a part of an upload. The bytes are copied: nothing is shared."""

from __future__ import annotations

import contextlib
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from cumulet.api.s3 import access, describing, encryption, errors, expiry, finding, quotas
from cumulet.api.s3.call import Call, Given, Result
from cumulet.api.s3.objects import keep, require_extras
from cumulet.api.s3.operations import operation
from cumulet.api.s3.reading import BodyStream, segments_of
from cumulet.api.s3.receiving import MOST, BlobSink, Received
from cumulet.lib import checksums
from cumulet.model import Tx, bucket
from cumulet.model.database import Row

SOURCE = (
    "CopySource CopySourceIfMatch CopySourceIfNoneMatch CopySourceIfModifiedSince CopySourceIfUnmodifiedSince "
    "CopySourceSSECustomerAlgorithm CopySourceSSECustomerKey CopySourceSSECustomerKeyMD5 ExpectedSourceBucketOwner"
)
SOURCE_KEY = ("CopySourceSSECustomerAlgorithm", "CopySourceSSECustomerKey", "CopySourceSSECustomerKeyMD5")
CONDITIONS = (
    "CopySourceIfMatch",
    "CopySourceIfNoneMatch",
    "CopySourceIfModifiedSince",
    "CopySourceIfUnmodifiedSince",
)
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


class Source:
    """The version that is copied from: its row, its bucket, and its body."""

    def __init__(self, call: Call, given: Given) -> None:
        name, key, version = _named(given["CopySource"])
        customer = encryption.customer_key(given, SOURCE_KEY)
        self._call = call
        self._version = version
        with call.read() as tx:
            found = bucket.find(tx, name)
            if found is None:
                raise errors.no_such_bucket(name)
            if given.get("ExpectedSourceBucketOwner", found.account) != found.account:
                raise errors.denied()
            access.check_payer(call, found)
            self.bucket = found
            self.row = self._fetch(tx, key, version)
            self.segments = segments_of(tx, self.row)
        self.customer = encryption.check_key(self.row.facts.get("sse") or {}, customer)
        failed = finding.check_read(given, self.row, CONDITIONS)
        if failed is not None:
            raise errors.precondition(f"x-amz-copy-source-{failed}")

    def _fetch(self, tx: Tx, key: bytes, version: str | None) -> Row:
        marker = errors.invalid_request(
            "The source of a copy request may not specifically refer to a delete marker by version id."
        )
        try:
            return finding.fetch_from(self._call, tx, self.bucket, key, version, "s3:GetObject")
        except errors.S3Refusal as e:
            if e.code == "MethodNotAllowed":
                raise marker from None
            raise

    def require_tags(self) -> None:
        """Tags are copied by who may read them ("Permissions" of CopyObject in the S3 API Reference)."""
        action = "s3:GetObjectTagging"
        action = finding.of_version(action) if self._version is not None else action
        access.require(self._call, self.bucket, action, "", self.row)

    def copy(self, sink: BlobSink, start: int, length: int) -> Received:
        """Read it into a new blob."""
        house = self._call.house
        try:
            with contextlib.closing(BodyStream(house, self.segments, self.customer, start, length)) as stream:
                while piece := stream.read():
                    sink.write(piece)
            return sink.commit()
        finally:
            sink.abort()

    @property
    def version_member(self) -> dict[str, str]:
        found = finding.version_member(self.bucket, self.row)
        return {"CopySourceVersionId": found["VersionId"]} if found else {}


def _named(source: str) -> tuple[str, bytes, str | None]:
    """Bucket, key and version of a copy's source."""
    path, _, query = source.partition("?versionId=")
    name, slash, key = unquote_to_bytes(path.encode()).removeprefix(b"/").partition(b"/")
    try:
        key.decode()
        bucket_name = name.decode()
    except UnicodeDecodeError:
        bucket_name = ""
    if not bucket_name or not slash or not key:
        why = "Invalid copy source object key" if bucket_name else "Copy Source must mention the source bucket and key"
        raise errors.invalid_argument(f"{why}: sourcebucket/sourcekey", "x-amz-copy-source", source)
    version = query if "?versionId=" in source else None
    finding.check_version(version)
    return bucket_name, key, version


@operation(
    "CopyObject",
    f"{SOURCE} {describing.PARAMETERS} {encryption.PARAMETERS} MetadataDirective TaggingDirective IfMatch IfNoneMatch "
    "ChecksumAlgorithm",
    accepts={"BucketKeyEnabled": "it is a setting of KMS keys"},
)
def copy_object(call: Call, given: Given) -> Result:
    source = Source(call, given)
    facts, storage, grants = _described(call, given, source)
    sealing = encryption.sealing_of(call, given)
    facts |= {"sse": sealing.facts} if sealing.kind else {}
    _check_changes(call, given, source, facts, storage)
    given |= {"facts": facts, "storage": storage, "owner": describing.owner_of_new(call, call.bucket, grants)}
    row = source.row
    check_copied_size(row.size)
    quotas.check(call, call.bucket, row.size)
    algorithm = _algorithm(given, row)
    sink = BlobSink(call, sealing, {algorithm.name: algorithm})
    received = source.copy(sink, 0, row.size)
    facts |= {"sealed": received.sealed} if received.sealed else {}
    value = received.checksums[algorithm.name]
    facts["checksum"] = {"algorithm": algorithm.name, "type": "FULL_OBJECT", "value": value}
    values = {"size": received.size, "etag": received.md5, "blob": received.blob, "facts": facts}
    version = keep(call, given, values, received)
    copied = {"ETag": f'"{received.md5}"', "LastModified": float(int(call.database.clock.now()))}
    copied |= describing.checksum_members(facts["checksum"])
    result: Result = {"CopyObjectResult": copied, "VersionId": version, **source.version_member}
    result |= expiry.member(call.bucket, call.key_text, facts.get("tags"), received.size, call.database.clock.now())
    return result | encryption.members(facts.get("sse"))


def check_copied_size(size: int) -> None:
    if size > MOST:
        why = "The specified copy source is larger than the maximum allowable size for a copy source"
        raise errors.invalid_request(f"{why}: {MOST}")


def _algorithm(given: Given, row: Row) -> checksums.Algorithm:
    asked = given.get("ChecksumAlgorithm") or (row.facts.get("checksum") or {}).get("algorithm") or "CRC64NVME"
    if asked not in checksums.ALGORITHMS:
        raise errors.invalid_request("Checksum algorithm provided is unsupported.")
    return checksums.ALGORITHMS[asked]


def _described(call: Call, given: Given, source: Source) -> tuple[dict[str, Any], str, Any]:
    """The facts of the copy: those of the source, or those of the request, as the directives say."""
    for name in ("MetadataDirective", "TaggingDirective"):
        if given.get(name, "COPY") not in ("COPY", "REPLACE"):
            raise errors.invalid_argument(f"Unknown {name.lower()}.", name, given[name])
    with call.read() as tx:
        grants = describing.list_of_new(call, tx, call.bucket, given)
        facts, storage = describing.described(call, tx, given)
        if given.get("TaggingDirective", "COPY") == "COPY":
            facts.pop("tags", None)
            if source.row.facts.get("tags"):
                source.require_tags()
                facts["tags"] = source.row.facts["tags"]
                require_extras(call, {"Tagging": "copied"}, has_list=False)
        access.require(call, call.bucket, "s3:PutObject", "WRITE", key=call.key)
        require_extras(call, given, has_list=grants is not None)
        finding.check_write(call, tx, given)
    if given.get("MetadataDirective", "COPY") == "COPY":
        facts |= {name: source.row.facts[name] for name in ("headers", "meta") if name in source.row.facts}
        if "meta" not in source.row.facts:
            facts.pop("meta", None)
    if grants is not None:
        facts["acl"] = grants
    return facts, storage, grants


def _check_changes(call: Call, given: Given, source: Source, facts: dict[str, Any], storage: str) -> None:
    """A copy onto itself has to change something."""
    row = source.row
    same = (source.bucket.name, row.key) == (call.bucket_name, call.key) and row.latest
    replaced = given.get("MetadataDirective") == "REPLACE" or "redirect" in facts or "sse" in facts
    if same and not replaced and storage == row.storage_class and "sse" not in row.facts:
        why = "This copy request is illegal because it is trying to copy an object to itself without changing the"
        what = "object's metadata, storage class, website redirect location or encryption attributes."
        raise errors.invalid_request(f"{why} {what}")


def part_range(text: str | None, size: int) -> tuple[int, int]:
    """Where the range of a part's copy begins, and how long it is."""
    if text is None:
        return 0, size
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        why = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the"
        raise errors.invalid_argument(
            f"{why} zero-based offsets of the first and last bytes to copy", "x-amz-copy-source-range", text
        )
    first, last = int(found[1]), int(found[2])
    if last >= size:
        why = f"Range specified is not valid for source object of size: {size}"
        raise errors.invalid_argument(why, "x-amz-copy-source-range", text)
    return first, last - first + 1
