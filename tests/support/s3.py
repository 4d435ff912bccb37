"""Buckets and objects for tests, and requests that no client would send."""

from __future__ import annotations

import http.client
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support.tested_cloud import TestedCloud

from cumulet import testing
from cumulet.model import blob, bucket, upload
from cumulet.model import object as objects

BUCKET = "bucket-of-tests"


def client(cloud: Any, **config: Any) -> Any:
    """boto3's client of S3, path style."""
    return cloud.client("s3", **{"s3": {"addressing_style": "path"}, **config})


def made(s3: Any, name: str = BUCKET, **more: Any) -> str:
    """A new bucket."""
    s3.create_bucket(Bucket=name, **more)
    return name


def shared(database_url: str, **settings: Any) -> Iterator[TestedCloud]:
    """A cloud for the tests of a module, which begin with `fresh`: to make one for each costs more than they do."""
    with tempfile.TemporaryDirectory(prefix="cumulet-test-", dir=testing.in_memory()) as directory:
        cloud = TestedCloud(Path(directory), database_url=database_url, **settings)
        yield cloud
        cloud.stop()


def fresh(cloud: TestedCloud, **more: Any) -> Any:
    """boto3's client of S3, and one new bucket; whatever there was before is gone."""
    with cloud.database.write() as tx:
        for table in (upload.part, upload.upload, objects.version, bucket.bucket):
            tx.change(sa.delete(table))
    cloud.clock.ahead = 0.0
    found = client(cloud)
    made(found, **more)
    return found


def body(s3: Any, key: str, **more: Any) -> bytes:
    """What GetObject gives."""
    return bytes(s3.get_object(Bucket=BUCKET, Key=key, **more)["Body"].read())


def put(s3: Any, *keys: str, content: bytes = b"x", **more: Any) -> Any:
    """Put these keys; gives the last answer."""
    return [s3.put_object(Bucket=BUCKET, Key=key, Body=content, **more) for key in keys][-1]


def keys(answer: Any) -> list[str]:
    return [one["Key"] for one in answer.get("Contents", [])]


def prefixes(answer: Any) -> list[str]:
    return [one["Prefix"] for one in answer.get("CommonPrefixes", [])]


class Raw:
    """An answer as it came over the wire."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return self.text("Code")

    def text(self, name: str) -> str:
        """What is in the first element of that name."""
        return self.body.partition(f"<{name}>".encode())[2].partition(f"</{name}>".encode())[0].decode()


def ask(cloud: Any, method: str, path: str, body: bytes | Iterator[bytes] | None = None, /, **headers: Any) -> Raw:
    """A request that is not signed; underscores in names of headers are hyphens. Pieces go in chunks of HTTP."""
    connection = http.client.HTTPConnection(cloud.url.removeprefix("http://"), timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        return Raw(connection.getresponse())
    finally:
        connection.close()


def signed(
    cloud: Any, method: str, path: str, content: bytes = b"", /, without: str = "", region: str = "", **headers: str
) -> Raw:
    """A request signed with version 4, for another `region` if asked; the header `without` is taken out afterwards."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, cloud.url + path, headers=named, data=content)
    credentials = Credentials(cloud.admin.key, cloud.admin.secret)
    S3SigV4Auth(credentials, "s3", region or cloud.config.region).add_auth(request)
    sent = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    return ask(cloud, method, path, content or None, **{name: sent[name] for name in sent if name.lower() != without})


def form(cloud: Any, fields: dict[str, str], content: bytes, bucket: str = BUCKET) -> Raw:
    """What a browser sends for a form with a file."""
    mark = "x-boundary-x"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="C:\\a\\my file.txt"\r\n'
    head += "Content-Type: text/plain\r\n\r\n"
    sent = "".join(parts).encode() + head.encode() + content + f"\r\n--{mark}--\r\n".encode()
    return ask(cloud, "POST", f"/{bucket}", sent, Content_Type=f"multipart/form-data; boundary={mark}")


def blobs(cloud: Any) -> set[str]:
    """The blobs that are there."""
    return {seen.id for seen in cloud.cloud.objects.blobs.observe()}


def known_blobs(cloud: Any) -> set[str]:
    """The blobs that the database knows: those that something names, and those that are to be removed some time."""
    with cloud.database.read() as tx:
        return {row.id for row in tx.all(sa.select(blob.blob.c.id))}


def named_blobs(cloud: Any) -> set[str]:
    """The blobs that something names."""
    with cloud.database.read() as tx:
        return {row.id for row in blob.after(tx, "", 100_000)}


def is_tidy(cloud: Any) -> bool:
    """Whether the store has what the database names, and nothing else, once the keeper has done its work."""
    cloud.cloud.objects.keeper.remove_due()
    return blobs(cloud) == known_blobs(cloud)
