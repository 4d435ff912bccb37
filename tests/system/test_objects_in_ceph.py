"""S3 on two hosts that keep objects in one pool of Ceph: clients walk through it, servers and disks die (slow)."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError
from support import ceph

from cumulet.control.object_keeper import Keeper
from cumulet.control.object_moving import copy_all
from cumulet.demo.process import CloudProcess, until
from cumulet.drivers.blob.rados import BLOBS, LINGER_SECONDS, PIECES
from cumulet.lib.config import Config
from cumulet.lib.rados import Space
from cumulet.model import Database, blob
from cumulet.services import blobs_of

pytestmark = [pytest.mark.private_host, pytest.mark.slow, pytest.mark.timeout(600)]
BUCKET = "bucket-of-tests"
MIB = 1 << 20
PART = 8 * MIB
SILENT_SECONDS = 60.0
"""Longer than it takes Ceph to notice that an OSD has gone silent."""


class Site:
    """A cloud of two processes on one database and one pool."""

    def __init__(self, directory: Path, cluster: ceph.Cluster) -> None:
        self.cluster = cluster
        self.pool = cluster.object_pool("objects")
        conf, keyring = str(cluster.settings), str(cluster.pool.keyring)
        shared = {"drivers": "fake", "object_driver": "rados", "rbd_conf": conf, "rbd_keyring": keyring}
        first = directory / "h1"
        of_first = {"database_url": f"sqlite:///{first}/cumulet.db", "secret_key_file": f"{first}/secret.key"}
        self.hosts = [
            CloudProcess(first, **shared, host_name="h1"),
            CloudProcess(directory / "h2", **shared, **of_first, host_name="h2", listen="127.0.0.1:8774"),
        ]
        for host in self.hosts:
            host.start()
        self.environ = self.hosts[0].environ()
        self.config = Config(state_dir=first, object_driver="rados", rbd_conf=conf, rbd_keyring=keyring)
        self.s3 = [self.client("127.0.0.1:8773"), self.client("127.0.0.1:8774")]
        self.s3[0].create_bucket(Bucket=BUCKET)

    def client(self, address: str, attempts: int = 1) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://{address}",
            region_name=self.environ["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
            config=ClientConfig(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": attempts}, read_timeout=150
            ),
        )

    def keeper(self, ahead: float = 0.0) -> Keeper:
        """The keeper of one more process, whose clock is ahead."""
        database = Database(self.config.database(), keys=self.config.keyring())
        database.clock.now = lambda: time.time() + ahead  # type: ignore[method-assign]
        return Keeper(database, blobs_of(self.config, database), self.config)

    def names(self) -> set[str]:
        """All that is in the pool, but its owner's mark."""
        return {f"{one}/{name}" for one in (BLOBS, PIECES) for name in Space(self.pool, one).names()}

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    directory = tmp_path_factory.mktemp("ceph")
    with ceph.cluster(directory / "ceph", settings=ceph.ON_FILES) as cluster:
        site = Site(directory, cluster)
        yield site
        site.stop()


def body(s3: Any, key: str, **more: Any) -> bytes:
    return bytes(s3.get_object(Bucket=BUCKET, Key=key, **more)["Body"].read())


def emptied(site: Site) -> None:
    """All objects are deleted, and what they were is removed."""
    for one in site.s3[0].list_objects_v2(Bucket=BUCKET).get("Contents", []):
        site.s3[0].delete_object(Bucket=BUCKET, Key=one["Key"])
    site.keeper(2 * LINGER_SECONDS + 10).remove_due()
    assert site.names() == set()


def test_what_one_host_is_given_the_other_one_gives(site: Site) -> None:
    one, other = site.s3
    for size in (0, 1, 4 * MIB, 4 * MIB + 1, 9 * MIB):
        content = os.urandom(size)
        one.put_object(Bucket=BUCKET, Key="k", Body=content)
        assert body(other, "k") == content
        for first, last in ((0, 0), (4 * MIB - 5, 4 * MIB + 5), (size - 7, size - 1)):
            if first >= 0 and last < size:
                assert body(other, "k", Range=f"bytes={first}-{last}") == content[first : last + 1]
    emptied(site)


def test_an_upload_in_parts_by_both_hosts_is_one_object(site: Site) -> None:
    one, other = site.s3
    given = {
        "Bucket": BUCKET,
        "Key": "large",
        "UploadId": one.create_multipart_upload(Bucket=BUCKET, Key="large")["UploadId"],
    }
    contents = [os.urandom(PART), os.urandom(PART), os.urandom(PART + 3)]
    etags = [
        (one, other)[number % 2].upload_part(**given, PartNumber=number + 1, Body=content)["ETag"]
        for number, content in enumerate(contents)
    ]
    whole = b"".join(contents)
    copied = one.upload_part_copy
    one.complete_multipart_upload(
        **given, MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]}
    )
    assert hashlib.sha256(body(other, "large")).digest() == hashlib.sha256(whole).digest()
    assert body(other, "large", Range=f"bytes={PART - 3}-{2 * PART + 3}") == whole[PART - 3 : 2 * PART + 4]
    assert body(one, "large", PartNumber=2) == contents[1]
    other.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "large"})
    again = {
        "Bucket": BUCKET,
        "Key": "again",
        "UploadId": one.create_multipart_upload(Bucket=BUCKET, Key="again")["UploadId"],
    }
    etag = copied(**again, PartNumber=1, CopySource=f"{BUCKET}/large", CopySourceRange=f"bytes=1-{2 * PART}")
    parts = [{"PartNumber": 1, "ETag": etag["CopyPartResult"]["ETag"]}]
    one.complete_multipart_upload(**again, MultipartUpload={"Parts": parts})
    one.delete_object(Bucket=BUCKET, Key="large")
    assert (body(one, "copy") == whole, body(other, "again") == whole[1 : 2 * PART + 1]) == (True, True)
    emptied(site)


def test_what_is_encrypted_is_read_by_ranges_and_rests_as_nobody_reads_it(site: Site) -> None:
    one, other = site.s3
    content = b"0123456789abcdef" * (6 * MIB // 16)
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    one.put_object(Bucket=BUCKET, Key="c", Body=content, **key)
    one.put_object(Bucket=BUCKET, Key="s", Body=content, ServerSideEncryption="AES256")
    wanted = {"Range": f"bytes={4 * MIB - 9}-{4 * MIB + 8}"}
    assert body(other, "c", **wanted, **key) == body(other, "s", **wanted) == content[4 * MIB - 9 : 4 * MIB + 9]
    blobs = Space(site.pool, BLOBS)
    assert not any(content[:32] in blobs.read(name, 0, 4 * MIB) for name in blobs.names())
    emptied(site)


class Sending:
    """A put whose client has stopped half-way."""

    def __init__(self, s3: Any, key: str, content: bytes) -> None:
        url = urlsplit(s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": key}))
        assert url.hostname is not None
        self.content = content
        self.connection = socket.create_connection((url.hostname, url.port or 80), timeout=60)
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
        self.connection.sendall(head.encode() + content[: len(content) // 2])

    def finish(self) -> bytes:
        """The first line of the answer."""
        self.connection.sendall(self.content[len(self.content) // 2 :])
        return self.connection.recv(4096).partition(b"\r\n")[0]


def test_a_server_killed_half_way_through_a_put_shows_nothing_and_what_it_left_is_swept(site: Site) -> None:
    content = os.urandom(40 * MIB)
    site.s3[0].put_object(Bucket=BUCKET, Key="k", Body=b"before")
    Sending(site.s3[0], "k", content)
    until(lambda: len(site.names()) >= 4, 30, "pieces to be in the pool")
    site.hosts[0].stop(signal.SIGKILL)
    assert body(site.s3[1], "k") == b"before"
    site.hosts[0].start()
    assert body(site.s3[0], "k") == b"before"
    orphan = len(site.names())
    time.sleep(4)
    second = Sending(site.s3[1], "other", content)
    until(lambda: len(site.names()) >= orphan + 4, 30, "pieces of another put to be in the pool")
    assert site.keeper().sweep(older_than=3) == 1
    assert second.finish() == b"HTTP/1.1 200 OK"
    assert body(site.s3[0], "other") == content
    assert len(site.names()) == 1 + 20
    assert len(list(site.keeper().audit())) == 2
    emptied(site)


def test_all_objects_are_taken_to_directories_and_back_from_them(site: Site, tmp_path: Path) -> None:
    contents = {f"k{size}": os.urandom(size) for size in (0, 1, 2 * MIB, 9 * MIB + 1)}
    for key, content in contents.items():
        site.s3[0].put_object(Bucket=BUCKET, Key=key, Body=content)
    database = Database(site.config.database(), keys=site.config.keyring())
    in_ceph = blobs_of(site.config, database)
    in_files = blobs_of(Config(state_dir=tmp_path), database)
    moved = dict(copy_all(database, in_ceph, in_files))
    assert list(moved.values()) == ["copied"] * 4
    with database.read() as tx:
        rows = blob.after(tx, "", 10)
    assert [in_files.check(row.id, row.size, int(row.crc, 16)) for row in rows] == ["good"] * 4
    in_ceph.remove(*moved)
    assert site.names() == set()
    assert dict(copy_all(database, in_files, in_ceph)) == moved
    assert {key: body(site.s3[1], key) for key in contents} == contents
    emptied(site)


@dataclass
class Traffic:
    """Puts and gets, one after the other, and what was answered `200`."""

    s3: Any
    name: str
    going: bool = True
    kept: dict[str, bytes] = field(default_factory=dict)
    longest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def run(self) -> None:
        number = 0
        while self.going:
            number += 1
            key, content, began = f"{self.name}-{number % 7}", os.urandom(5 * MIB), time.monotonic()
            try:
                self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
                self.kept[key] = hashlib.sha256(content).digest()
                if hashlib.sha256(body(self.s3, key)).digest() != self.kept[key]:
                    self.wrong.append(f"{key} has other bytes than were put")
            except ClientError as e:
                self.wrong.append(str(e))
            self.longest = max(self.longest, time.monotonic() - began)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP])
def test_a_disk_that_dies_or_falls_silent_loses_nothing_and_fails_no_request(site: Site, by: int) -> None:
    traffic = [Traffic(s3, f"t{number}") for number, s3 in enumerate(site.s3)]
    threads = [threading.Thread(target=one.run) for one in traffic]
    for thread in threads:
        thread.start()
    time.sleep(3)
    site.cluster.signal_osd(1, by)
    until(lambda: '"num_up_osds":2' in site.cluster.ceph("osd", "stat", "--format", "json"), SILENT_SECONDS, "a loss")
    time.sleep(5)
    for one in traffic:
        one.going = False
    for thread in threads:
        thread.join()
    assert [one.wrong for one in traffic] == [[], []]
    assert all(one.kept and one.longest < SILENT_SECONDS for one in traffic)
    site.cluster.signal_osd(1, signal.SIGKILL)
    site.cluster.start_osd_again(1)
    site.cluster.await_clean()
    site.cluster.signal_osd(2, signal.SIGKILL)
    for one in traffic:
        for key, sum in one.kept.items():
            assert hashlib.sha256(body(one.s3, key)).digest() == sum
    site.cluster.start_osd_again(2)
    site.cluster.await_clean()
    emptied(site)


def test_while_all_of_ceph_is_silent_clients_are_told_before_they_give_up(site: Site) -> None:
    one, other = site.s3
    one.put_object(Bucket=BUCKET, Key="k", Body=b"before")
    for number in ceph.OSDS:
        site.cluster.signal_osd(number, signal.SIGSTOP)
    acts: list[Callable[[], Any]] = [
        lambda: other.put_object(Bucket=BUCKET, Key="new", Body=bytes(9 * MIB)),
        lambda: one.get_object(Bucket=BUCKET, Key="k"),
    ]
    for act in acts:
        began = time.monotonic()
        with pytest.raises(ClientError, match="ServiceUnavailable"):
            act()
        assert time.monotonic() - began < SILENT_SECONDS
    assert [found["Key"] for found in other.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["k"]
    for number in ceph.OSDS:
        site.cluster.signal_osd(number, signal.SIGCONT)
    site.cluster.await_clean()
    assert body(other, "k") == b"before"
    other.put_object(Bucket=BUCKET, Key="new", Body=b"now")
    site.keeper().sweep(older_than=-1.0)
    assert len(site.names()) == 2
    emptied(site)


def test_long_puts_need_little_memory(site: Site, tmp_path: Path) -> None:
    process = site.hosts[0]._process
    assert process is not None
    status = Path(f"/proc/{process.pid}/status")

    def resident(name: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name)) // 1024

    before = resident("VmRSS")
    content = bytes(MIB) * 512
    sending = Sending(site.s3[0], "long", content)
    assert sending.finish() == b"HTTP/1.1 200 OK"
    assert sum(len(piece) for piece in site.s3[0].get_object(Bucket=BUCKET, Key="long")["Body"]) == len(content)
    file = tmp_path / "large"
    file.write_bytes(content)
    site.s3[0].upload_file(
        str(file), BUCKET, "parts", Config=TransferConfig(multipart_chunksize=PART, max_concurrency=10)
    )
    assert resident("VmHWM") - before < 100
    emptied(site)
