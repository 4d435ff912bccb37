"""Who may do what with a bucket: lists, policies, blocks; what a browser is told: CORS, websites, names of hosts."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from support import s3 as support
from support.refusals import code
from support.s3 import BUCKET, ask, made

PUBLIC_READ = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    ],
}


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.client(cloud)


def test_a_list_lets_others_in(cloud: Any, s3: Any) -> None:
    made(s3)
    support.put(s3, "closed")
    support.put(s3, "open", ACL="public-read")
    other = support.client(cloud.account("other"))
    assert (ask(cloud, "GET", f"/{BUCKET}/open").status, ask(cloud, "GET", f"/{BUCKET}/closed").code) == (
        200,
        "AccessDenied",
    )
    assert code(other.list_objects_v2, Bucket=BUCKET) == "AccessDenied"
    s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read-write")
    assert support.keys(other.list_objects_v2(Bucket=BUCKET)) == ["closed", "open"]
    assert ask(cloud, "PUT", f"/{BUCKET}/by-anybody", b"1").status == 200
    other.put_object(Bucket=BUCKET, Key="theirs", Body=b"2")
    assert code(s3.get_object, Bucket=BUCKET, Key="theirs") == "AccessDenied"  # the writer's, as in AWS
    other.put_object_acl(Bucket=BUCKET, Key="theirs", ACL="bucket-owner-full-control")
    assert support.body(s3, "theirs") == b"2"
    grants = s3.get_object_acl(Bucket=BUCKET, Key="theirs")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL", "FULL_CONTROL"]


def test_a_grant_as_xml_names_an_account(cloud: Any, s3: Any) -> None:
    made(s3)
    other = cloud.account("other")
    theirs = support.client(other)
    id = theirs.list_buckets()["Owner"]["ID"]
    policy = s3.get_bucket_acl(Bucket=BUCKET)
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": id}, "Permission": "READ"}
    s3.put_bucket_acl(
        Bucket=BUCKET, AccessControlPolicy={"Owner": policy["Owner"], "Grants": [*policy["Grants"], grant]}
    )
    assert support.keys(theirs.list_objects_v2(Bucket=BUCKET)) == []
    assert code(theirs.get_bucket_acl, Bucket=BUCKET) == "AccessDenied"
    assert len(s3.get_bucket_acl(Bucket=BUCKET)["Grants"]) == 2


def test_a_list_may_be_empty(cloud: Any, s3: Any) -> None:
    made(s3)
    support.put(s3, "k")
    owner = s3.get_bucket_acl(Bucket=BUCKET)["Owner"]
    empty = {"Owner": owner, "Grants": []}
    s3.put_bucket_acl(Bucket=BUCKET, AccessControlPolicy=empty)
    s3.put_object_acl(Bucket=BUCKET, Key="k", AccessControlPolicy=empty)
    assert s3.get_bucket_acl(Bucket=BUCKET)["Grants"] == s3.get_object_acl(Bucket=BUCKET, Key="k")["Grants"] == []
    s3.put_bucket_acl(Bucket=BUCKET, ACL="private")
    assert len(s3.get_bucket_acl(Bucket=BUCKET)["Grants"]) == 1


def test_where_the_owner_is_enforced_lists_have_no_effect(cloud: Any, s3: Any) -> None:
    made(s3, ObjectOwnership="BucketOwnerEnforced")
    assert code(s3.put_bucket_acl, Bucket=BUCKET, ACL="public-read") == "AccessControlListNotSupported"
    assert code(s3.put_object, Bucket=BUCKET, Key="k", ACL="public-read") == "AccessControlListNotSupported"
    support.put(s3, "k", ACL="bucket-owner-full-control")
    assert ask(cloud, "GET", f"/{BUCKET}/k").code == "AccessDenied"
    assert code(s3.put_object, Bucket=BUCKET, Key="k", ACL="private") == "AccessControlListNotSupported"
    assert code(s3.put_bucket_acl, Bucket=BUCKET, ACL="private") == "AccessControlListNotSupported"
    assert code(s3.put_object_acl, Bucket=BUCKET, Key="k", ACL="private") == "AccessControlListNotSupported"


def test_where_the_owner_is_enforced_all_objects_are_its_own(cloud: Any, s3: Any) -> None:
    made(s3, ACL="public-read-write")
    theirs = support.client(cloud.account("other"))
    support.put(theirs, "k")
    owner = s3.get_bucket_acl(Bucket=BUCKET)["Owner"]
    assert s3.list_objects_v2(Bucket=BUCKET, FetchOwner=True)["Contents"][0]["Owner"] != owner
    s3.put_bucket_acl(Bucket=BUCKET, ACL="private")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls=enforced)
    assert s3.list_objects_v2(Bucket=BUCKET, FetchOwner=True)["Contents"][0]["Owner"] == owner
    found = s3.get_object_acl(Bucket=BUCKET, Key="k")
    assert (found["Owner"], [one["Grantee"]["ID"] for one in found["Grants"]]) == (owner, [owner["ID"]])
    assert code(theirs.get_object, Bucket=BUCKET, Key="k") == "AccessDenied"
    s3.delete_bucket_ownership_controls(Bucket=BUCKET)
    theirs.get_object(Bucket=BUCKET, Key="k")


def test_a_policy_allows_and_denies(cloud: Any, s3: Any) -> None:
    made(s3)
    support.put(s3, "k", "secret/k")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/secret/*"}
    document = {**PUBLIC_READ, "Statement": [*PUBLIC_READ["Statement"], deny]}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(document))
    assert json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"]) == document
    assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"] is True
    assert (ask(cloud, "GET", f"/{BUCKET}/k").status, ask(cloud, "GET", f"/{BUCKET}/secret/k").status) == (200, 403)
    assert code(s3.get_object, Bucket=BUCKET, Key="secret/k") == "AccessDenied"
    other = support.client(cloud.account("other"))
    assert code(other.put_object, Bucket=BUCKET, Key="k", Body=b"") == "AccessDenied"
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert ask(cloud, "GET", f"/{BUCKET}/k").status == 403
    s3.delete_bucket_policy(Bucket=BUCKET)
    assert support.body(s3, "secret/k") == b"x"


def test_a_policy_decides_on_what_a_request_says(cloud: Any, s3: Any) -> None:
    made(s3)
    other = cloud.account("other")
    statement = {"Effect": "Allow", "Principal": {"AWS": other.id}, "Resource": f"arn:aws:s3:::{BUCKET}"}
    statement |= {"Action": "s3:ListBucket", "Condition": {"StringEquals": {"s3:prefix": "a/"}}}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"]["IsPublic"] is False
    theirs = support.client(other)
    theirs.list_objects_v2(Bucket=BUCKET, Prefix="a/")
    assert code(theirs.list_objects_v2, Bucket=BUCKET, Prefix="b/") == "AccessDenied"


def test_public_access_is_blocked(cloud: Any, s3: Any) -> None:
    made(s3)
    support.put(s3, "open", ACL="public-read")
    every = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=every)
    assert s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"] == every
    assert code(s3.put_bucket_acl, Bucket=BUCKET, ACL="public-read") == "AccessDenied"
    assert code(s3.put_object, Bucket=BUCKET, Key="k", ACL="public-read") == "AccessDenied"
    assert code(s3.put_bucket_policy, Bucket=BUCKET, Policy=json.dumps(PUBLIC_READ)) == "AccessDenied"
    assert ask(cloud, "GET", f"/{BUCKET}/open").status == 403
    s3.delete_public_access_block(Bucket=BUCKET)
    assert ask(cloud, "GET", f"/{BUCKET}/open").status == 200


def test_a_preflight_is_answered_by_the_rules(cloud: Any, s3: Any) -> None:
    made(s3)
    support.put(s3, "k", ACL="public-read")
    rule: dict[str, Any] = {
        "AllowedMethods": ["GET"],
        "AllowedOrigins": ["http://*.example.org"],
        "AllowedHeaders": ["x-a*"],
    }
    rule |= {"ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}
    s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": [rule]})
    origin: dict[str, Any] = {"Origin": "http://a.example.org", "Access_Control_Request_Method": "GET"}
    allowed = ask(cloud, "OPTIONS", f"/{BUCKET}/k", **origin, Access_Control_Request_Headers="x-abc")
    assert allowed.status == 200
    assert allowed.headers["access-control-allow-origin"] == "http://a.example.org"
    assert (allowed.headers["access-control-max-age"], allowed.headers["access-control-allow-headers"]) == (
        "60",
        "x-abc",
    )
    assert (
        ask(cloud, "GET", f"/{BUCKET}/k", Origin="http://a.example.org").headers["access-control-expose-headers"]
        == "ETag"
    )
    assert "access-control-allow-origin" not in ask(cloud, "GET", f"/{BUCKET}/k", Origin="http://b.org").headers
    for wrong in (
        {"Origin": "http://b.org"},
        {"Access_Control_Request_Method": "PUT"},
        {"Access_Control_Request_Headers": "b"},
    ):
        assert ask(cloud, "OPTIONS", f"/{BUCKET}/k", **{**origin, **wrong}).status == 403


WEB = {"object_domain": "s3.test"}


@pytest.mark.parametrize("cloud", [WEB], indirect=True)
def test_a_bucket_is_a_website(cloud: Any) -> None:
    s3 = support.client(cloud)
    made(s3)
    rule = {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}}
    site = {"IndexDocument": {"Suffix": "i.html"}, "ErrorDocument": {"Key": "e.html"}, "RoutingRules": [rule]}
    s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration=site)
    for key in ("i.html", "d/i.html", "e.html"):
        support.put(s3, key, content=key.encode(), ACL="public-read", ContentType="text/html")
    support.put(s3, "moved", ACL="public-read", WebsiteRedirectLocation="/i.html")
    host: dict[str, Any] = {"Host": f"{BUCKET}.s3-website.s3.test"}
    assert [ask(cloud, "GET", path, **host).body for path in ("/", "/d/")] == [b"i.html", b"d/i.html"]
    assert (ask(cloud, "GET", "/d", **host).status, ask(cloud, "GET", "/d", **host).headers["location"]) == (302, "/d/")
    missing = ask(cloud, "GET", "/absent", **host)
    assert (missing.status, missing.body) in [(404, b"e.html"), (403, b"e.html")]
    moved = ask(cloud, "GET", "/moved", **host)
    assert (moved.status, moved.headers["location"]) == (301, "/i.html")
    assert ask(cloud, "GET", "/old/x", **host).headers["location"].endswith("/new/x")


@pytest.mark.parametrize("cloud", [WEB], indirect=True)
def test_a_bucket_may_be_in_the_hosts_name(cloud: Any) -> None:
    s3 = support.client(cloud)
    made(s3)
    support.put(s3, "a/k", ACL="public-read", content=b"by host")
    assert ask(cloud, "GET", "/a/k", Host=f"{BUCKET}.s3.test").body == b"by host"
    assert ask(cloud, "GET", f"/{BUCKET}/a/k", Host="s3.test").body == b"by host"
    assert ask(cloud, "GET", "/", Host=f"{BUCKET}.s3.test").code == "AccessDenied"


def test_a_user_may_what_its_policies_say(cloud: Any, s3: Any) -> None:
    made(s3)
    support.put(s3, "open/k", "closed/k")
    iam = cloud.client("iam")
    iam.create_user(UserName="u")
    key = iam.create_access_key(UserName="u")["AccessKey"]
    user = boto3.client(
        "s3",
        endpoint_url=cloud.url,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        config=s3.meta.config,
    )
    assert code(user.list_buckets) == code(user.list_objects_v2, Bucket=BUCKET) == "AccessDenied"
    assert code(user.create_bucket, Bucket="another-bucket") == "AccessDenied"
    allow = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"arn:aws:s3:::{BUCKET}/open/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": allow})
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)
    assert user.get_object(Bucket=BUCKET, Key="open/k")["Body"].read() == b"x"
    user.put_object(Bucket=BUCKET, Key="open/l", Body=b"")
    assert code(user.get_object, Bucket=BUCKET, Key="closed/k") == "AccessDenied"
    assert code(user.delete_object, Bucket=BUCKET, Key="open/k") == "AccessDenied"
    deny = {"Effect": "Deny", "Principal": {"AWS": f"arn:aws:iam::{cloud.admin.id}:user/u"}, "Action": "s3:*"}
    deny |= {"Resource": f"arn:aws:s3:::{BUCKET}/*"}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": deny}))
    assert code(user.get_object, Bucket=BUCKET, Key="open/k") == "AccessDenied"
