"""Two processes with the role `object` on one PostgreSQL and one store: one knows what the other was told."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.databases import Tested
from support.rabbitmq import VirtualHost
from support.roles_apart import Apart, until

from cumulet.demo.process import client
from cumulet.lib.clock import Clock
from cumulet.model import Database, blob

PLAIN, KEPT = "plain", "kept"
"""Buckets without and with versions."""
BOTH = ("one", "other")
PART = 5 << 20
DAY_SECONDS = 2.0
OLD = time.time() - 3 * 86400


class Twins(Apart):
    """Over directories of their own, but for two disks that both have."""

    def __init__(self, directory: Path, vhost: VirtualHost, database_url: str) -> None:
        super().__init__(directory, vhost)
        self.database = Database(database_url, clock=Clock(), durable=False)
        self.disks = [directory / "disk1", directory / "disk2"]
        disks = ", ".join(f'"{disk}"' for disk in self.disks)
        shared = (
            f'bus_url = "{vhost.url}"\ndrivers = "fake"\ntest = true\nroles = ["object"]\nlisten = "127.0.0.1:0"\n'
            f'database_url = "{database_url}"\nsecret_key_file = "{directory}/secret.key"\n'
            f"object_dirs = [{disks}]\nobject_copies = 2\nobject_audit_days = 0.0001\n"
            f"object_day_seconds = {DAY_SECONDS}\n"
        )
        for name in BOTH:
            own = f'host_name = "{name}"\nstate_dir = "{directory}/{name}"\n'
            (directory / f"{name}.toml").write_text(own + shared)

    def up(self, *names: str) -> dict[str, Any]:
        """Start these at once; gives a client of each."""
        for name in names:
            (self.directory / f"{name}.log").unlink(missing_ok=True)
            self.start(name)
        return {name: self._client(name) for name in names}

    def _client(self, name: str) -> Any:
        until(lambda: self._urls(name), f"{name} to be there")
        return client({**self._settings(), "AWS_ENDPOINT_URL": self._urls(name)[-1]}, "s3")

    @cache  # noqa: B019 - a command takes a second, and there is one of these
    def _settings(self) -> dict[str, str]:
        said = self.command("env", "--json", "--config", str(self.directory / f"{BOTH[0]}.toml"))
        found: dict[str, str] = json.JSONDecoder().raw_decode(said)[0]  # behind it, that it knows of no api
        return found

    def _urls(self, name: str) -> list[str]:
        return re.findall(r"serves S3 alone at (\S+)", self.log(name))

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def files(self) -> Counter[str]:
        """The blobs on the disks, and on how many of them each is."""
        return Counter(path.name for disk in self.disks for path in disk.glob("??/*"))

    def known(self) -> set[str]:
        with self.database.read() as tx:
            return blob.known(tx, list(self.files())) | {row.id for row in blob.after(tx, "", 100_000)}


@pytest.fixture
def twins(tmp_path: Path, vhost: VirtualHost, postgresql: Tested) -> Iterator[Twins]:
    made = Twins(tmp_path, vhost, postgresql.anew())
    yield made
    made.stop()
    made.database.close()


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each gives, or the code by which it was refused; none begins before all can."""
    together = Barrier(len(acts))

    def act(one: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return one()
        except ClientError as e:
            return e.response["Error"]["Code"]

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


def body(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    return bytes(s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read())


def test_two_processes_answer_for_one_store(twins: Twins) -> None:
    orphans = plant_orphans(twins)
    both = twins.up(*BOTH)
    one, other = both.values()
    one.create_bucket(Bucket=PLAIN)
    one.create_bucket(Bucket=KEPT)
    one.put_bucket_versioning(Bucket=KEPT, VersioningConfiguration={"Status": "Enabled"})
    begin_lifecycle(both)
    kept = {
        **writers_of_one_key(both),
        **parts_through_both(both),
        **conditional_writes(both),
    }
    lifecycle_was_carried_out_once(both)
    until(lambda: twins.files().keys() == twins.known() | {orphans["young"]}, "what was let go of to be removed")
    kept |= one_is_killed_while_both_write(twins, both)

    one, other = twins.up(*BOTH).values()  # each sweeps, and audits all that there is
    for (bucket, key), content in kept.items():
        assert body(one, bucket, key) == body(other, bucket, key) == content
    until(lambda: twins.files().keys() == twins.known(), "the disks to be tidy")
    assert set(twins.files().values()) == {2}, "each is on both disks"
    said = "".join(map(twins.log, BOTH))
    assert not re.findall(".*(?:quarantine|is lost|a run failed|not as it was written|Traceback).*", said)


def plant_orphans(twins: Twins) -> dict[str, str]:
    """What a crash has left behind: one is old enough to be swept."""
    names = {"old": "aa" + "0" * 30, "young": "bb" + "0" * 30}
    for name in names.values():
        path = twins.disks[0] / name[:2] / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    os.utime(twins.disks[0] / "aa" / names["old"], (OLD, OLD))
    return names


def begin_lifecycle(both: dict[str, Any]) -> None:
    """What is old comes in before the rules; they are carried out by both, each within a second."""
    one, other = both.values()
    for number in range(12):
        one.put_object(Bucket=KEPT, Key=f"old/{number}", Body=b"old")
        other.create_multipart_upload(Bucket=KEPT, Key=f"old/{number}")
    gone = {"Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}}
    left = {"Status": "Enabled", "Filter": {"Prefix": "old/"}}
    left["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 1}
    rules = {"Rules": [{"ID": "gone", **gone}, {"ID": "left", **left}]}
    one.put_bucket_lifecycle_configuration(Bucket=KEPT, LifecycleConfiguration=rules)


def lifecycle_was_carried_out_once(both: dict[str, Any]) -> None:
    one, other = both.values()
    until(lambda: "Contents" not in one.list_objects_v2(Bucket=KEPT, Prefix="old/"), "lifecycles", 20)
    until(lambda: "Uploads" not in other.list_multipart_uploads(Bucket=KEPT), "the uploads to be aborted", 20)
    found = other.list_object_versions(Bucket=KEPT, Prefix="old/")
    assert Counter(marker["Key"] for marker in found["DeleteMarkers"]) == {f"old/{n}": 1 for n in range(12)}
    assert len(found["Versions"]) == 12


def writers_of_one_key(both: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    """Each put is a version, and the last is what both show; without versions nothing is kept but that."""

    def puts(name: str, number: int) -> list[tuple[str, bytes]]:
        written = []
        for turn in range(6):
            content = f"{name} {number} {turn}".encode() * 100
            both[name].put_object(Bucket=PLAIN, Key="same", Body=content)
            put = both[name].put_object(Bucket=KEPT, Key="same", Body=content)
            written.append((put["VersionId"], content))
        return written

    written = dict(sum(at_once(*[partial(puts, name, number) for name in BOTH for number in range(3)]), []))
    one, other = both.values()
    assert {id: body(one, KEPT, "same", VersionId=id) for id in written} == written
    listed = other.list_object_versions(Bucket=KEPT, Prefix="same")["Versions"]
    assert [version["VersionId"] for version in listed if version["IsLatest"]] == [listed[0]["VersionId"]]
    assert {version["VersionId"] for version in listed} == set(written)
    last = body(one, PLAIN, "same")
    assert last in written.values()
    return {(PLAIN, "same"): last, (KEPT, "same"): written[listed[0]["VersionId"]]}


def parts_through_both(both: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    """Parts by either, some of them twice; completed by either, and by both at once."""
    one, other = both.values()
    kept = {}
    for key, finishers in (("by one", [one]), ("by the other", [other]), ("by both", [one, other])):
        upload = {"Bucket": PLAIN, "Key": key}
        upload["UploadId"] = other.create_multipart_upload(**upload)["UploadId"]
        contents = [os.urandom(PART), os.urandom(PART), b"the end"]
        acts = [
            partial(s3.upload_part, **upload, PartNumber=number, Body=content)
            for s3 in both.values()
            for number, content in enumerate(contents, start=1)
        ]
        etags = [part["ETag"] for part in at_once(*acts)]
        assert etags[:3] == etags[3:]
        parts = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags[:3], start=1)]}
        acts = [partial(s3.complete_multipart_upload, **upload, MultipartUpload=parts) for s3 in finishers]
        assert len({answer["ETag"] for answer in at_once(*acts)}) == 1
        kept[PLAIN, key] = b"".join(contents)
    return kept


def conditional_writes(both: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    """Of those who put what must not be there one wins, whole objects and uploads in parts alike."""
    kept = {}
    refused = {"PreconditionFailed"}
    for number in range(8):
        name = {"Bucket": PLAIN, "Key": f"first {number}"}
        contents = [f"{number} {turn}".encode() for turn in range(6)]
        acts = [
            partial(both[BOTH[turn % 2]].put_object, **name, IfNoneMatch="*", Body=content)
            for turn, content in enumerate(contents)
        ]
        answers = at_once(*acts)
        [winner] = [turn for turn, answer in enumerate(answers) if not isinstance(answer, str)]
        assert {answer for answer in answers if isinstance(answer, str)} == refused
        kept[PLAIN, name["Key"]] = contents[winner]

    acts = []
    name = {"Bucket": PLAIN, "Key": "first in parts"}
    for s3 in both.values():
        upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
        etag = s3.upload_part(**upload, PartNumber=1, Body=upload["UploadId"].encode())["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        acts.append(partial(s3.complete_multipart_upload, **upload, MultipartUpload=parts, IfNoneMatch="*"))
    answers = at_once(*acts)
    assert sorted(map(type, answers), key=str) == [dict, str]
    assert refused == {answer for answer in answers if isinstance(answer, str)}
    loser = both[BOTH[answers.index("PreconditionFailed")]]
    [left] = loser.list_multipart_uploads(Bucket=PLAIN)["Uploads"]
    kept[PLAIN, name["Key"]] = body(loser, PLAIN, name["Key"])
    assert kept[PLAIN, name["Key"]] != left["UploadId"].encode()
    loser.abort_multipart_upload(**name, UploadId=left["UploadId"])
    return kept


def one_is_killed_while_both_write(twins: Twins, both: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    """What was answered is there. What the dead one was writing is made old, for the sweeps to come."""
    kept: dict[tuple[str, str], bytes] = {}

    def puts(name: str) -> None:
        for number in range(30):
            content = os.urandom(200_000)
            try:
                both[name].put_object(Bucket=PLAIN, Key=f"{name}/{number}", Body=content)
            except Exception:  # noqa: BLE001 - the process has died, which botocore says in several ways
                assert name == BOTH[0]
                return
            kept[PLAIN, f"{name}/{number}"] = content

    def kill() -> None:
        until(lambda: len(kept) > 20, "some puts")
        twins.kill(BOTH[0])

    at_once(*[partial(puts, name) for name in BOTH], kill)
    assert len([key for _, key in kept if key.startswith(BOTH[1])]) == 30
    twins.processes[BOTH[1]].terminate()
    twins.processes.pop(BOTH[1]).wait(30)
    for disk in twins.disks:
        for path in disk.glob("??/*"):
            os.utime(path, (OLD, OLD))
    return kept
