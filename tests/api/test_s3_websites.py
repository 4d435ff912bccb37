"""A bucket's website in detail, and buckets of which the requester pays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, Raw, ask, put

RULES = [
    {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}},
    {
        "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "lost/"},
        "Redirect": {"HostName": "x.org", "Protocol": "https", "ReplaceKeyWith": "a b", "HttpRedirectCode": "307"},
    },
]


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database, object_domain="s3.test")


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud, ACL="public-read")


def page(cloud: Any, path: str, method: str = "GET") -> Raw:
    return ask(cloud, method, path, Host=f"{BUCKET}.s3-website.s3.test")


def test_where_to_go_is_a_url(cloud: Any, s3: Any) -> None:
    site: dict[str, Any] = {"IndexDocument": {"Suffix": "i.html"}, "RoutingRules": RULES}
    s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration=site)
    put(s3, "ü x/i.html", ACL="public-read")
    moved = page(cloud, "/%C3%BC%20x")
    assert (moved.status, moved.headers["location"]) == (302, "/%C3%BC%20x/")
    moved = page(cloud, "/old/%C3%BC%0Aa")
    assert (moved.status, moved.headers["location"]) == (301, f"http://{BUCKET}.s3-website.s3.test/new/%C3%BC%0Aa")
    moved = page(cloud, "/lost/1")
    assert (moved.status, moved.headers["location"]) == (307, "https://x.org/a%20b")
    s3.put_bucket_website(
        Bucket=BUCKET, WebsiteConfiguration={"RedirectAllRequestsTo": {"HostName": "y.org", "Protocol": "https"}}
    )
    moved = page(cloud, "/a%20b/c")
    assert (moved.status, moved.headers["location"]) == (301, "https://y.org/a%20b/c")


def test_a_page_of_ours_says_what_is_wrong_in_headers_too(cloud: Any, s3: Any) -> None:
    site: dict[str, Any] = {"IndexDocument": {"Suffix": "i.html"}}
    s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration=site)
    missing = page(cloud, "/a<b")
    assert (missing.status, missing.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"<title>404 Not Found</title>" in missing.body
    assert b"<li>Code: NoSuchKey</li>" in missing.body
    assert b"<li>Key: a&lt;b</li>" in missing.body
    assert (missing.headers["x-amz-error-code"], missing.headers["x-amz-error-detail-key"]) == ("NoSuchKey", "a<b")
    assert b"Custom Error Document" not in missing.body
    head = page(cloud, "/absent", "HEAD")
    assert (head.status, head.body, head.headers["x-amz-error-code"]) == (404, b"", "NoSuchKey")
    assert page(cloud, "/", "DELETE").status == 405
    s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration={**site, "ErrorDocument": {"Key": "e.html"}})
    assert b"Retrieve a Custom Error Document</h3>" in page(cloud, "/absent").body


def test_who_asks_for_what_the_requester_pays_says_that_it_does(cloud: Any, s3: Any) -> None:
    put(s3, "k", ACL="public-read")
    s3.put_bucket_request_payment(Bucket=BUCKET, RequestPaymentConfiguration={"Payer": "Requester"})
    theirs = support.client(cloud.account("other"))
    assert "RequestCharged" not in s3.get_object(Bucket=BUCKET, Key="k")
    assert code(theirs.get_object, Bucket=BUCKET, Key="k") == "AccessDenied"
    assert theirs.get_object(Bucket=BUCKET, Key="k", RequestPayer="requester")["RequestCharged"] == "requester"
    assert theirs.list_objects_v2(Bucket=BUCKET, RequestPayer="requester")["KeyCount"] == 1
    assert ask(cloud, "GET", f"/{BUCKET}/k", x_amz_request_payer="requester").code == "AccessDenied"
    theirs.create_bucket(Bucket="theirs")
    copy = {"Bucket": "theirs", "Key": "k", "CopySource": f"{BUCKET}/k"}
    assert code(theirs.copy_object, **copy) == "AccessDenied"
    assert theirs.copy_object(**copy, RequestPayer="requester")["RequestCharged"] == "requester"
    url = theirs.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": "k", "RequestPayer": "requester"}
    )
    assert ask(cloud, "GET", url.removeprefix(cloud.url)).status == 200
    s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration={"IndexDocument": {"Suffix": "k"}})
    assert page(cloud, "/").status == 403
