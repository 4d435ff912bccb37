"""Whatever a client of S3 sends, it gets a well-formed answer: never a 500 of ours, never a traceback."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.s3 import Raw, ask
from support.tested_cloud import TestedCloud
from support.wire_shapes import Values, botocore_model, without_nothing

from cumulet.api.s3.operations import OPERATIONS
from cumulet.wire.models import load

RELAXED = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
TOKEN = re.compile("[A-Za-z0-9-]+")
BUCKET, KEY = "fuzzed-bucket", "key"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> TestedCloud:
    return TestedCloud(Path(tmp_path_factory.mktemp("fuzz")), database_url=module_database)


def send(cloud: TestedCloud, method: str, path: str, content: bytes, headers: dict[str, str]) -> Raw:
    kept = {
        name: text for name, text in headers.items() if TOKEN.fullmatch(name) and text.isascii() and text.isprintable()
    }
    request = AWSRequest(method, cloud.url + path, headers=kept, data=content)
    S3SigV4Auth(Credentials(cloud.admin.key, cloud.admin.secret), "s3", cloud.config.region).add_auth(request)
    return ask(cloud, method, path, content or None, **dict(request.headers.items()))


def is_well_formed(answer: Raw, method: str = "GET") -> bool:
    if answer.status < 400:
        return True
    if answer.status == 501:
        return answer.code == "NotImplemented" or method == "HEAD"
    if method == "HEAD":
        return answer.status < 500
    root = ElementTree.fromstring(answer.body)
    return (
        answer.status < 500 and root.tag == "Error" and bool(root.findtext("Code")) and bool(root.findtext("Message"))
    )


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(RELAXED, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_random_parameters_of_the_model_are_answered(fuzzed: TestedCloud, name: str, seed: int) -> None:
    values = without_nothing(Values(load("s3"), seed).structure(load("s3").input(name)))
    values.pop("ContentLength", None)  # httptools refuses one that is none
    values["Bucket"] = BUCKET if name not in ("CreateBucket", "DeleteBucket") else f"bucket-{seed}"
    there(fuzzed)
    if "Key" in load("s3").input(name).members:
        values["Key"] = KEY
    if "Bucket" not in load("s3").input(name).members:
        del values["Bucket"]
    request = _serialized(name, values)
    answer = send(fuzzed, request["method"], request["path"], request["body"], request["headers"])
    assert is_well_formed(answer, request["method"]), (answer.status, answer.body, request)


def there(cloud: TestedCloud) -> None:
    """The bucket and the object that everything is tried on."""
    s3 = cloud.client("s3", s3={"addressing_style": "path"})
    s3.create_bucket(Bucket=BUCKET)
    s3.delete_bucket_policy(Bucket=BUCKET)


def _serialized(name: str, values: dict[str, Any]) -> dict[str, Any]:
    from urllib.parse import urlencode

    theirs = botocore_model("s3")
    made = create_serializer("rest-xml", include_validation=False).serialize_to_request(
        values, theirs.operation_model(name)
    )
    query = made["query_string"]
    pairs = query if isinstance(query, str) else urlencode(query, doseq=True)
    path = made["url_path"] + (("&" if "?" in made["url_path"] else "?") + pairs if pairs else "")
    body = made["body"].encode() if isinstance(made["body"], str) else bytes(made["body"] or b"")
    headers = {key: str(value) for key, value in made["headers"].items()}
    return {"method": made["method"], "path": path, "body": body, "headers": headers}


@settings(RELAXED, max_examples=150)
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    path=st.binary(max_size=12),
    query=st.lists(
        st.sampled_from(
            [
                "acl",
                "versionId=x",
                "uploads",
                "uploadId=1",
                "partNumber=a",
                "tagging",
                "delete",
                "policy",
                "max-keys=x",
                "prefix=%00",
                "encoding-type=b",
                "cors",
                "lifecycle",
            ]
        ),
        max_size=3,
    ),
    content=st.sampled_from([b"", b"x", b"<a/>", b"<a><b/></a>", b"\x00" * 9]),
)
def test_crooked_requests_are_answered(
    fuzzed: TestedCloud, method: str, path: bytes, query: list[str], content: bytes
) -> None:
    from urllib.parse import quote

    there(fuzzed)
    where = f"/{BUCKET}/{quote(path)}" + ("?" + "&".join(query) if query else "")
    answer = send(fuzzed, method, where, content, {})
    assert is_well_formed(answer, method), (answer.status, answer.body, where)
