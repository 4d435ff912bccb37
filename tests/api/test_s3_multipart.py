"""Uploads in parts."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, body, made, put

FIRST, LAST = b"f" * (5 << 20), b"last"


@pytest.fixture
def s3(cloud: Any) -> Any:
    found = support.client(cloud)
    made(found)
    return found


def begun(s3: Any, **more: Any) -> dict[str, Any]:
    id = s3.create_multipart_upload(Bucket=BUCKET, Key="k", **more)["UploadId"]
    return {"Bucket": BUCKET, "Key": "k", "UploadId": id}


def sent(s3: Any, upload: Any, number: int, content: bytes, **more: Any) -> dict[str, Any]:
    """Send a part; gives how a completion names it."""
    answer = s3.upload_part(**upload, PartNumber=number, Body=content, **more)
    checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}


def completed(s3: Any, upload: Any, *parts: Any, **more: Any) -> Any:
    return s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": list(parts)}, **more)


def test_parts_become_an_object(cloud: Any, s3: Any) -> None:
    upload = begun(s3, Metadata={"a": "1"}, ContentType="text/plain", Tagging="t=1")
    replaced = sent(s3, upload, 7, b"z" * 100)
    last, first = sent(s3, upload, 7, LAST), sent(s3, upload, 2, FIRST)
    sent(s3, upload, 9, b"not wanted")
    listed = s3.list_parts(**upload, MaxParts=2)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(2, len(FIRST)), (7, len(LAST))]
    assert (listed["IsTruncated"], listed["NextPartNumberMarker"]) == (True, 7)
    assert code(s3.get_object, Bucket=BUCKET, Key="k") == "NoSuchKey"
    assert replaced["ETag"] != last["ETag"]
    etags = b"".join(hashlib.md5(content).digest() for content in (FIRST, LAST))
    answer = completed(s3, upload, first, last)
    assert answer["ETag"] == f'"{hashlib.md5(etags).hexdigest()}-2"'
    found = s3.get_object(Bucket=BUCKET, Key="k")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (FIRST + LAST, {"a": "1"}, "text/plain")
    assert completed(s3, upload, first, last)["ETag"] == answer["ETag"]  # asked again, answered again
    part = s3.get_object(Bucket=BUCKET, Key="k", PartNumber=2)
    assert (part["Body"].read(), part["PartsCount"], part["ContentRange"]) == (
        LAST,
        2,
        f"bytes {len(FIRST)}-{len(FIRST) + 3}/{len(FIRST) + 4}",
    )
    assert body(s3, "k", Range=f"bytes={len(FIRST) - 2}-{len(FIRST) + 1}") == b"ffla"
    assert code(s3.get_object, Bucket=BUCKET, Key="k", PartNumber=3) == "InvalidPartNumber"
    put(s3, "k")
    assert len(support.named_blobs(cloud)) == 1
    assert support.is_tidy(cloud)


def test_a_completion_that_is_wrong_changes_nothing(cloud: Any, s3: Any) -> None:
    upload = begun(s3)
    first, last = sent(s3, upload, 1, b"small"), sent(s3, upload, 2, LAST)
    for parts, expected in (
        ([last, first], "InvalidPartOrder"),
        ([first, last], "EntityTooSmall"),
        ([{**first, "ETag": '"x"'}], "InvalidPart"),
        ([{"PartNumber": 3, "ETag": first["ETag"]}], "InvalidPart"),
    ):
        with pytest.raises(s3.exceptions.ClientError, match=expected):
            completed(s3, upload, *parts)
    assert len(s3.list_parts(**upload)["Parts"]) == 2
    assert code(s3.complete_multipart_upload, **upload) == "MalformedXML"
    s3.abort_multipart_upload(**upload)
    assert code(s3.abort_multipart_upload, **upload) == code(s3.list_parts, **upload) == "NoSuchUpload"
    assert code(s3.upload_part, **upload, PartNumber=1, Body=b"") == "NoSuchUpload"


@pytest.mark.parametrize("number", [0, 10_001])
def test_a_part_has_a_number_up_to_ten_thousand(cloud: Any, s3: Any, number: int) -> None:
    assert code(s3.upload_part, **begun(s3), PartNumber=number, Body=b"") == "InvalidArgument"


@pytest.mark.parametrize(
    ("algorithm", "type"),
    [("SHA256", "COMPOSITE"), ("CRC32", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT")],
)
def test_the_checksum_of_the_whole_follows_from_the_parts(cloud: Any, s3: Any, algorithm: str, type: str) -> None:
    upload = begun(s3, ChecksumAlgorithm=algorithm, ChecksumType=type)
    parts = [
        sent(s3, upload, 1, FIRST, ChecksumAlgorithm=algorithm),
        sent(s3, upload, 2, LAST, ChecksumAlgorithm=algorithm),
    ]
    answer = completed(s3, upload, *parts)
    assert answer["ChecksumType"] == type
    value = answer[f"Checksum{algorithm}"]
    if type == "COMPOSITE":
        assert value.endswith("-2")
    else:
        whole = s3.put_object(Bucket=BUCKET, Key="whole", Body=FIRST + LAST, ChecksumAlgorithm=algorithm)
        assert value == whole[f"Checksum{algorithm}"]
    found = s3.get_object_attributes(Bucket=BUCKET, Key="k", ObjectAttributes=["Checksum", "ObjectParts"])
    assert (found["Checksum"][f"Checksum{algorithm}"], found["ObjectParts"]["TotalPartsCount"]) == (value, 2)
    assert ("Parts" in found["ObjectParts"]) == (type == "COMPOSITE")


def test_a_checksum_of_another_kind_than_the_uploads_is_refused(cloud: Any, s3: Any) -> None:
    wrong = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}
    assert code(s3.create_multipart_upload, Bucket=BUCKET, Key="k", **wrong) == "InvalidRequest"
    upload = begun(s3, ChecksumAlgorithm="SHA256")
    assert code(s3.upload_part, **upload, PartNumber=1, Body=b"", ChecksumAlgorithm="CRC32") == "InvalidRequest"
    part = sent(s3, upload, 1, b"x", ChecksumAlgorithm="SHA256")
    del part["ChecksumSHA256"]
    assert code(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": [part]}) == "InvalidRequest"


def test_a_part_may_be_copied(cloud: Any, s3: Any) -> None:
    put(s3, "source", content=FIRST + b"0123456789")
    upload = begun(s3)
    parts = []
    for number, asked in ((1, f"bytes=0-{len(FIRST) - 1}"), (2, f"bytes={len(FIRST) + 2}-{len(FIRST) + 4}")):
        answer = s3.upload_part_copy(**upload, PartNumber=number, CopySource=f"{BUCKET}/source", CopySourceRange=asked)
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    completed(s3, upload, *parts)
    assert body(s3, "k") == FIRST + b"234"
    wrong = {"PartNumber": 1, "CopySource": f"{BUCKET}/source"}
    assert code(s3.upload_part_copy, **begun(s3), **wrong, CopySourceRange="bytes=9") == "InvalidArgument"
    assert code(s3.upload_part_copy, **begun(s3), **wrong, CopySourceRange="bytes=0-99999999") == "InvalidArgument"


def test_parts_are_encrypted_as_the_upload_says(cloud: Any, s3: Any) -> None:
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    upload = begun(s3, **key)
    assert code(s3.upload_part, **upload, PartNumber=1, Body=b"") == "InvalidRequest"
    first, last = sent(s3, upload, 1, FIRST, **key), sent(s3, upload, 2, LAST, **key)
    completed(s3, upload, first, last)
    assert body(s3, "k", **key)[-6:] == b"fflast"
    assert body(s3, "k", Range=f"bytes={len(FIRST) - 1}-", **key) == b"flast"


def test_ten_thousand_parts_are_an_object(cloud: Any, s3: Any) -> None:
    """With the parts written straight into the table: what is tried is the completion."""
    from cumulet.lib import checksums
    from cumulet.model import upload as uploads

    upload = begun(s3)
    crc = checksums.encode(bytes(8))
    facts = {"checksums": {"CRC64NVME": crc}, "sealed": ""}
    with cloud.database.write() as tx:
        base = {"upload": upload["UploadId"], "blob": "", "size": 5 << 20, "facts": facts, "modified": tx.now}
        etag = hashlib.md5(b"").hexdigest()
        tx.insert(uploads.part, *({**base, "number": number, "etag": etag} for number in range(1, 10_001)))
    parts = [{"PartNumber": number, "ETag": f'"{etag}"'} for number in range(1, 10_001)]
    assert completed(s3, upload, *parts)["ETag"].endswith('-10000"')
    assert s3.head_object(Bucket=BUCKET, Key="k")["ContentLength"] == 10_000 * (5 << 20)
