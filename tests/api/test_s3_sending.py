"""Large bodies on their way out, right from their files where they rest as they are sent."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import s3 as support
from support.s3 import BUCKET

MIB = 1 << 20


@pytest.fixture(scope="module")
def cloud(module_database: str) -> Iterator[Any]:
    yield from support.shared(module_database)


@pytest.fixture
def s3(cloud: Any) -> Any:
    return support.fresh(cloud)


def in_parts(s3: Any, *parts: bytes, **more: Any) -> bytes:
    """Upload an object of several blobs; gives its content."""
    upload = {"Bucket": BUCKET, "Key": "large"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, **more)["UploadId"]
    made = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
        for number, part in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": made})
    return b"".join(parts)


def connected(s3: Any, *, room: int) -> socket.socket:
    """A client with little room that has asked for the object."""
    url = urlsplit(s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "large"}))
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.settimeout(20)
    connection.connect((url.hostname, url.port))
    connection.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
    return connection


@pytest.mark.parametrize("more", [{}, {"ServerSideEncryption": "AES256"}], ids=["in files", "encrypted"])
def test_any_range_of_several_blobs_comes_whole(s3: Any, more: dict[str, Any]) -> None:
    content = in_parts(s3, os.urandom(6 * MIB), os.urandom(5 * MIB), os.urandom(MIB), **more)
    for start, end in ((0, len(content) - 1), (5 * MIB + 7, 11 * MIB + 9), (11 * MIB, 12 * MIB - 1)):
        answer = s3.get_object(Bucket=BUCKET, Key="large", Range=f"bytes={start}-{end}")
        assert answer["Body"].read() == content[start : end + 1]


def test_a_slow_client_gets_all_and_may_ask_again(s3: Any) -> None:
    content = in_parts(s3, os.urandom(5 * MIB), os.urandom(MIB))
    with connected(s3, room=16 << 10) as connection:
        got = b""
        while len(got) < len(content):
            time.sleep(0.001)
            got += connection.recv(256 << 10)
        head, _, body = got.partition(b"\r\n\r\n")
        while len(body) < len(content):
            body += connection.recv(256 << 10)
        assert head.startswith(b"HTTP/1.1 200")
        assert body == content
        connection.sendall(f"GET /{BUCKET}/nothing HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 403")


def blobs_open(cloud: Any) -> int:
    """How many files of the store this process has open."""
    stores = tuple(str(directory) for directory in cloud.config.object_directories())
    count = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            count += str(one.readlink()).startswith(stores)
    return count


def test_of_a_client_that_goes_away_nothing_stays_open(cloud: Any, s3: Any) -> None:
    in_parts(s3, os.urandom(5 * MIB), os.urandom(5 * MIB))
    with connected(s3, room=16 << 10) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert blobs_open(cloud)
    end = time.monotonic() + 10
    while blobs_open(cloud) and time.monotonic() < end:
        time.sleep(0.01)
    assert not blobs_open(cloud)
