"""A second account asks every operation of S3 for the first one's bucket and objects: no data, and no effect.

Of a bucket it is told that it is there, as in AWS: their names are for all the world. Of an object it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from botocore import xform_name
from botocore.exceptions import ClientError
from support.tested_cloud import TestedCloud

from cumulet.api.s3.operations import OPERATIONS
from cumulet.model import tables
from cumulet.wire.models import Model, Ref, load

BUCKET, KEY, CONTENT = "theirs-alone", "key-of-theirs", b"what nobody else shall see"
OWN = "strangers-own"
OF_ALL = {"ListBuckets", "CreateBucket"}
"""These name no bucket of the owner's, or one that is taken."""
HTTP_CODES = {"403": "AccessDenied"}
"""The codes of answers without a body, to HEAD."""


class Scene:
    def __init__(self, directory: Path, database_url: str) -> None:
        self.cloud = TestedCloud(directory, database_url=database_url)
        owner = self.cloud.account("owner").client("s3")
        self.stranger = self.cloud.account("stranger").client("s3", parameter_validation=False)
        owner.create_bucket(Bucket=BUCKET)
        owner.put_object(Bucket=BUCKET, Key=KEY, Body=CONTENT)
        self.upload = owner.create_multipart_upload(Bucket=BUCKET, Key=KEY)["UploadId"]
        self.stranger.create_bucket(Bucket=OWN)
        self.owner = owner
        self.before = self.rows()

    def rows(self) -> dict[str, list[Any]]:
        """All that there is of the owner's bucket."""
        with self.cloud.database.read() as tx:
            return {
                table.name: sorted(tx.all(sa.select(table).where(table.c.bucket == BUCKET)), key=str)
                for table in tables.metadata.sorted_tables
                if "bucket" in table.c and table.name != "bucket_count"
            }

    def ask(self, name: str, key: str) -> str:
        """The code of what the stranger is told."""
        model = load("s3")
        given = {member: value(model, ref) for member, ref in required(model, name).items()}
        given |= {"Bucket": BUCKET, "Key": key, "UploadId": self.upload, "CopySource": f"{BUCKET}/{key}"}
        return self.told(name, {one: given[one] for one in model.input(name).members if one in given})

    def told(self, name: str, given: dict[str, Any]) -> str:
        try:
            answer = getattr(self.stranger, xform_name(name))(**given)
        except ClientError as e:
            assert CONTENT.decode() not in str(e.response)
            code = e.response["Error"]["Code"]
            return HTTP_CODES.get(code, str(code))
        assert BUCKET not in str(answer), answer
        return str(answer["Errors"][0]["Code"]) if answer.get("Errors") else "OK"


def required(model: Model, name: str) -> dict[str, Ref]:
    return {member: ref for member, ref in model.input(name).members.items() if member in model.input(name).required}


def value(model: Model, ref: Ref) -> Any:
    """Something of a shape, with all that is required in it."""
    shape = model.shape(ref.shape)
    if shape.type == "structure":
        return {name: value(model, inner) for name, inner in shape.members.items() if name in shape.required}
    if shape.type == "list":
        assert shape.member
        return [value(model, shape.member)]
    if shape.type == "map":
        return {}
    if ref.shape == "ObjectAttributes":
        return "ETag"
    simple = {"boolean": False, "integer": 1, "long": 1, "blob": b"x", "timestamp": 0}
    return simple.get(shape.type, "x")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("tenancy"), module_database)
    yield made
    made.cloud.stop()


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - OF_ALL))
def test_another_accounts_bucket_gives_nothing_and_stays_as_it_is(scene: Scene, name: str) -> None:
    said = scene.ask(name, KEY)
    assert said in ("AccessDenied", "MethodNotAllowed"), said
    assert scene.ask(name, "key-of-nobody") == said
    assert scene.rows() == scene.before


@pytest.mark.parametrize("name", ["CopyObject", "UploadPartCopy"])
def test_nothing_of_it_is_copied_into_ones_own(scene: Scene, name: str) -> None:
    upload = scene.stranger.create_multipart_upload(Bucket=OWN, Key="k")["UploadId"]
    more = {"UploadId": upload, "PartNumber": 1} if name == "UploadPartCopy" else {}
    for key in (KEY, "key-of-nobody"):
        said = scene.told(name, {"Bucket": OWN, "Key": "k", "CopySource": f"{BUCKET}/{key}", **more})
        assert said == "AccessDenied"


def test_its_name_is_taken_and_is_in_no_list(scene: Scene) -> None:
    assert scene.told("CreateBucket", {"Bucket": BUCKET}) == "BucketAlreadyExists"
    assert scene.told("ListBuckets", {}) == "OK"
    assert scene.rows() == scene.before
    assert scene.owner.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == CONTENT
