"""What every store of blobs promises; and what the directories promise when one of them is lost."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from awscrt.checksums import crc64nvme
from support import ceph
from support.fake_rados import FakeCeph

from cumulet.drivers.blob.directory import DirectoryBlobs
from cumulet.drivers.blob.fake import FakeBlobs
from cumulet.drivers.blob.rados import RadosBlobs
from cumulet.lib.blobs import Blobs, Missing, NoSpace
from cumulet.lib.errors import Failure
from cumulet.lib.rados import Space

ID, CONTENT = "abcdef0123456789", b"0123456789" * 100
CRC = crc64nvme(CONTENT)


def one_directory(path: Path) -> Blobs:
    return DirectoryBlobs([path / "one"])


def two_of_three(path: Path) -> Blobs:
    return DirectoryBlobs([path / name for name in ("a", "b", "c")], copies=2)


def in_rados(path: Path) -> Blobs:
    return RadosBlobs(FakeCeph().space, lambda: "c1", piece=256)


MAKERS: dict[str, Callable[[Path], Blobs]] = {
    "fake": lambda path: FakeBlobs(),
    "directory": one_directory,
    "copies": two_of_three,
    "rados": in_rados,
}
CEPH = [
    pytest.param(name, marks=[pytest.mark.private_host, pytest.mark.slow], id=f"ceph-{name}")
    for name in ("copies", "erasure")
]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Cluster]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    with ceph.cluster(tmp_path_factory.mktemp("ceph")) as made:
        yield made


@pytest.fixture(params=[*MAKERS, *CEPH])
def blobs(tmp_path: Path, request: pytest.FixtureRequest) -> Blobs:
    if "ceph" not in request.node.callspec.id:
        return MAKERS[request.param](tmp_path)
    pool = request.getfixturevalue("cluster").object_pool(f"objects{next(NUMBERS)}", erasure=request.param == "erasure")
    return RadosBlobs(partial(Space, pool), lambda: "c1", piece=256)


def kept(blobs: Blobs, id: str = ID, content: bytes = CONTENT) -> None:
    writer = blobs.create(id)
    for start in range(0, len(content), 300):
        writer.write(content[start : start + 300])
    writer.commit()
    writer.abort()


def whole(blobs: Blobs, id: str = ID) -> bytes:
    reader = blobs.open(id)
    try:
        return reader.read(0, 1 << 20)
    finally:
        reader.close()


def ids(blobs: Blobs) -> list[str]:
    return sorted(seen.id for seen in blobs.observe())


def test_what_was_committed_is_read_from_any_place(blobs: Blobs) -> None:
    kept(blobs)
    kept(blobs, "empty000", b"")
    reader = blobs.open(ID)
    assert (reader.read(3, 4), reader.read(998, 10), reader.read(1000, 1)) == (b"3456", b"89", b"")
    reader.close()
    assert whole(blobs, "empty000") == b""
    assert ids(blobs) == [ID, "empty000"]


def test_what_was_not_committed_is_not_there(blobs: Blobs) -> None:
    writer = blobs.create(ID)
    writer.write(CONTENT)
    assert ids(blobs) == [ID]
    writer.abort()
    assert ids(blobs) == []
    with pytest.raises(Missing):
        blobs.open(ID)


def test_what_is_removed_is_read_to_its_end_by_who_has_it_open_or_missing(blobs: Blobs) -> None:
    kept(blobs)
    reader = blobs.open(ID)
    blobs.remove(ID)
    blobs.remove(ID)
    if blobs.linger:
        with pytest.raises(Missing):
            reader.read(0, 10)
    else:
        assert reader.read(0, 10) == CONTENT[:10]
    reader.close()
    assert ids(blobs) == []


def test_many_are_removed_at_once_and_others_stay(blobs: Blobs) -> None:
    kept(blobs)
    some = [f"gone{number:04}" for number in range(3)]
    for id in some:
        kept(blobs, id)
    blobs.remove(*some)
    assert ids(blobs) == [ID]


def test_a_check_says_what_is_lost(blobs: Blobs) -> None:
    kept(blobs)
    assert blobs.check(ID, len(CONTENT), CRC) == "good"
    assert blobs.check("absent00", 1, 1) == "lost"
    assert blobs.check(ID, len(CONTENT), CRC ^ 1) == "lost"
    assert ids(blobs) == []


def copies(path: Path) -> dict[str, Path]:
    return {name: path / name / ID[:2] / ID for name in ("a", "b", "c") if (path / name / ID[:2] / ID).exists()}


def test_a_copy_that_is_bad_is_made_anew_from_a_good_one(tmp_path: Path) -> None:
    blobs = two_of_three(tmp_path)
    kept(blobs)
    first, second = copies(tmp_path).values()
    first.write_bytes(CONTENT[:-1] + b"?")
    assert blobs.check(ID, len(CONTENT), CRC) == "repaired"
    assert (first.read_bytes(), second.read_bytes()) == (CONTENT, CONTENT)
    assert len(list(tmp_path.glob("*/quarantine/*"))) == 1
    second.unlink()
    assert blobs.check(ID, len(CONTENT), CRC) == "repaired"
    assert blobs.check(ID, len(CONTENT), CRC) == "good"


def test_many_processes_repair_the_same_copy(tmp_path: Path) -> None:
    """Each with a keeper of its own, that audits when it likes."""
    kept(two_of_three(tmp_path), ID)
    bad = next(iter(copies(tmp_path).values()))
    stores = [two_of_three(tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        for _ in range(50):
            bad.write_bytes(b"?")
            found = list(pool.map(lambda store: store.check(ID, len(CONTENT), CRC), stores))
            assert set(found) <= {"good", "repaired"}
            assert bad.read_bytes() == CONTENT
            assert stores[0].check(ID, len(CONTENT), CRC) == "good"


def test_a_lost_directory_loses_nothing(tmp_path: Path) -> None:
    blobs = two_of_three(tmp_path)
    kept(blobs)
    lost = next(iter(copies(tmp_path)))
    shutil.rmtree(tmp_path / lost)
    assert whole(blobs) == CONTENT
    again = two_of_three(tmp_path)
    assert again.check(ID, len(CONTENT), CRC) == "repaired"
    assert len(copies(tmp_path)) == 2
    fewer = DirectoryBlobs([tmp_path / name for name in ("a", "b", "c") if name != lost], copies=2)
    assert fewer.check(ID, len(CONTENT), CRC) in ("good", "repaired")


def test_more_copies_than_directories_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="2 copies of each object need as many directories, and there are 1"):
        DirectoryBlobs([tmp_path], copies=2)


def test_a_full_store_keeps_nothing_of_a_blob() -> None:
    blobs = FakeBlobs(room=500)
    with pytest.raises(NoSpace):
        kept(blobs)
    assert ids(blobs) == []
    kept(blobs, content=CONTENT[:500])
    assert whole(blobs) == CONTENT[:500]
