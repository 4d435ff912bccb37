"""Browsers' forms: what has to be in one, and what its policy has to speak of."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, form

ANY_KEY = ["starts-with", "$key", ""]


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud)


def fields(cloud: Any, *conditions: Any, **named: str) -> dict[str, str]:
    """A form that is signed, with a policy of these conditions and the signature's own."""
    expires = datetime.now(UTC) + timedelta(hours=1)
    policy = {"expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": list(conditions)}
    request = AWSRequest("POST", cloud.url)
    request.context.update({"s3-presign-post-fields": {}, "s3-presign-post-policy": policy})
    S3SigV4PostAuth(Credentials(cloud.admin.key, cloud.admin.secret), "s3", "us-east-1").add_auth(request)
    return {"key": "k", **named, **request.context["s3-presign-post-fields"]}


def test_a_policy_speaks_of_the_bucket(cloud: Any, s3: Any) -> None:
    answer = form(cloud, fields(cloud, ANY_KEY), b"x")
    assert (answer.status, answer.text("Message")) == (403, "Invalid according to Policy: Extra input fields: bucket")
    assert form(cloud, fields(cloud, ANY_KEY, {"bucket": "another"}), b"x").code == "AccessDenied"
    assert form(cloud, fields(cloud, ANY_KEY, ["starts-with", "$bucket", BUCKET[:3]]), b"x").status == 204


def test_a_policy_may_escape_what_json_does_not(cloud: Any, s3: Any) -> None:
    def escaped(*conditions: Any, key: str) -> int:
        """With each dollar sign of a value escaped, by its mark, and signed anew."""
        made = fields(cloud, *conditions, {"bucket": BUCKET}, key=key)
        text = base64.b64decode(made["policy"]).decode().replace("<dollar>", "\\$").replace("<tab>", "\\v")
        policy = base64.b64encode(text.encode()).decode()
        secret: bytes = f"AWS4{cloud.admin.secret}".encode()
        for part in made["x-amz-credential"].split("/")[1:]:
            secret = hmac.digest(secret, part.encode(), "sha256")
        signature = hmac.digest(secret, policy.encode(), "sha256").hex()
        return form(cloud, {**made, "policy": policy, "x-amz-signature": signature}, b"x").status

    assert escaped(["starts-with", "$key", "<dollar>a"], key="$abc") == 204
    assert escaped(["starts-with", "<dollar>key", "a<tab>"], key="a\vb") == 204
    assert escaped(["starts-with", "$key", "<dollar>a"], key="abc") == 403
    assert escaped(["starts-with", "$key", "\\$a"], key="\\$abc") == 204


def test_tags_of_a_form_are_a_document(cloud: Any, s3: Any) -> None:
    s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read-write")
    for wrong in ("", "a=1", "<Another/>"):
        answer = form(cloud, {"key": "k", "tagging": wrong}, b"x")
        assert (answer.status, answer.code) == (400, "MalformedXML")


def test_what_a_signature_needs_is_there(cloud: Any, s3: Any) -> None:
    whole = fields(cloud, ANY_KEY, {"bucket": BUCKET})
    assert form(cloud, whole, b"x").status == 204
    for missing in ("x-amz-signature", "x-amz-date", "x-amz-credential", "policy", "key"):
        answer = form(cloud, {name: text for name, text in whole.items() if name != missing}, b"x")
        assert (answer.status, answer.code) == (400, "InvalidArgument")
    unsigned = form(cloud, {"key": "k", "policy": whole["policy"]}, b"x")
    assert (unsigned.code, unsigned.text("ArgumentName")) == ("InvalidArgument", "AWSAccessKeyId")
    wrong = whole["policy"].replace("e", "f", 1)
    assert form(cloud, {**whole, "policy": wrong}, b"x").code == "SignatureDoesNotMatch"


def test_the_policy_of_the_bucket_decides_on_the_fields(cloud: Any, s3: Any) -> None:
    def deny(**condition: Any) -> None:
        one = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        document = {"Version": "2012-10-17", "Statement": [{**one, "Condition": condition}]}
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(document))

    named = {"acl": "public-read", "x-amz-storage-class": "GLACIER_IR"}
    conditions = [ANY_KEY, {"bucket": BUCKET}, *({name: text} for name, text in named.items())]
    sent = fields(cloud, *conditions, **named)
    deny(StringEquals={"s3:x-amz-acl": "public-read"})
    assert form(cloud, sent, b"x").code == "AccessDenied"
    deny(StringEquals={"s3:x-amz-storage-class": "GLACIER_IR"})
    assert form(cloud, sent, b"x").code == "AccessDenied"
    deny(StringEquals={"s3:authType": "POST"})
    assert form(cloud, sent, b"x").code == "AccessDenied"
    deny(StringEquals={"s3:authType": "REST-HEADER"})
    assert form(cloud, sent, b"x").status == 204
    assert code(s3.put_object, Bucket=BUCKET, Key="k") == "AccessDenied"


def test_the_url_of_the_object_is_said(cloud: Any, s3: Any) -> None:
    answer = form(cloud, fields(cloud, ANY_KEY, {"bucket": BUCKET}, key="a b/ü"), b"x")
    assert (answer.status, answer.headers["location"]) == (204, f"{cloud.url}/{BUCKET}/a%20b/%C3%BC")
