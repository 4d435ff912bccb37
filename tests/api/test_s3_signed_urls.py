"""URLs that are signed: their parameters that stand for headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support import s3 as support
from support.s3 import BUCKET, ask, body, put


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud)


def signed_url(cloud: Any, method: str, key: str, **parameters: str) -> str:
    """As the SDKs for JavaScript sign one: headers are among the parameters."""
    asked = "&".join(f"{name.replace('_', '-')}={quote(text, safe='')}" for name, text in parameters.items())
    request = AWSRequest(method, f"{cloud.url}/{BUCKET}/{key}?{asked}")
    S3SigV4QueryAuth(Credentials(cloud.admin.key, cloud.admin.secret), "s3", "us-east-1", 60).add_auth(request)
    return str(request.url).removeprefix(cloud.url)


def test_parameters_of_a_url_of_version_4_stand_for_headers(cloud: Any, s3: Any) -> None:
    wanted = {
        "x_amz_acl": "public-read",
        "x_amz_meta_a": "ü",
        "x_amz_tagging": "t=1",
        "x_amz_storage_class": "GLACIER_IR",
    }
    url = signed_url(cloud, "PUT", "k", **wanted)
    assert ask(cloud, "PUT", url, b"put").status == 200
    assert ask(cloud, "GET", f"/{BUCKET}/k").body == b"put"
    found = s3.head_object(Bucket=BUCKET, Key="k")
    assert (found["StorageClass"], found["TagCount"], "a" in found["Metadata"]) == ("GLACIER_IR", 1, True)
    url = signed_url(cloud, "PUT", "copied", x_amz_copy_source=f"{BUCKET}/k")
    assert b"CopyObjectResult" in ask(cloud, "PUT", url).body
    assert body(s3, "copied") == b"put"
    wrong = url.replace("copied", "copied2")
    assert ask(cloud, "PUT", wrong).code == "SignatureDoesNotMatch"
    url = signed_url(cloud, "PUT", "k", x_amz_checksum_crc32="AAAAAA==")
    assert ask(cloud, "PUT", url, b"x").code == "BadDigest"


def test_parameters_of_a_url_of_version_2_stand_for_headers(cloud: Any, s3: Any) -> None:
    client = support.client(cloud, signature_version="s3")
    asked = {"Bucket": BUCKET, "Key": "k", "ACL": "public-read", "ContentType": "text/x", "Metadata": {"a": "1"}}
    url = client.generate_presigned_url("put_object", Params=asked).removeprefix(cloud.url)
    assert ask(cloud, "PUT", url, b"put").status == 200
    assert s3.head_object(Bucket=BUCKET, Key="k")["Metadata"] == {"a": "1"}
    assert ask(cloud, "GET", f"/{BUCKET}/k").body == b"put"
    assert ask(cloud, "PUT", url.replace("public-read", "private"), b"x").code == "SignatureDoesNotMatch"


def test_parameters_of_a_url_that_is_not_signed_are_no_headers(cloud: Any, s3: Any) -> None:
    s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read-write")
    put(s3, "k")
    assert ask(cloud, "PUT", f"/{BUCKET}/anonymous?x-amz-meta-a=1", b"x").status == 200
    assert s3.head_object(Bucket=BUCKET, Key="anonymous")["Metadata"] == {}
