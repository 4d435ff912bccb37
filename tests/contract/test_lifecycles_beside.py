"""A lifecycle that is carried out while clients, or another process, are at the same things."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from cumulet.control.object_lifecycle import carry_out
from cumulet.model import Database, blob, bucket, upload
from cumulet.model import object as objects

pytestmark = pytest.mark.database_servers
KEY = b"left/k"
LEFT = {"ID": "left", "Status": "Enabled", "Filter": {"Prefix": "left/"}}
RULE = {**LEFT, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}


@pytest.fixture
def begun(database: Database) -> str:
    """An upload with one part, for which it is time."""
    with database.write() as tx:
        bucket.create(tx, {"name": "b", "account": "1", "versioning": "", "settings": {"lifecycle": [RULE]}})
        about: dict[str, Any] = {"bucket": "b", "key": KEY, "account": "1", "initiator": "1", "owner": "1"}
        id = upload.new_id(tx)
        upload.create(tx, {**about, "id": id, "facts": {}, "created": tx.now - 10})
        blob.add(tx, "blob", 1, 0)
        part = {"upload": id, "number": 1, "blob": "blob", "size": 1, "etag": "e", "facts": {}}
        upload.put_part(tx, part)
    return id


def test_an_upload_that_is_being_completed_keeps_its_parts(database: Database, begun: str) -> None:
    with database.write() as tx:
        bucket.hold(tx, "b")
        assert upload.find(tx, "b", KEY, begun)
        upload.finish(tx, begun)
        objects.add(tx, {"bucket": "b", "key": KEY, "version": objects.NULL, "owner": "1", "upload": begun, "size": 1})
        lifecycle = threading.Thread(target=carry_out, args=[database, 5.0])
        lifecycle.start()
        time.sleep(0.5)
    lifecycle.join(20)
    with database.read() as tx:
        assert objects.newest(tx, "b", KEY)
        assert [one.blob for one in upload.parts(tx, begun)] == ["blob"]
        assert blob.is_named(tx, "blob")


def test_an_upload_is_aborted_by_one_of_many(database: Database, begun: str) -> None:
    many = [threading.Thread(target=carry_out, args=[database, 5.0]) for _ in range(4)]
    for one in many:
        one.start()
    for one in many:
        one.join(20)
    with database.read() as tx:
        assert upload.parts(tx, begun) == []
        assert upload.listed(tx, "b", b"", "", None, 10) == []
        assert not blob.is_named(tx, "blob")
