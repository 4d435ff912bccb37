"""The store of objects dies at each point of each change: what was answered is there, what was not is nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import s3 as support
from support.fake_rados import FakeCeph
from support.s3 import BUCKET, made, put
from support.tested_cloud import TestedCloud

from cumulet.api.s3.call import Answer, House
from cumulet.api.s3.exchange import Exchange
from cumulet.api.unavailable import UNAVAILABLE
from cumulet.drivers.blob import rados
from cumulet.drivers.blob.fake import FakeBlobs
from cumulet.drivers.blob.rados import RadosBlobs
from cumulet.lib import crash
from cumulet.lib.blobs import Health
from cumulet.lib.errors import Conflict, Failure, Full, Unsure
from cumulet.model import object as objects
from cumulet.wire.request import Request

PART = b"p" * (5 << 20)
Act = Callable[[TestedCloud], tuple[str, str, bytes]]


def overwrite(cloud: TestedCloud) -> tuple[str, str, bytes]:
    return "PUT", f"/{BUCKET}/k", b"new"


def create(cloud: TestedCloud) -> tuple[str, str, bytes]:
    return "PUT", f"/{BUCKET}/new", b"new"


def delete(cloud: TestedCloud) -> tuple[str, str, bytes]:
    return "DELETE", f"/{BUCKET}/k", b""


def part(cloud: TestedCloud) -> tuple[str, str, bytes]:
    return "PUT", f"/{BUCKET}/u?partNumber=1&uploadId={_upload(cloud)}", b"another"


def complete(cloud: TestedCloud) -> tuple[str, str, bytes]:
    s3 = support.client(cloud)
    id = _upload(cloud)
    parts = s3.list_parts(Bucket=BUCKET, Key="u", UploadId=id)["Parts"]
    inside = "".join(f"<Part><PartNumber>{p['PartNumber']}</PartNumber><ETag>{p['ETag']}</ETag></Part>" for p in parts)
    document = f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>"
    return "POST", f"/{BUCKET}/u?uploadId={id}", document.encode()


def abort(cloud: TestedCloud) -> tuple[str, str, bytes]:
    return "DELETE", f"/{BUCKET}/u?uploadId={_upload(cloud)}", b""


def _upload(cloud: TestedCloud) -> str:
    uploads = support.client(cloud).list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return str(uploads[0]["UploadId"]) if uploads else "gone"


def in_ceph(directory: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> TestedCloud:
    """Its blobs are in a fake of Ceph, in pieces of two bytes, and go as soon as nothing names them."""
    monkeypatch.setattr(rados, "space_of", lambda config: FakeCeph().space)
    monkeypatch.setattr(RadosBlobs, "linger", 0.0)
    made_cloud = TestedCloud(directory, object_driver="rados", database_url=database_url)
    store = made_cloud.cloud.objects
    assert store is not None
    assert isinstance(store.blobs, RadosBlobs)
    store.blobs._piece = 2
    return made_cloud


@pytest.fixture
def cloud(
    tmp_path: Path, database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestedCloud]:
    driver = getattr(request, "param", "directory")
    made_cloud = (
        in_ceph(tmp_path, database_url, monkeypatch)
        if driver == "rados"
        else TestedCloud(tmp_path, database_url=database_url)
    )
    s3 = support.client(made_cloud)
    made(s3)
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    import json

    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    yield made_cloud
    made_cloud.stop()


def before(cloud: TestedCloud) -> None:
    """As it is before each change: one object, and an upload with a part."""
    s3 = support.client(cloud)
    for one in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=BUCKET, Key="u", UploadId=one["UploadId"])
    for key in ("new", "u"):
        s3.delete_object(Bucket=BUCKET, Key=key)
    put(s3, "k", content=b"old")
    id = s3.create_multipart_upload(Bucket=BUCKET, Key="u")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="u", UploadId=id, PartNumber=1, Body=b"first")


def ask(cloud: TestedCloud, act: Act) -> Answer:
    """The request in this thread, by nobody, whom the policy lets in."""
    method, path, body = act(cloud)
    store = cloud.cloud.objects
    assert store is not None
    house = House(cloud.database, cloud.config, store.blobs)
    where, _, query = path.partition("?")
    headers = {"host": "x"} | ({"content-length": str(len(body))} if body else {})
    return Exchange(house, Request.of(method, where, query, headers.items(), None)).whole(body)


def dies_at(cloud: TestedCloud, act: Act, number: int) -> bool:
    """Whether it died, which it does at its point `number`."""
    count = 0

    def call(name: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise crash.Died(name)

    try:
        with crash.at_each_point(call):
            assert ask(cloud, act).status < 300
            store = cloud.cloud.objects
            assert store is not None
            store.keeper.remove_due()
    except crash.Died:
        return True
    return False


@pytest.mark.parametrize(
    ("cloud", "act"),
    [
        *[("directory", act) for act in (create, overwrite, delete, part, complete, abort)],
        *[("rados", act) for act in (overwrite, complete)],
    ],
    indirect=["cloud"],
)
def test_a_death_at_any_point_leaves_nothing_half_done_and_nothing_behind(cloud: TestedCloud, act: Act) -> None:
    number = 1
    while True:
        before(cloud)
        died = dies_at(cloud, act, number)
        afterwards(cloud)
        if not died:
            break
        number += 1
    assert number > 2


def afterwards(cloud: TestedCloud) -> None:
    s3 = support.client(cloud)
    there = {
        key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        for key in support.keys(s3.list_objects_v2(Bucket=BUCKET))
    }
    assert there.get("k") in (None, b"old", b"new")
    assert there.get("new") in (None, b"new")
    assert there.get("u") in (None, b"first")
    store = cloud.cloud.objects
    assert store is not None
    store.keeper.remove_due()
    store.keeper.sweep(older_than=-1.0)
    assert support.blobs(cloud) == support.known_blobs(cloud)
    with cloud.database.read() as tx:
        from cumulet.model import bucket

        row = bucket.find(tx, BUCKET)
    assert row is not None
    assert (row.objects, row.bytes) == (len(there), sum(map(len, there.values())))


def test_the_auditor_finds_what_is_lost(cloud: TestedCloud) -> None:
    s3 = support.client(cloud)
    put(s3, "a", "b", content=b"content")
    store = cloud.cloud.objects
    assert store is not None
    (directory,) = cloud.config.object_directories()
    spoiled = sorted(directory.glob("??/*"))[0]
    spoiled.write_bytes(b"CONTENT")
    from cumulet.model import blob

    assert len(list(store.keeper.audit())) == 2
    with cloud.database.read() as tx:
        assert blob.count_lost(tx) == 1
    assert len(list(directory.glob("quarantine/*"))) == 1


def test_what_is_deleted_while_it_is_audited_is_not_lost(cloud: TestedCloud, caplog: pytest.LogCaptureFixture) -> None:
    s3 = support.client(cloud)
    put(s3, "a", content=b"content")
    store = cloud.cloud.objects
    assert store is not None
    audit = store.keeper.audit()
    check = store.blobs.check

    def late(id: str, size: int, crc: int) -> Health:
        s3.delete_object(Bucket=BUCKET, Key="a")
        store.keeper.remove_due()
        return check(id, size, crc)

    store.blobs.check = late  # type: ignore[method-assign]
    assert len(list(audit)) == 1
    assert "is lost" not in caplog.text


@pytest.mark.parametrize("cloud", ["rados"], indirect=True)
def test_what_is_deleted_stays_for_who_reads_it_where_ceph_keeps_it(
    cloud: TestedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RadosBlobs, "linger", rados.LINGER_SECONDS)
    s3 = support.client(cloud)
    put(s3, "k", content=b"content")
    body = s3.get_object(Bucket=BUCKET, Key="k")["Body"]
    s3.delete_object(Bucket=BUCKET, Key="k")
    store = cloud.cloud.objects
    assert store is not None
    assert (store.keeper.remove_due(), len(support.blobs(cloud))) == (0, 1)
    assert body.read() == b"content"
    cloud.clock.ahead += rados.LINGER_SECONDS + 1
    assert (store.keeper.remove_due(), len(support.blobs(cloud))) == (1, 0)


def test_a_full_store_says_so_and_keeps_nothing(cloud: TestedCloud) -> None:
    blobs = FakeBlobs(room=5000)
    house = House(cloud.database, cloud.config, blobs)

    def put_raw(key: str, size: int) -> Answer:
        headers = {"host": "x", "content-length": str(size)}
        request = Request.of("PUT", f"/{BUCKET}/{key}", "", headers.items(), None)
        return Exchange(house, request).whole(bytes(size))

    assert put_raw("small", 4000).status == 200
    refused = put_raw("small", 2000)
    assert (refused.status, b"<Code>ServiceUnavailable</Code>" in refused.body) == (503, True)
    assert [len(content) for content in blobs.blobs.values()] == [4000]
    with cloud.database.read() as tx:
        row = objects.newest(tx, BUCKET, b"small")
    assert row is not None
    assert row.size == 4000


def refused_by_database(cloud: TestedCloud, error: Failure, times: int) -> Answer:
    """What a put is answered whose commits end so, the first `times`."""
    left = times

    def call(name: str) -> None:
        nonlocal left
        if name == "commit.before" and left:
            left -= 1
            raise error

    with crash.at_each_point(call):
        return ask(cloud, create)


def test_a_put_that_the_database_undid_is_done_again_without_its_client(cloud: TestedCloud) -> None:
    before(cloud)
    assert refused_by_database(cloud, Conflict("undone"), 2).status == 200
    afterwards(cloud)
    assert support.body(support.client(cloud), "new") == b"new"


@pytest.mark.parametrize("error", [Full("no room"), Unsure("lost")], ids=["full", "unsure"])
def test_a_client_is_told_what_is_with_the_database(cloud: TestedCloud, error: Failure) -> None:
    before(cloud)
    answer = refused_by_database(cloud, error, 1000)
    assert answer.status == 503
    assert b"<Code>ServiceUnavailable</Code>" in answer.body
    assert UNAVAILABLE[type(error)].encode() in answer.body
    afterwards(cloud)
