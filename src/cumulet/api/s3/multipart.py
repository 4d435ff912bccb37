"""Uploads in parts: create, part, part from a copy, list, complete, abort."""

from __future__ import annotations

from hashlib import md5
from typing import Any

from cumulet.api.s3 import access, acl, describing, encryption, errors, expiry, finding, quotas
from cumulet.api.s3.call import Call, Given, Result
from cumulet.api.s3.copying import SOURCE, Source, check_copied_size, part_range
from cumulet.api.s3.objects import keep_in, require_extras, unless_refused
from cumulet.api.s3.operations import operation
from cumulet.api.s3.receiving import BlobSink, Received, Receiver, require_digest_of_locked, wanted
from cumulet.lib import checksums
from cumulet.lib.checksums import Algorithm
from cumulet.model import Tx, account, blob, bucket, upload
from cumulet.model import object as objects
from cumulet.model.database import Row
from cumulet.wire.request import shown
from cumulet.wire.rest_parse import malformed

LEAST_PART = 5 << 20
MOST_PARTS = 10_000
MOST = 50 << 40
_KEYS = "SSECustomerAlgorithm SSECustomerKey SSECustomerKeyMD5"


@operation(
    "CreateMultipartUpload",
    f"{describing.PARAMETERS} {encryption.PARAMETERS} ChecksumAlgorithm ChecksumType",
    accepts={"BucketKeyEnabled": "it is a setting of KMS keys"},
)
def create_multipart_upload(call: Call, given: Given) -> Result:
    checksum = _checksum_of(given)
    with call.write() as tx:
        row = call.still_there(bucket.find(tx, call.bucket_name))
        grants = describing.list_of_new(call, tx, row, given)
        facts, storage = describing.described(call, tx, given)
        access.require(call, call.bucket, "s3:PutObject", "WRITE", key=call.key)
        require_extras(call, given, has_list=grants is not None)
        sealing = encryption.sealing_of(call, given)
        facts |= {"sse": sealing.facts} if sealing.kind else {}
        facts |= {"acl": grants} if grants is not None else {}
        facts |= {"checksum": checksum} if checksum else {}
        id = upload.new_id(tx)
        who = {"account": call.account, "initiator": call.canonical_id or row.owner}
        who["owner"] = describing.owner_of_new(call, row, grants)
        upload.create(
            tx, {"id": id, "bucket": row.name, "key": call.key, **who, "storage_class": storage, "facts": facts}
        )
    result: Result = {"Bucket": call.bucket_name, "Key": call.key_text, "UploadId": id}
    result |= expiry.abort_members(call.bucket, call.key_text, call.database.clock.now())
    if checksum:
        result |= {"ChecksumAlgorithm": checksum["algorithm"], "ChecksumType": checksum["type"]}
    return result | encryption.members(facts.get("sse"))


def _checksum_of(given: Given) -> dict[str, str] | None:
    """The algorithm and the type that all the parts have."""
    name, kind = given.get("ChecksumAlgorithm"), given.get("ChecksumType")
    if name is None:
        if kind is not None:
            raise errors.invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )
        return None
    algorithm = checksums.ALGORITHMS.get(name.upper())
    if algorithm is None:
        raise errors.invalid_request(
            f"Checksum algorithm provided is unsupported. It is one of {', '.join(checksums.ALGORITHMS)}."
        )
    kind = kind or algorithm.types[0]
    if kind not in algorithm.types:
        raise errors.invalid_request(
            f"The {kind} checksum type cannot be used with the {algorithm.name.lower()} checksum algorithm."
        )
    return {"algorithm": algorithm.name, "type": kind}


def find_upload(call: Call, tx: Tx, id: str) -> Row:
    row = upload.find(tx, call.bucket_name, call.key, id)
    if row is None:
        raise errors.no_such_upload(id)
    return row


def _own_or_allowed(call: Call, tx: Tx, id: str, action: str, listed: str) -> Row:
    """The upload, to who began it or may do `action`; nobody else is told whether there is one."""
    row = upload.find(tx, call.bucket_name, call.key, id)
    if row is None:
        access.require(call, call.bucket, action, listed, key=call.key)
        raise errors.no_such_upload(id)
    access.require_of_upload(call, action, listed, row.initiator)
    return row


def _check_number(number: int) -> None:
    if not 1 <= number <= MOST_PARTS:
        why = f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive"
        raise errors.invalid_argument(why, "partNumber", str(number))


def start_part(call: Call, given: Given) -> Receiver:
    _check_number(given["PartNumber"])
    key = encryption.customer_key(given)
    access.require(call, call.bucket, "s3:PutObject", "WRITE", key=call.key)
    with call.read() as tx:
        row = find_upload(call, tx, given["UploadId"])
    algorithm = _algorithm_of(row)
    sealing = encryption.of_upload(row.facts, key)
    said = wanted(call)
    sent = said.algorithm
    promised = row.facts.get("checksum") or {}
    if (sent is not None and promised and sent.name != algorithm.name) or (
        sent is None and promised.get("type") == "COMPOSITE"
    ):
        why = f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.name.lower()}, actual checksum Type"
        raise errors.invalid_request(f"{why}: {sent.name.lower() if sent else 'null'}")
    require_digest_of_locked(call, row.facts, "Put Part")
    quotas.check(call, call.bucket, said.size)
    return Receiver(call, said, sealing, [algorithm])


def _algorithm_of(row: Row) -> Algorithm:
    return checksums.ALGORITHMS[(row.facts.get("checksum") or {}).get("algorithm", checksums.DEFAULT.name)]


@operation("UploadPart", f"PartNumber UploadId {_KEYS}", receive=start_part)
def upload_part(call: Call, given: Given, received: Received) -> Result:
    row = _keep_part(call, given, received)
    others = {name: value for name, value in received.checksums.items() if name != checksums.DEFAULT.name}
    shown = others or received.checksums
    sent = {checksums.ALGORITHMS[name].member: value for name, value in shown.items()}
    return {"ETag": f'"{received.md5}"', **sent, **encryption.members(row.facts.get("sse"))}


def _keep_part(call: Call, given: Given, received: Received) -> Row:
    with unless_refused(call, received), call.write_together() as tx:
        row = find_upload(call, tx, given["UploadId"])
        blob.add(tx, received.blob, received.size, received.crc)
        facts = {"checksums": received.checksums, "sealed": received.sealed}
        part = {"upload": row.id, "number": given["PartNumber"], "blob": received.blob, "size": received.size}
        upload.put_part(tx, {**part, "etag": received.md5, "facts": facts})
    call.house.wake()
    return row


@operation("UploadPartCopy", f"{SOURCE} CopySourceRange PartNumber UploadId {_KEYS}")
def upload_part_copy(call: Call, given: Given) -> Result:
    _check_number(given["PartNumber"])
    key = encryption.customer_key(given)
    access.require(call, call.bucket, "s3:PutObject", "WRITE", key=call.key)
    with call.read() as tx:
        row = find_upload(call, tx, given["UploadId"])
    source = Source(call, given)
    start, length = part_range(given.get("CopySourceRange"), source.row.size)
    check_copied_size(length)
    algorithm = _algorithm_of(row)
    sink = BlobSink(call, encryption.of_upload(row.facts, key), {algorithm.name: algorithm})
    received = source.copy(sink, start, length)
    _keep_part(call, given, received)
    copied: Result = {"ETag": f'"{received.md5}"', "LastModified": float(int(call.database.clock.now()))}
    copied |= {checksums.ALGORITHMS[name].member: value for name, value in received.checksums.items()}
    return {"CopyPartResult": copied, **source.version_member, **encryption.members(row.facts.get("sse"))}


@operation("ListParts", f"UploadId MaxParts PartNumberMarker {_KEYS}")
def list_parts(call: Call, given: Given) -> Result:
    marker, most = given.get("PartNumberMarker", 0), given.get("MaxParts", 1000)
    if most < 0 or marker < 0:
        raise errors.invalid_argument(
            "Argument max-parts must be an integer between 0 and 2147483647", "max-parts", str(most)
        )
    most = min(most, 1000)
    with call.read() as tx:
        row = _own_or_allowed(call, tx, given["UploadId"], "s3:ListMultipartUploadParts", "")
        found = upload.parts(tx, row.id, marker, most + 1)
        names = account.of_canonical(tx, [row.owner, row.initiator])
    shown = found[:most]
    result: Result = {"Bucket": call.bucket_name, "Key": call.key_text, "UploadId": row.id}
    result |= {"Initiator": acl.owner_of(row.initiator, names), "Owner": acl.owner_of(row.owner, names)}
    result |= {"StorageClass": row.storage_class, "PartNumberMarker": marker}
    result |= {"NextPartNumberMarker": shown[-1].number if shown else 0, "MaxParts": most}
    result["IsTruncated"] = len(found) > most
    result |= expiry.abort_members(call.bucket, call.key_text, row.created)
    if row.facts.get("checksum"):
        result |= {
            "ChecksumAlgorithm": row.facts["checksum"]["algorithm"],
            "ChecksumType": row.facts["checksum"]["type"],
        }
    result["Parts"] = [_listed_part(one) for one in shown]
    return result


def _listed_part(one: Row) -> Result:
    shown: Result = {"PartNumber": one.number, "LastModified": float(int(one.modified)), "ETag": f'"{one.etag}"'}
    found = {checksums.ALGORITHMS[name].member: value for name, value in (one.facts.get("checksums") or {}).items()}
    return {**shown, "Size": one.size, **found}


@operation("AbortMultipartUpload", "UploadId", accepts={"IfMatchInitiatedTime": "it is for directory buckets"})
def abort_multipart_upload(call: Call, given: Given) -> Result:
    with call.write() as tx:
        row = _own_or_allowed(call, tx, given["UploadId"], "s3:AbortMultipartUpload", "WRITE")
        upload.abort(tx, row.id)
    call.house.wake()
    return {}


@operation(
    "CompleteMultipartUpload", f"UploadId MultipartUpload MpuObjectSize ChecksumType IfMatch IfNoneMatch {_KEYS}"
)
def complete_multipart_upload(call: Call, given: Given) -> Result:
    access.require(call, call.bucket, "s3:PutObject", "WRITE", key=call.key)
    encryption.customer_key(given)
    named = (given.get("MultipartUpload") or {}).get("Parts")
    if not named or len(named) > MOST_PARTS:
        raise malformed(f"CompleteMultipartUpload has 1 to {MOST_PARTS} Parts")
    if not all("PartNumber" in one and "ETag" in one for one in named):
        raise malformed("Part has a PartNumber and an ETag")
    least = min(one["PartNumber"] for one in named)
    if least < 1:
        raise errors.invalid_argument("PartNumber must be >= 1", "PartNumber", str(least))
    with call.read() as tx:
        done = _done_before(call, tx, given["UploadId"])
        if done is not None:
            return done
        row = find_upload(call, tx, given["UploadId"])
        parts = _chosen(row, named, {one.number: one for one in upload.parts(tx, row.id)})
    size = sum(one.size for one in parts)
    if given.get("MpuObjectSize", size) != size:
        why = "The provided 'x-amz-mp-object-size' header value does not match what was computed"
        raise errors.invalid_request(f"{why}: {size}")
    if size > MOST:
        raise errors.S3Refusal("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.", 400)
    facts = {**row.facts, "checksum": _whole_checksum(given, row, parts)}
    etag = f"{md5(b''.join(bytes.fromhex(one.etag) for one in parts)).hexdigest()}-{len(parts)}"
    given |= {"owner": row.owner, "storage": row.storage_class, "began": row.created}
    values = {"size": size, "etag": etag, "upload": row.id, "facts": facts}
    return _finish(call, given, row, values, parts)


def _done_before(call: Call, tx: Tx, id: str) -> Result | None:
    """The answer where the upload has become an object already: who asks again may have missed it."""
    done = objects.of_upload(tx, call.bucket_name, call.key, id)
    if done is None:
        return None
    made = {"etag": done.etag, "facts": done.facts, "size": done.size}
    return _completed(call, made, finding.version_member(call.bucket, done).get("VersionId"))


def _finish(call: Call, given: Given, row: Row, values: dict[str, Any], parts: list[Row]) -> Result:
    """The upload becomes an object, in one transaction with the check that it is still what was looked at."""
    with call.write() as tx:
        held = upload.find(tx, call.bucket_name, call.key, row.id)
        if held is None:
            if (done := _done_before(call, tx, row.id)) is not None:
                return done
            raise errors.no_such_upload(row.id)
        now = {one.number: one.blob for one in upload.parts(tx, held.id)}
        if any(now.get(one.number) != one.blob for one in parts):
            raise _invalid_part(row)
        upload.drop_parts(tx, held.id, {one.number for one in parts})
        upload.finish(tx, held.id)
        version = keep_in(call, tx, given, values)
    call.house.wake()
    return _completed(call, values, version)


def _completed(call: Call, made: dict[str, Any], version: str | None) -> Result:
    facts = made["facts"]
    result: Result = {"Location": f"{call.url}{call.request.raw_path}", "Bucket": call.bucket_name}
    result |= {"Key": call.key_text, "ETag": f'"{made["etag"]}"', "VersionId": version}
    result["ServerSideEncryption"] = encryption.members(facts.get("sse")).get("ServerSideEncryption")
    result |= expiry.member(call.bucket, call.key_text, facts.get("tags"), made["size"], call.database.clock.now())
    return result | describing.checksum_members(facts.get("checksum"))


def _chosen(row: Row, wanted: list[Given], there: dict[int, Row]) -> list[Row]:
    """The parts that the request names; raises InvalidPart, InvalidPartOrder, EntityTooSmall."""
    numbers = [one["PartNumber"] for one in wanted]
    if numbers != sorted(set(numbers)):
        why = "The list of parts was not in ascending order. The parts list must be specified in order by part number."
        raise errors.S3Refusal("InvalidPartOrder", why, 400)
    chosen = []
    for one in wanted:
        part = there.get(one["PartNumber"])
        if part is None or one["ETag"].strip('"') != part.etag:
            raise _invalid_part(row, one)
        _check_part(row, one, part)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < LEAST_PART:
            details = {
                "ProposedSize": str(part.size),
                "MinSizeAllowed": str(LEAST_PART),
                "PartNumber": str(part.number),
            }
            why = "Your proposed upload is smaller than the minimum allowed size"
            raise errors.S3Refusal("EntityTooSmall", why, 400, **details, ETag=part.etag)
    return chosen


def _check_part(row: Row, one: Given, part: Row) -> None:
    """A checksum that the request gives for a part is the part's; for a composite each is given."""
    kept = part.facts.get("checksums") or {}
    given = {name: one[f"Checksum{name}"] for name in checksums.ALGORITHMS if one.get(f"Checksum{name}")}
    if any(kept.get(name) != value for name, value in given.items()):
        raise _invalid_part(row, one)
    said = row.facts.get("checksum") or {}
    if said.get("type") == "COMPOSITE" and said["algorithm"] not in given:
        name = said["algorithm"].lower()
        why = f"The upload was created using a {name} checksum. The complete request must include the checksum for"
        raise errors.invalid_request(f"{why} each part. It was missing for part {part.number} in the request.")


def _invalid_part(row: Row, one: Given | None = None) -> errors.S3Refusal:
    why = "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified"
    details = {"UploadId": row.id}
    if one is not None:
        details |= {"PartNumber": str(one["PartNumber"]), "ETag": shown(one["ETag"].strip('"'))}
    return errors.S3Refusal("InvalidPart", f"{why} entity tag may not match the part's entity tag.", 400, **details)


def _whole_checksum(given: Given, row: Row, parts: list[Row]) -> dict[str, str]:
    algorithm = _algorithm_of(row)
    kind = (row.facts.get("checksum") or {}).get("type", "FULL_OBJECT")
    if given.get("ChecksumType", kind) != kind:
        raise errors.invalid_request(f"The upload was created with the checksum type {kind}.")
    digests = [checksums.decode(algorithm, one.facts["checksums"][algorithm.name]) for one in parts]
    if kind == "COMPOSITE":
        value = checksums.composite(algorithm, digests)
    else:
        sizes = [one.size for one in parts]
        value = checksums.encode(checksums.joined(algorithm, zip(digests, sizes, strict=True)))
    said = given.get(algorithm.member)
    if said is not None and said not in (value, value.partition("-")[0]):
        raise errors.digest_differs(algorithm.name)
    return {"algorithm": algorithm.name, "type": kind, "value": value}
