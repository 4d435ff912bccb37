"""Configurations of a bucket that are none, and what S3 says of each: lifecycles, CORS, websites, and the rest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, Raw, ask, signed
from support.tested_cloud import TestedCloud


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud)


def configured(cloud: Any, name: str, document: str) -> Raw:
    digest = base64.b64encode(hashlib.md5(document.encode()).digest()).decode()
    return signed(cloud, "PUT", f"/{BUCKET}?{name}", document.encode(), Content_MD5=digest)


def rule(inside: str) -> str:
    return f"<LifecycleConfiguration><Rule><Status>Enabled</Status>{inside}</Rule></LifecycleConfiguration>"


def when(kind: str, amount: str, storage_class: str = "") -> str:
    unit = "Date" if amount.endswith("Z") else "Days"
    return (
        f"<{kind}><{unit}>{amount}</{unit}>{storage_class and f'<StorageClass>{storage_class}</StorageClass>'}</{kind}>"
    )


YEAR = "2031-01-01T00:00:00Z"
TAG = "<Tag><Key>a</Key><Value>1</Value></Tag>"
NONCURRENT = "<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>101</NewerNoncurrentVersions>"
SIZES = "<ObjectSizeGreaterThan>9</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan>"
LIFECYCLES = [
    ("<Filter/>" + when("Transition", "29", "STANDARD_IA"), "InvalidArgument"),
    ("<Filter/>" + when("Transition", "30", "STANDARD_IA") + when("Expiration", "30"), "InvalidArgument"),
    ("<Filter/>" + when("Transition", YEAR, "GLACIER") + when("Expiration", YEAR), "InvalidArgument"),
    ("<Filter/>" + when("Transition", "9", "GLACIER") + when("Expiration", YEAR), "InvalidRequest"),
    ("<Filter/>" + when("Transition", "9", "GLACIER") + when("Transition", "19", "GLACIER"), "InvalidRequest"),
    ("<Filter/>" + when("Expiration", "2031-01-01T01:00:00Z"), "InvalidArgument"),
    (f"<Filter><And>{TAG}{TAG}</And></Filter>" + when("Expiration", "1"), "InvalidRequest"),
    (f"<Filter><And>{SIZES}</And></Filter>" + when("Expiration", "1"), "InvalidRequest"),
    (f"<Filter>{TAG}<Prefix>a</Prefix></Filter>" + when("Expiration", "1"), "MalformedXML"),
    ("<Filter/><Prefix/>" + when("Expiration", "1"), "MalformedXML"),
    (f"<Prefix>{'a' * 1025}</Prefix>" + when("Expiration", "1"), "InvalidRequest"),
    (f"<Filter/><NoncurrentVersionExpiration>{NONCURRENT}</NoncurrentVersionExpiration>", "InvalidArgument"),
    ("<Filter/>" + when("Transition", "30", "STANDARD_IA") + when("Expiration", "31"), ""),
    ("<Prefix>a</Prefix>" + when("Transition", "0", "GLACIER"), ""),
]


@pytest.mark.parametrize(("inside", "expected"), LIFECYCLES)
def test_a_lifecycle_makes_sense(cloud: Any, s3: Any, inside: str, expected: str) -> None:
    assert configured(cloud, "lifecycle", rule(inside)).code == expected


def website(inside: str) -> str:
    index = "<IndexDocument><Suffix>i</Suffix></IndexDocument>"
    rules = f"<RoutingRules><RoutingRule>{inside}</RoutingRule></RoutingRules>"
    return f"<WebsiteConfiguration>{index}{rules}</WebsiteConfiguration>"


FAILED = "<Condition><HttpErrorCodeReturnedEquals>{}</HttpErrorCodeReturnedEquals></Condition>"
BOTH = "<ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith>"
CORS = "<CORSConfiguration><CORSRule>{}</CORSRule></CORSConfiguration>"
ANY = "<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
OTHERS = [
    ("website", website("").replace("<RoutingRule></RoutingRule>", ""), "MalformedXML"),
    ("website", website("<Redirect/>"), "MalformedXML"),
    ("website", website(f"<Redirect>{BOTH}</Redirect>"), "InvalidRequest"),
    ("website", website("<Condition/><Redirect><HostName>a</HostName></Redirect>"), "InvalidRequest"),
    ("website", website(FAILED.format(200) + "<Redirect><HostName>a</HostName></Redirect>"), "InvalidRequest"),
    ("website", website("<Redirect><HttpRedirectCode>300</HttpRedirectCode></Redirect>"), "InvalidRequest"),
    ("website", website(FAILED.format(404) + "<Redirect><HostName>a</HostName></Redirect>"), ""),
    ("cors", CORS.format(ANY + "<AllowedHeader>a*b*</AllowedHeader>"), "InvalidRequest"),
    ("cors", CORS.format(ANY + f"<ID>{'a' * 256}</ID>"), "InvalidArgument"),
    ("cors", "<Another/>", "MalformedXML"),
    ("accelerate", "<AccelerateConfiguration/>", "MalformedXML"),
]


@pytest.mark.parametrize(("name", "document", "expected"), OTHERS)
def test_a_configuration_makes_sense(cloud: Any, s3: Any, name: str, document: str, expected: str) -> None:
    assert configured(cloud, name, document).code == expected


def test_tags_have_letters_of_any_script_and_some_signs(cloud: Any, s3: Any) -> None:
    tags = [{"Key": "a b-ü:/@", "Value": "世界 +=._"}]
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == tags
    for wrong in ({"Key": "a", "Value": "1,2"}, {"Key": "{a}", "Value": ""}):
        assert code(s3.put_bucket_tagging, Bucket=BUCKET, Tagging={"TagSet": [wrong]}) == "InvalidTag"


def test_days_that_are_short_for_tests_have_no_least_number(tmp_path: Path, database_url: str) -> None:
    cloud = TestedCloud(tmp_path, database_url=database_url, object_day_seconds=10.0)
    support.fresh(cloud)
    assert configured(cloud, "lifecycle", rule("<Filter/>" + when("Transition", "1", "STANDARD_IA"))).status == 200
    cloud.stop()


def test_a_bucket_that_is_made_again_in_us_east_1_gets_its_list_anew(cloud: Any, s3: Any) -> None:
    def readers() -> int:
        return len(s3.get_bucket_acl(Bucket=BUCKET)["Grants"]) - 1

    s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    assert readers() == 1
    s3.create_bucket(Bucket=BUCKET)
    assert readers() == 0
    s3.create_bucket(Bucket=BUCKET, ACL="public-read")
    assert readers() == 1
    theirs = support.client(cloud.account("other"))
    assert code(theirs.create_bucket, Bucket=BUCKET) == "BucketAlreadyExists"
    assert readers() == 1


def test_the_root_element_is_the_documents_own(cloud: Any, s3: Any) -> None:
    where = "<{0}><LocationConstraint>us-east-1</LocationConstraint></{0}>"
    for root, expected in (("CreateBucketConfiguration", 200), ("CreateBucketConstraint", 200), ("Tagging", 400)):
        answer = signed(cloud, "PUT", "/another-bucket", where.format(root).encode())
        assert (answer.status, answer.code) == (expected, "MalformedXML" if expected == 400 else "")


def test_a_preflight_for_a_method_that_is_none_is_refused(cloud: Any, s3: Any) -> None:
    for method in ("FOO", "PATCH", "get"):
        answer = ask(cloud, "OPTIONS", f"/{BUCKET}/k", Origin="http://a", Access_Control_Request_Method=method)
        assert (answer.status, answer.code) == (400, "BadRequest")
    answer = ask(cloud, "OPTIONS", f"/{BUCKET}/k", Origin="http://a", Access_Control_Request_Method="GET")
    assert (answer.status, answer.code) == (403, "AccessForbidden")
