"""Object lock and deleting: what has to come with the request, and what a lock lets happen."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, put, signed

AT = f"/{BUCKET}/k"
SOON = datetime.now(UTC) + timedelta(days=1)
LATER = SOON + timedelta(days=1)


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud, ObjectLockEnabledForBucket=True)


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


BODIES = {
    "delete": ("POST", f"/{BUCKET}", b"<Delete><Object><Key>k</Key></Object></Delete>"),
    "cors": ("PUT", f"/{BUCKET}", b"<CORSConfiguration/>"),
    "lifecycle": ("PUT", f"/{BUCKET}", b"<LifecycleConfiguration/>"),
    "object-lock": ("PUT", f"/{BUCKET}", b"<ObjectLockConfiguration/>"),
    "retention": ("PUT", AT, b"<Retention/>"),
    "legal-hold": ("PUT", AT, b"<LegalHold/>"),
}


@pytest.mark.parametrize("name", BODIES)
def test_some_bodies_have_to_come_with_a_digest(cloud: Any, s3: Any, name: str) -> None:
    method, path, content = BODIES[name]
    answer = signed(cloud, method, f"{path}?{name}", content)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert "Content-MD5" in answer.text("Message")
    assert signed(cloud, method, f"{path}?{name}", content, Content_MD5=md5(content)).code != "InvalidRequest"


def test_what_is_locked_comes_with_a_digest(cloud: Any, s3: Any) -> None:
    lock = {"x_amz_object_lock_mode": "GOVERNANCE", "x_amz_object_lock_retain_until_date": f"{SOON:%Y-%m-%dT%H:%M:%SZ}"}
    assert signed(cloud, "PUT", AT, b"x", **lock).code == "InvalidRequest"
    assert signed(cloud, "PUT", AT, b"x", x_amz_object_lock_legal_hold="ON").code == "InvalidRequest"
    assert signed(cloud, "PUT", AT, b"x", **lock, Content_MD5=md5(b"x")).status == 200
    assert signed(cloud, "PUT", AT, b"x").status == 200
    default = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": default}
    s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=configuration)
    assert signed(cloud, "PUT", AT, b"x").code == "InvalidRequest"
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="k")["UploadId"]
    part = f"{AT}?partNumber=1&uploadId={upload}"
    assert signed(cloud, "PUT", part, b"x").code == "InvalidRequest"
    assert signed(cloud, "PUT", part, b"x", Content_MD5=md5(b"x")).status == 200


def test_a_retention_may_be_lengthened_and_only_so_without_a_bypass(cloud: Any, s3: Any) -> None:
    def retention(mode: str, until: datetime, **more: Any) -> dict[str, Any]:
        return {"Bucket": BUCKET, "Key": "k", "Retention": {"Mode": mode, "RetainUntilDate": until}, **more}

    put(s3, "k", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=SOON)
    s3.put_object_retention(**retention("GOVERNANCE", LATER))
    assert code(s3.put_object_retention, **retention("GOVERNANCE", SOON)) == "AccessDenied"
    assert code(s3.put_object_retention, **retention("COMPLIANCE", LATER)) == "AccessDenied"
    s3.put_object_retention(**retention("COMPLIANCE", LATER, BypassGovernanceRetention=True))
    back = retention("GOVERNANCE", LATER, BypassGovernanceRetention=True)
    assert code(s3.put_object_retention, **back) == "AccessDenied"
    empty = signed(cloud, "PUT", f"{AT}?retention", Content_MD5=md5(b""))
    assert (empty.status, empty.code) == (400, "MalformedXML")


def test_a_part_without_its_upload_is_no_object(cloud: Any, s3: Any) -> None:
    for query in ("partNumber=1", "uploadId=x"):
        assert signed(cloud, "PUT", f"{AT}?{query}", b"x").code == "InvalidArgument"
    document = b"<Delete><Object><Key></Key></Object></Delete>"
    assert signed(cloud, "POST", f"/{BUCKET}?delete", document, Content_MD5=md5(document)).code == "MalformedXML"
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def test_nothing_is_passed_by_where_nothing_can_be_locked(cloud: Any) -> None:
    s3 = support.fresh(cloud)
    put(s3, "k")
    for act, what in ((s3.delete_object, {"Key": "k"}), (s3.delete_objects, {"Delete": {"Objects": [{"Key": "k"}]}})):
        assert code(act, Bucket=BUCKET, **what, BypassGovernanceRetention=True) == "InvalidArgument"
    s3.head_object(Bucket=BUCKET, Key="k")
    s3.delete_object(Bucket=BUCKET, Key="k", BypassGovernanceRetention=False)
