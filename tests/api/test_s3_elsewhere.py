"""S3 at a process without objects: it passes requests on to one that has, and a client does not notice."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace
from support import s3 as support
from support.s3 import BUCKET
from support.tested_cloud import Account

from cumulet.admin import Administration
from cumulet.api.app import App
from cumulet.api.s3 import forwarded
from cumulet.api.s3.elsewhere import Elsewhere
from cumulet.api.server import Server

MIB = 1 << 20


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


def served(cloud: Any, url: str) -> Iterator[Server]:
    """An api that has its objects at `url`."""
    config = replace(cloud.config, object_url=url)
    ask, admin = cloud.cloud.ask, Administration(cloud.cloud)
    server = Server(App(cloud.database, config, ask, admin, Elsewhere(url, cloud.database)), ("127.0.0.1", 0))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def api(cloud: Any) -> Iterator[Server]:
    yield from served(cloud, cloud.url)


@pytest.fixture
def s3(cloud: Any, api: Server) -> Any:
    support.fresh(cloud)
    return client(cloud, cloud.admin, api.url)


def client(cloud: Any, account: Account, url: str) -> Any:
    """boto3's client of S3 at this URL."""
    return Account(url, cloud.config.region, account.key, account.secret, account.id).client(
        "s3", s3={"addressing_style": "path"}
    )


def refused(call: Any, *, status: int) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call()
    found: Any = caught.value.response
    assert found["ResponseMetadata"]["HTTPStatusCode"] == status
    return dict(found["Error"])


def test_objects_of_any_size_go_in_and_out(s3: Any) -> None:
    for size in (0, 1, 100_000, 3 * MIB + 1):
        content = os.urandom(size)
        s3.put_object(Bucket=BUCKET, Key="dir/ü k", Body=content, Metadata={"a": "b"})
        found = s3.get_object(Bucket=BUCKET, Key="dir/ü k")
        assert found["Body"].read() == content
        assert found["Metadata"] == {"a": "b"}
        assert s3.head_object(Bucket=BUCKET, Key="dir/ü k")["ContentLength"] == size
    assert s3.get_object(Bucket=BUCKET, Key="dir/ü k", Range="bytes=5-9")["Body"].read() == content[5:10]
    s3.delete_object(Bucket=BUCKET, Key="dir/ü k")
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_body_without_a_length_goes_through(s3: Any, api: Server) -> None:
    s3.put_bucket_acl(Bucket=BUCKET, ACL="public-read-write")
    pieces = [os.urandom(300_000) for _ in range(5)]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-decoded-content-length": "1500000"}
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc, timeout=20)
    connection.request("PUT", f"/{BUCKET}/k", iter([*chunks, b"0\r\n\r\n"]), headers)
    assert connection.getresponse().status == 200
    assert support.body(s3, "k") == b"".join(pieces)


def test_what_is_refused_is_refused_in_the_same_words(s3: Any) -> None:
    assert refused(lambda: s3.get_object(Bucket=BUCKET, Key="none"), status=404)["Code"] == "NoSuchKey"
    assert refused(lambda: s3.head_object(Bucket=BUCKET, Key="none"), status=404)["Code"] == "404"
    wrong = {"Bucket": BUCKET, "Key": "k", "Body": b"x" * MIB, "ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert refused(lambda: s3.put_object(**wrong), status=400)["Code"] == "BadDigest"
    assert refused(lambda: s3.create_bucket(Bucket="Not_A_Name"), status=400)["Code"] == "InvalidBucketName"


def test_what_is_refused_before_its_body_comes_is_heard_at_once(cloud: Any, s3: Any) -> None:
    other = client(cloud, cloud.account("other"), s3.meta.endpoint_url)
    for expect in ("Expect: 100-continue\r\n", ""):
        url = urlsplit(other.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "k"}))
        with socket.create_connection((url.hostname or "", url.port or 80), timeout=20) as connection:
            head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {5 << 30}\r\n"
            connection.sendall(f"{head}{expect}\r\n".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 403")


def test_a_client_that_leaves_in_the_midst_leaves_nothing(cloud: Any, s3: Any) -> None:
    url = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "half"}))
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=20) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {5 * MIB}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * MIB)
    assert refused(lambda: s3.get_object(Bucket=BUCKET, Key="half"), status=404)["Code"] == "NoSuchKey"
    assert s3.list_buckets()["Buckets"][0]["Name"] == BUCKET


def test_a_policy_sees_the_address_of_the_client_and_nobody_can_claim_one(cloud: Any, s3: Any, api: Server) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    statement["Condition"] = {"IpAddress": {"aws:SourceIp": "127.0.0.2"}}  # type: ignore[assignment]
    s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def status(url: str, source: str, **headers: str) -> int:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=20, source_address=(source, 0))
        connection.request("GET", f"/{BUCKET}/k", headers=headers)
        return connection.getresponse().status

    assert status(api.url, "127.0.0.2") == 200
    assert status(api.url, "127.0.0.3") == 403
    stranger = cloud.database.keys.__class__()
    claimed = forwarded.said(stranger, "127.0.0.2", False, cloud.clock.now()).decode()
    ours = forwarded.said(cloud.database.keys, "127.0.0.2", False, cloud.clock.now() - 1000).decode()
    for url in (api.url, cloud.url):
        for value in (claimed, ours, "nonsense"):
            assert status(url, "127.0.0.3", **{"X-Cumulet-Client": value}) == 403


def test_a_manifest_is_read_from_there_with_the_rights_of_who_asks(cloud: Any, s3: Any, api: Server) -> None:
    s3.put_object(Bucket=BUCKET, Key="a.manifest.xml", Body=b"<manifest>")

    def said(account: Account) -> str:
        ec2 = Account(api.url, cloud.config.region, account.key, account.secret, account.id).client()
        error = refused(
            lambda: ec2.register_image(Name="bundled", ImageLocation=f"{BUCKET}/a.manifest.xml"), status=400
        )
        assert error["Code"] == "InvalidManifest"
        return str(error["Message"])

    assert "permissions" in said(cloud.account("stranger"))
    assert "permissions" not in said(cloud.admin)


def test_a_store_that_is_away_or_is_this_process_itself_is_an_answer(cloud: Any, s3: Any) -> None:
    for url in ("http://127.0.0.1:9", ""):
        for server in served(cloud, url):
            away = client(cloud, cloud.admin, server.url)
            assert refused(lambda away=away: away.list_buckets(), status=503)["Code"] == "ServiceUnavailable"
    for server in served(cloud, ""):
        app = Elsewhere(server.url, cloud.database)
        loop = Server(app, ("127.0.0.1", 0))
        app.url = loop.url
        loop.start()
        itself = client(cloud, cloud.admin, loop.url)
        assert "no objects" in refused(itself.list_buckets, status=503)["Message"]
        loop.stop()
