"""Blobs in Ceph: who dies, who comes late, who has no room. Ceph is a fake, or three OSDs that are started for it."""

from __future__ import annotations

import ctypes
import errno
import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest
from awscrt.checksums import crc64nvme
from support import ceph
from support.fake_rados import FakeCeph
from support.libvirtd import bounded

from cumulet.cli.checks import object_pool
from cumulet.drivers.blob import rados
from cumulet.drivers.blob.rados import BLOBS, PIECES, QUARANTINE, RadosBlobs, State
from cumulet.lib import crash
from cumulet.lib.blobs import Missing, NoSpace
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.lib.librados import Refused, library
from cumulet.lib.rados import Space

ID, OTHER = "abcdef0123456789", "fedcba9876543210"
PIECE = 64
CONTENT = bytes(range(256)) * 5
CRC = crc64nvme(CONTENT)
QUOTA_SECONDS = 60.0
NUMBERS = itertools.count()
Spaces = Callable[[str], Space]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Cluster]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    with ceph.cluster(tmp_path_factory.mktemp("ceph")) as made:
        yield made


@pytest.fixture(params=["fake", pytest.param("ceph", marks=[pytest.mark.private_host, pytest.mark.slow])])
def space(request: pytest.FixtureRequest) -> Spaces:
    if request.param == "fake":
        return FakeCeph().space
    cluster: ceph.Cluster = request.getfixturevalue("cluster")
    return partial(Space, cluster.object_pool(f"objects{next(NUMBERS)}"))


@pytest.fixture
def fake() -> FakeCeph:
    return FakeCeph()


def blobs_in(space: Spaces) -> RadosBlobs:
    """A store of a process that has just been started."""
    return RadosBlobs(space, lambda: "c1", piece=PIECE)


def put(blobs: RadosBlobs, id: str = ID, content: bytes = CONTENT) -> None:
    writer = blobs.create(id)
    try:
        writer.write(content)
        writer.commit()
    except Exception:
        writer.abort()
        raise


def whole(blobs: RadosBlobs, id: str = ID) -> bytes:
    return blobs.open(id).read(0, 1 << 20)


def names(space: Spaces) -> list[str]:
    """All that is in the pool, but its owner's mark."""
    return sorted(f"{one}/{name}" for one in (BLOBS, PIECES, QUARANTINE) for name in space(one).names())


def said(act: Callable[[], object]) -> int:
    """The error that it ends with."""
    with pytest.raises(Refused) as refused:
        act()
    return refused.value.errno


def test_the_fake_and_ceph_say_the_same(space: Spaces) -> None:
    one, other = space("one"), space("other")
    one.put("a", b"first", b"state", new=True).wait()
    assert said(one.put("a", b"second", b"lost", new=True).wait) == errno.EEXIST
    one.put("b", bytearray(b"bytes")).wait()
    one.put("empty", b"").wait()
    assert (one.state("a"), one.state("b"), one.state("c")) == (b"state", b"", None)
    assert [one.read("a", start, length) for start, length in ((0, 9), (1, 2), (5, 1))] == [b"first", b"ir", b""]
    assert (one.read("b", 0, 9), one.read("empty", 0, 9)) == (b"bytes", b"")
    assert one.states(["c", "a", "b"]).get("a") == b"state"
    assert one.states(["c"]) == {}
    assert said(lambda: one.read("c", 0, 1)) == said(lambda: one.change("c", b"", b"x")) == errno.ENOENT
    assert said(lambda: one.change("a", b"stat", b"x")) == said(lambda: one.change("b", b"x", b"y")) == errno.ECANCELED
    one.change("a", b"state", b"other state")
    one.put("a", b"third").wait()
    assert (one.state("a"), one.read("a", 0, 9)) == (b"other state", b"third")
    assert (sorted(one.names()), list(other.names()), other.state("a")) == (["a", "b", "empty"], [], None)
    found = one.modified(["a", "c"])
    assert list(found) == ["a"]
    assert abs(found["a"] - time.time()) < 30
    one.remove(["a", "c", "empty"])
    assert list(one.names()) == ["b"]


def test_a_blob_is_cut_into_pieces_and_read_across_them(space: Spaces) -> None:
    blobs = blobs_in(space)
    for size in (0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, len(CONTENT)):
        put(blobs, content=CONTENT[:size])
        assert space(BLOBS).state(ID) == b"whole %d %d" % (size, PIECE)
        assert len(names(space)) == max(1, -(-size // PIECE))
        assert whole(blobs) == CONTENT[:size]
        for start, length in itertools.product((0, 1, 63, 64, 65, 130), (1, 64, 200)):
            assert blobs.open(ID).read(start, length) == CONTENT[:size][start : start + length]
        assert blobs.check(ID, size, crc64nvme(CONTENT[:size])) == "good"
        blobs.remove(ID)
        assert names(space) == []


def test_many_go_at_once_whatever_there_is_of_each(space: Spaces) -> None:
    blobs = blobs_in(space)
    short = [f"short{number:04}" for number in range(rados.TOGETHER + 1)]
    for id in short:
        put(blobs, id, b"x")
    put(blobs)
    writer = blobs.create(OTHER)
    writer.write(CONTENT)
    blobs.remove(*short, "absent00", ID, OTHER)
    assert names(space) == []
    with pytest.raises(Failure):
        writer.commit()
    blobs.remove()


def test_hosts_share_a_pool_and_leave_each_other_s_uploads_alone(space: Spaces) -> None:
    one, other = blobs_in(space), blobs_in(space)
    writer = one.create(ID)
    writer.write(CONTENT)
    with pytest.raises(Missing):
        other.open(ID)
    assert [seen.modified > time.time() - 30 for seen in other.observe()] == [True]
    writer.commit()
    assert whole(other) == CONTENT
    with pytest.raises(Failure, match=f"writing the blob {ID}"):
        put(other, content=b"another")
    assert whole(other) == CONTENT
    other.remove(ID)
    assert (list(one.observe()), names(space)) == ([], [])


def test_who_goes_on_after_a_sweep_is_told_and_leaves_nothing(space: Spaces) -> None:
    one, other = blobs_in(space), blobs_in(space)
    writer = one.create(ID)
    writer.write(CONTENT[:500])
    other.remove(ID)
    writer.write(CONTENT[500:])
    with pytest.raises(Failure, match=f"writing the blob {ID}"):
        writer.commit()
    assert names(space) == []


def test_what_is_not_as_it_should_be_is_put_into_quarantine_whole(space: Spaces) -> None:
    blobs = blobs_in(space)
    put(blobs, content=CONTENT[:200])
    space(PIECES).put(f"{ID}.1", b"?" * PIECE).wait()
    assert blobs.check(ID, 200, crc64nvme(CONTENT[:200])) == "lost"
    assert names(space) == [f"{QUARANTINE}/{ID}{end}" for end in ("", ".1", ".2", ".3")]
    aside = space(QUARANTINE)
    assert (aside.state(ID), aside.read(f"{ID}.1", 0, PIECE)) == (b"whole 200 64", b"?" * PIECE)
    put(blobs, OTHER)
    space(PIECES).remove([f"{OTHER}.2"])
    assert blobs.check(OTHER, len(CONTENT), CRC) == "lost"
    with pytest.raises(Missing):
        blobs.open(OTHER)


def test_the_pool_of_another_cloud_is_left_alone(space: Spaces) -> None:
    put(blobs_in(space))
    other = RadosBlobs(space, lambda: "c2")
    for act in (lambda: list(other.observe()), lambda: other.remove(ID), lambda: other.create(OTHER)):
        with pytest.raises(Failure, match=r"objects of another cloud \(c1, this is c2\).* remove the object cumulet"):
            act()
    assert whole(blobs_in(space)) == CONTENT


@pytest.mark.private_host
@pytest.mark.slow
def test_a_full_pool_keeps_nothing_of_a_blob_and_things_can_be_removed(cluster: ceph.Cluster) -> None:
    pool = cluster.object_pool("objects-full")
    space = partial(Space, pool)
    blobs = RadosBlobs(space, lambda: "c1", piece=1 << 20)
    put(blobs, OTHER, bytes(3 << 20))
    cluster.ceph("osd", "pool", "set-quota", "objects-full", "max_bytes", str(1 << 20))
    with pytest.raises(NoSpace):
        for _ in bounded(QUOTA_SECONDS):
            put(blobs, content=bytes(2 << 20))
            blobs.remove(ID)
    assert names(space) == [f"{PIECES}/{OTHER}.1", f"{PIECES}/{OTHER}.2", f"{BLOBS}/{OTHER}"]
    assert blobs_in(space).check(OTHER, 3 << 20, crc64nvme(bytes(3 << 20))) == "good"
    blobs.remove(OTHER)
    assert names(space) == []
    cluster.ceph("osd", "pool", "set-quota", "objects-full", "max_bytes", "0")
    assert pool.room().free > 0


@pytest.mark.private_host
@pytest.mark.slow
def test_a_host_that_ceph_has_shut_out_connects_anew(cluster: ceph.Cluster) -> None:
    pool = cluster.object_pool("objects-shut")
    blobs = RadosBlobs(partial(Space, pool), lambda: "c1")
    put(blobs)
    address = ctypes.c_char_p()
    library().rados_getaddrs(pool._cluster, ctypes.byref(address))
    assert address.value is not None
    cluster.ceph("osd", "blocklist", "add", re.sub(r"^\[?(v2:)?|\]$", "", address.value.decode()))
    with pytest.raises(Failure):
        for _ in bounded(QUOTA_SECONDS):  # until the OSDs know
            whole(blobs)
    assert whole(blobs) == CONTENT
    put(blobs, OTHER)


@pytest.mark.private_host
@pytest.mark.slow
def test_the_doctor_says_whether_the_pool_is_there_and_may_be_written_to(cluster: ceph.Cluster) -> None:
    keyring = str(cluster.pool.keyring)
    config = Config(
        object_driver="rados", object_pool="objects-looked-at", rbd_conf=str(cluster.settings), rbd_keyring=keyring
    )
    cluster.object_pool("objects-looked-at")
    for _ in bounded(QUOTA_SECONDS):
        (found,) = object_pool(config)
        if "does not say yet" not in found.text:  # its manager has not looked yet
            break
    assert (found.level, found.text.partition(":")[0]) == ("ok", "pool objects-looked-at")
    (found,) = object_pool(msgspec.structs.replace(config, object_pool="volumes-of-nobody"))
    assert (found.level, found.text.partition(":")[0]) == ("problem", "there is no pool volumes-of-nobody in Ceph")
    cluster.object_pool("objects-of-others")
    (found,) = object_pool(config)
    assert (found.level, "Operation not permitted" in found.text) == ("problem", True)


def test_a_full_store_keeps_nothing_and_can_still_be_emptied(fake: FakeCeph) -> None:
    blobs = blobs_in(fake.space)
    put(blobs, OTHER, CONTENT[:200])
    fake.room = 1000
    with pytest.raises(NoSpace):
        put(blobs)
    assert len(names(fake.space)) == 4
    fake.answers["change"] = [errno.EDQUOT]
    blobs.remove(OTHER)
    assert names(fake.space) == []


def test_what_ceph_does_not_say_is_not_taken_for_lost(fake: FakeCeph) -> None:
    blobs = blobs_in(fake.space)
    put(blobs)
    for act in ("state", "read"):
        fake.answers[act] = [errno.ETIMEDOUT]
        with pytest.raises(Failure, match="timed out"):
            blobs.check(ID, len(CONTENT), CRC)
    fake.answers["read"] = [errno.EIO]
    assert blobs.check(ID, len(CONTENT), CRC) == "lost"
    assert blobs.check(ID, len(CONTENT), CRC) == "good"
    fake.answers["put"] = [0, errno.ETIMEDOUT]
    asked = len(fake.asked)
    with pytest.raises(Failure, match="writing the blob"):
        put(blobs, OTHER)
    assert fake.asked[asked:] == ["put", "put", "put"]  # nobody waits for one more answer
    assert {seen.id for seen in blobs.observe()} == {ID, OTHER}


def test_a_writer_that_cannot_take_back_what_it_wrote_leaves_it_to_the_sweep(fake: FakeCeph) -> None:
    blobs = blobs_in(fake.space)
    writer = blobs.create(ID)
    writer.write(CONTENT)
    fake.answers["state"] = [errno.ETIMEDOUT]
    writer.abort()
    assert [seen.id for seen in blobs.observe()] == [ID]
    blobs.remove(ID)
    assert names(fake.space) == []


def test_a_writer_that_goes_on_for_days_is_not_taken_for_gone(fake: FakeCeph, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = blobs_in(fake.space)
    writer = blobs.create(ID)
    writer.write(CONTENT)
    fake.spaces[BLOBS][ID].modified = 0.0
    writer.write(b"more")
    assert [seen.modified for seen in blobs.observe()] == [0.0]
    monkeypatch.setattr(rados, "TOUCH_SECONDS", 0.0)
    writer.write(b"more")
    assert [seen.modified > 0 for seen in blobs.observe()] == [True]
    writer.commit()
    assert whole(blobs) == CONTENT + b"moremore"


def test_a_writer_holds_no_more_than_three_pieces(fake: FakeCeph) -> None:
    writer = blobs_in(fake.space).create(ID)
    for start in range(0, len(CONTENT), 10):
        writer.write(CONTENT[start : start + 10])
        assert start + 10 - fake.used() <= 3 * PIECE
    writer.abort()


def live(blobs: RadosBlobs) -> None:
    """One is put in the place of another."""
    put(blobs)
    blobs.remove(OTHER)


def test_whoever_dies_at_any_point_leaves_all_or_nothing(fake: FakeCeph) -> None:
    for number in itertools.count():
        left = iter(range(number))
        blobs = blobs_in(fake.space)
        put(blobs, OTHER, bytes(40 * PIECE))

        def pass_point(name: str, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise crash.Died(name)

        died = True
        with crash.at_each_point(pass_point), suppress(crash.Died):
            live(blobs)
            died = False
        blobs = blobs_in(fake.space)
        with suppress(Missing):
            assert whole(blobs) == CONTENT
        with suppress(Missing):
            assert whole(blobs, OTHER) == bytes(40 * PIECE)
        for seen in list(blobs.observe()):
            blobs.remove(seen.id)
        assert names(fake.space) == []
        if not died:
            break
    assert number >= 15


def test_a_removal_that_dies_again_and_again_is_done_in_the_end(fake: FakeCeph) -> None:
    blobs = blobs_in(fake.space)
    writer = blobs.create(ID)
    writer.write(bytes(100 * PIECE))
    del writer

    def die(name: str) -> None:
        if name == "blob.remove.pieces":
            raise crash.Died(name)

    with crash.at_each_point(die):
        for _ in range(20):
            with suppress(crash.Died):
                blobs.remove(ID)
    assert names(fake.space) == []


@pytest.mark.parametrize("text", [b"writing", b"whole 5 4", b"going", b"going 5 4"])
def test_states_are_read_as_they_were_written(text: bytes) -> None:
    assert bytes(State.of(text)) == text


def test_a_host_without_ceph_says_what_is_missing(tmp_path: Path) -> None:
    config = Config(object_driver="rados", rbd_conf=str(tmp_path / "ceph.conf"))
    wrong = r"reading .*ceph.conf: No such file|librados.so.2 is not installed"
    with pytest.raises(Failure, match=wrong):
        RadosBlobs(rados.space_of(config), lambda: "c1").open(ID)
    (problem,) = object_pool(config)
    assert problem.level == "problem"
    assert re.search(wrong, problem.text)
    for other in (Config(), msgspec.structs.replace(config, roles=["api"], bus_url="amqp://h")):
        assert list(object_pool(other)) == []
