"""Volumes of Ceph: the command line is a fake, or Ceph's own, on three OSDs that are started for it."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import ceph
from support.fake_rbd import CLUSTER
from support.rbd_pool import Dead, Host

from cumulet.drivers.contract import Seen
from cumulet.drivers.hypervisor import pools
from cumulet.drivers.specs import (
    ISCSI_LUN,
    ISCSI_PORT,
    DiskSpec,
    SnapshotSpec,
    VolumeExportSpec,
    VolumeSpec,
    iscsi_name,
    move_export,
)
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.rbd import identity
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Impossible
from cumulet.lib.rbd import Pool

VOLUME, OTHER, THIRD = (f"vol-0123456789abcdef{n}" for n in range(3))
SNAPSHOT, COPY = "snap-0123456789abcdef0", "snap-0123456789abcdef1"
EXPORT, IMAGE = "volattach-0123456789abcdef0", "imf-0123456789abcdef0"
CEPH = pytest.param("ceph", marks=[pytest.mark.private_host, pytest.mark.slow])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Cluster]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    with ceph.cluster(tmp_path_factory.mktemp("ceph")) as made:
        yield made


@pytest.fixture(params=["fake", CEPH])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if request.param == "fake":
        yield Host(tmp_path)
        return
    made = Host(tmp_path, request.getfixturevalue("cluster").pool)
    yield made
    for id in {seen.id for seen in made.agent().observe()}:
        made.volumes.remove(id)
    made.until_only()


@pytest.fixture
def fake(tmp_path: Path) -> Host:
    return Host(tmp_path)


def is_clean(host: Host) -> bool:
    """Whether nothing is left of what was deleted, but what others stand on."""
    if isinstance(host.pool, Pool) and not host.fake.said:
        return not run(["rbd", "--conf", host.pool.settings, "trash", "ls", "--all", "volumes"]).stdout
    return not host.fake.trash()


def test_a_snapshot_outlives_its_volume_and_what_is_made_of_it_outlives_it(host: Host) -> None:
    host.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.write(VOLUME, "a")
    host.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
    host.write(VOLUME, "b")
    host.ensure(SnapshotSpec(id=SNAPSHOT))
    host.volumes.remove(VOLUME)
    host.ensure(VolumeSpec(id=OTHER, size_gib=2, snapshot=SNAPSHOT))
    host.ensure(SnapshotSpec(id=COPY, source=SNAPSHOT))
    assert host.volumes.observe() == [Seen(id=SNAPSHOT), Seen(id=COPY), Seen(id=OTHER)]
    host.volumes.remove(SNAPSHOT)
    host.until_only(OTHER, COPY)
    assert (host.reads(OTHER), host.size(OTHER), host.reads(COPY)) == ("a", 2 << 30, "a")
    assert not is_clean(host)
    host.volumes.remove(OTHER)
    host.volumes.remove(COPY)
    host.until_only()
    assert is_clean(host)


def test_what_was_deleted_never_comes_back(host: Host) -> None:
    host.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.write(VOLUME, "a")
    host.volumes.remove(VOLUME)
    assert host.volumes.look(VOLUME) is None
    host.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    assert host.reads(VOLUME) == "\0"


def test_volumes_of_an_image_stand_on_one_copy_of_it_that_goes_with_the_image(host: Host) -> None:
    image = host.image(IMAGE, b"image")
    host.ensure(VolumeSpec(id=VOLUME, size_gib=1, image_file=image))
    shutil.rmtree(host.directory / "images" / image)
    host.volumes.ensure(VolumeSpec(id=OTHER, size_gib=2, image_file=image))
    host.write(OTHER, "b")
    assert (host.reads(VOLUME), host.size(VOLUME)) == ("i", 1 << 30)
    assert host.volumes.observe() == [Seen(id=IMAGE), Seen(id=VOLUME), Seen(id=OTHER)]
    host.volumes.remove(IMAGE)
    host.until_only(VOLUME, OTHER)
    assert host.reads(VOLUME) == "i"


def test_the_disk_of_an_image_is_in_the_pool_before_there_are_volumes_of_it(host: Host) -> None:
    image = host.image(IMAGE, b"image")
    for _ in range(2):
        host.ensure(VolumeSpec(id=image, size_gib=0, image_file=image))
        assert (host.volumes.observe(), host.size(image)) == ([Seen(id=IMAGE)], 16 << 20)
    shutil.rmtree(host.directory / "images" / image)
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1, image_file=image))
    assert host.reads(VOLUME) == "i"


def test_a_volume_grows_and_never_shrinks(host: Host) -> None:
    for gib in (1, 3, 2):
        host.ensure(VolumeSpec(id=VOLUME, size_gib=gib))
    assert host.size(VOLUME) == 3 << 30
    host.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
    host.ensure(VolumeSpec(id=OTHER, size_gib=1, snapshot=SNAPSHOT))
    assert host.size(OTHER) == 3 << 30


def test_two_hosts_that_take_in_an_image_at_once_leave_one_base(fake: Host) -> None:
    other = Host(fake.directory, fake.pool, "h2")
    image = fake.image(IMAGE, b"image")
    threads = [
        threading.Thread(target=host.ensure, args=[VolumeSpec(id=id, size_gib=1, image_file=image)])
        for host, id in ((fake, VOLUME), (other, OTHER))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (fake.reads(VOLUME), fake.reads(OTHER)) == ("i", "i")
    fake.until_only(VOLUME, OTHER, IMAGE)


def test_what_a_host_has_begun_that_is_no_more_goes_with_the_image(fake: Host) -> None:
    fake.pool.create(f"new-{IMAGE}.h7", 16 << 20)
    fake.pool.create(f"new-{OTHER}", 16 << 20)
    assert fake.volumes.observe() == [Seen(id=IMAGE)]
    fake.volumes.remove(IMAGE)
    fake.volumes.remove(OTHER)
    fake.until_only()


def test_what_is_used_when_it_is_deleted_goes_when_it_is_not_any_more(fake: Host) -> None:
    fake.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    fake.fake.users[f"gone-{VOLUME}-1"] = ["192.0.2.1:0/7"]
    fake.volumes.remove(VOLUME)
    assert fake.volumes.observe() == []
    fake.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    fake.volumes.remove(VOLUME)
    fake.until_only(f"gone-{VOLUME}-1")
    fake.fake.users.clear()
    fake.until_only()


def test_room_is_what_the_pool_has_and_hosts_know_it_by_its_cluster(host: Host) -> None:
    room, identity = host.pool.room(), host.pool.identity()
    assert 0 < room.free <= room.size
    if host.fake.said:
        assert (room.size, identity) == (64 << 30, f"{CLUSTER}/3")
    elsewhere = Pool("elsewhere", host.pool.user, host.pool.settings, host.pool.keyring, run=host.pool._run)
    for ask in (elsewhere.room, elsewhere.identity):
        with pytest.raises(Failure, match="no pool elsewhere in Ceph: `ceph osd pool create elsewhere`"):
            ask()


def test_a_lost_snapshot_and_a_lost_volume_are_named(host: Host) -> None:
    with pytest.raises(Impossible, match=SNAPSHOT):
        host.volumes.ensure(SnapshotSpec(id=SNAPSHOT))
    with pytest.raises(Impossible, match=SNAPSHOT):
        host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1, snapshot=SNAPSHOT))
    with pytest.raises(Failure, match=VOLUME):
        host.volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))


SECRETS: list[bytes] = []
LIBVIRT = SimpleNamespace(secretDefineXML=lambda xml: SimpleNamespace(setValue=SECRETS.append))
"""Takes secrets."""


def told(host: Host) -> Pool:
    """The pool, with a keyring."""
    keyring = host.directory / "keyring"
    keyring.write_text("[client.other]\n\tkey = bm8=\n[client.cumulet]\n\tkey = c2VjcmV0\n\tcaps mon = x\n")
    host.pool.keyring = host.fake.keyring = keyring
    return host.pool


def test_a_guest_elsewhere_is_shut_out_when_its_export_ends_and_after_a_restart_too(fake: Host) -> None:
    guest = "192.0.2.7:0/41"
    fake.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    fake.volumes.ensure(VolumeExportSpec(id=EXPORT, volume=VOLUME, direct=True))
    assert fake.volumes.observe() == [Seen(id=VOLUME), Seen(id=EXPORT)]
    fake.fake.users[VOLUME] = [guest]
    fake.volumes = fake.agent()
    assert fake.volumes.look(EXPORT) == Seen(id=EXPORT)
    for _ in range(2):
        fake.volumes.remove(EXPORT)
    assert (fake.fake.shut_out, fake.volumes.look(EXPORT)) == ([guest], None)
    with pytest.raises(Failure, match="was taken from its guest by force"):
        pools.prepare(LIBVIRT, told(fake), [DiskSpec(volume=VOLUME, attachment=EXPORT)])
    fake.fake.users[VOLUME] = ["192.0.2.8:0/42"]
    pools.prepare(LIBVIRT, told(fake), [DiskSpec(volume=VOLUME, attachment=f"{EXPORT[:-1]}1")])
    assert fake.fake.shut_out == [guest, "192.0.2.8:0/42"]


@pytest.mark.parametrize("secret", ["", "not-to-be-guessed"], ids=["nbd", "iscsi"])
@pytest.mark.parametrize("host", [CEPH], indirect=True)
def test_hosts_without_the_pool_reach_and_copy_a_volume_by_an_export(host: Host, secret: str) -> None:
    host.exports = Exports(host.directory / "run", "127.0.0.1")
    host.volumes = host.agent()
    host.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.volumes.ensure(VolumeExportSpec(id=EXPORT, volume=VOLUME, secret=secret, client="127.0.0.1"))
    iscsi = f"iscsi://{EXPORT}%{secret}@127.0.0.1:{ISCSI_PORT}/{iscsi_name(EXPORT)}/{ISCSI_LUN}"
    url = iscsi if secret else f"nbd://127.0.0.1/{EXPORT}"
    try:
        run(["qemu-io", "-f", "raw", "-c", "write -P 97 0 512", url])
        assert host.volumes.look(EXPORT) == Seen(id=EXPORT)
    finally:
        host.volumes.remove(EXPORT)
    assert (host.reads(VOLUME), host.pool.users(VOLUME)) == ("a", [])
    move = VolumeExportSpec(id=move_export(OTHER), volume=VOLUME)
    host.volumes.ensure(move)
    host.ensure(VolumeSpec(id=OTHER, size_gib=1, source="127.0.0.1"))
    host.volumes.remove(move.id)
    assert host.reads(OTHER) == "a"


def test_an_export_that_ends_late_does_not_shut_out_who_was_given_the_volume_since(fake: Host) -> None:
    fake.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    fake.volumes.ensure(VolumeExportSpec(id=EXPORT, volume=VOLUME, direct=True))
    for attachment in (EXPORT, f"{EXPORT[:-1]}1"):
        pools.prepare(LIBVIRT, told(fake), [DiskSpec(volume=VOLUME, attachment=attachment)])
    fake.fake.users[VOLUME] = ["192.0.2.8:0/42"]
    fake.volumes.remove(EXPORT)
    assert (fake.fake.shut_out, fake.pool.bars(VOLUME, EXPORT)) == ([], True)


def test_a_guest_is_given_a_disk_when_everybody_else_is_shut_out(fake: Host) -> None:
    del SECRETS[:]
    fake.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    fake.fake.users[VOLUME] = ["192.0.2.7:0/41", "192.0.2.8:0/42"]
    pools.prepare(LIBVIRT, told(fake), [DiskSpec(volume=VOLUME), DiskSpec(volume=OTHER, export="192.0.2.9")])
    assert (SECRETS, fake.fake.shut_out) == ([b"secret"], ["192.0.2.7:0/41", "192.0.2.8:0/42"])
    fake.pool.keyring = fake.directory / "nowhere"
    with pytest.raises(Failure, match="there is no key of client.cumulet in .*nowhere"):
        fake.pool.key()


def test_hosts_know_each_other_by_the_pool_and_a_host_notices_another_one(fake: Host) -> None:
    mark = fake.directory / "mark"
    assert identity(fake.pool, mark) == identity(fake.pool, mark) == f"ceph {CLUSTER}/3"
    mark.write_text("ceph another/3")
    with pytest.raises(Failure, match=f"rbd_pool is volumes, which is not the pool .* remove {mark}"):
        identity(fake.pool, mark)


def test_what_others_have_in_the_pool_is_not_touched(fake: Host) -> None:
    fake.pool.create("volume-1c0ffee0-4b1d", 1 << 30)
    assert fake.volumes.observe() == []


def live(host: Host, image: str) -> None:
    """A volume of an image, its snapshot, a copy and a volume of that, and all gone but the last."""
    if host.volumes.look(OTHER) is None:
        host.ensure(VolumeSpec(id=VOLUME, size_gib=1, image_file=image))
        host.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
        host.ensure(SnapshotSpec(id=COPY, source=SNAPSHOT))
    host.ensure(VolumeSpec(id=OTHER, size_gib=2, snapshot=COPY))
    for id in (VOLUME, SNAPSHOT, COPY, IMAGE):
        host.volumes.remove(id)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whoever_dies_at_any_point_loses_and_leaves_nothing(fake: Host) -> None:
    host = fake
    image = host.image(IMAGE, b"image")
    for number in itertools.count():
        host.left = iter(range(number))
        with crash.at_each_point(host.pass_point), suppress(Dead):
            live(host, image)
            host.until_only(OTHER)
        for thread in threading.enumerate():
            if thread.name.startswith(("fill ", "remove ")):
                thread.join()
        died, host.volumes = host.dead, host.agent()
        if died:
            host.volumes.observe()
            live(host, image)
        host.until_only(OTHER)
        assert (host.reads(OTHER), host.size(OTHER)) == ("i", 2 << 30)
        host.volumes.remove(OTHER)
        host.until_only()
        assert is_clean(host)
        if not died:
            break
    assert number >= 15
