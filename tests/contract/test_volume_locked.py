"""Encrypted volumes in LVM and in Ceph: what QEMU's tools make of them, and that nothing of them lies there as it is.

The command lines are fakes; with `--slow` Ceph is its own, and LVM in a guest (tests/system/test_lvm.py).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import ceph, rbd_pool, volume_group
from support.databases import free_port
from support.libvirtd import bounded

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import SnapshotSpec, Spec, VolumeExportSpec, VolumeSpec, move_export
from cumulet.drivers.volume import encrypted, locked
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.lvm import LvmVolumes
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Later

KEY, WRONG = "a" * 43 + "=", "b" * 43 + "="
VOLUME, OTHER, THIRD = (f"vol-0123456789abcdef{n}" for n in range(3))
ONE, TWO = "snap-0123456789abcdef0", "snap-0123456789abcdef1"
EXPORT, IMAGE = "volattach-0123456789abcdef0", "imf-0123456789abcdef0"
WORD = b"A" * 4096
SECONDS = volume_group.SECONDS
Host = Any
"""Of `volume_group` or of `rbd_pool`."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Cluster]:
    if not ceph.is_installed():
        pytest.skip(f"it needs Ceph: apt-get install {ceph.PACKAGES}")
    with ceph.cluster(tmp_path_factory.mktemp("ceph")) as made:
        yield made


FAKE = ["thick", "thin", *([] if volume_group.REAL else ["rbd"])]
CEPH = pytest.param("ceph", marks=[pytest.mark.private_host, pytest.mark.slow])


@pytest.fixture(params=[*FAKE, *([] if volume_group.REAL else [CEPH])])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if request.param in ("thick", "thin"):
        made: Host = volume_group.Host(tmp_path, "thin" if request.param == "thin" else "")
        yield made
        made.close()
        return
    made = rbd_pool.Host(tmp_path, request.getfixturevalue("cluster").pool if request.param == "ceph" else None)
    yield made
    for id in {seen.id for seen in made.agent().observe()}:
        made.volumes.remove(id)
    made.until_only()


def ensure(host: Host, spec: Spec) -> None:
    """Until the order is carried out; it is put off while something is filled."""
    for _ in bounded(SECONDS, 0.02):
        with suppress(Later):
            host.volumes.ensure(spec)
            return


def remove(host: Host, id: str) -> None:
    for _ in bounded(SECONDS, 0.02):
        with suppress(Later):
            host.volumes.remove(id)
            return


def store(host: Host) -> Any:
    return host.volumes.group if isinstance(host, volume_group.Host) else host.volumes.pool


def io(host: Host, volume: str, *commands: str, key: str = KEY) -> str:
    """What qemu-io says of what a guest would see of the volume."""
    words = [word for command in commands for word in ("-c", command)]
    with encrypted.told(key, store(host).secret()) as told:
        done = run(
            ["qemu-io", *told.words, *words, locked.target(store(host), volume)],
            check=False,
            descriptors=told.descriptors,
        )
    return done.stdout + done.stderr


def write(host: Host, volume: str, at: str = "1M") -> None:
    assert "wrote" in io(host, volume, f"write -P 65 {at} 64k")


def holds(host: Host, volume: str, at: str = "1M") -> bool:
    """Whether the word is there."""
    said = io(host, volume, f"read -P 65 {at} 64k")
    return "read 65536" in said and "verification failed" not in said


def lies_there(host: Host, volume: str, size: int = 8 << 20) -> bool:
    """Whether the word is on the disk as it is."""
    raw = host.directory / "raw"
    words = ["qemu-img", "dd", "-f", "raw", "-O", "raw", "bs=1M", f"count={size >> 20}"]
    run([*words, f"if={store(host).device(volume)}", f"of={raw}"])
    return WORD in raw.read_bytes()


def image_of(host: Host) -> str:
    """An image of 16 MiB with the word at 1 MiB, as the image driver keeps it."""
    directory = host.directory / "images" / IMAGE
    directory.mkdir(parents=True)
    (directory / "disk").write_bytes(bytes(1 << 20) + WORD * 16 + bytes((15 << 20) - 16 * len(WORD)))
    (directory / "facts").write_text(f'{{"format": "raw", "virtual_size": {16 << 20}}}')
    return IMAGE


def test_a_guest_sees_a_disk_as_large_as_asked_for_and_nothing_lies_there_as_it_is(host: Host) -> None:
    ensure(host, VolumeSpec(id=VOLUME, size_gib=1, key=KEY))
    write(host, VOLUME)
    assert holds(host, VOLUME)
    assert not lies_there(host, VOLUME)
    assert "1 GiB" in io(host, VOLUME, "length")
    ensure(host, VolumeSpec(id=VOLUME, size_gib=2, key=KEY))
    assert "2 GiB" in io(host, VOLUME, "length")
    assert holds(host, VOLUME)
    assert "Invalid password" in io(host, VOLUME, "length", key=WRONG)
    assert host.volumes.observe() == [Seen(id=VOLUME)]


def test_snapshots_and_what_is_made_of_them_have_the_same_key_and_outlive_it(host: Host) -> None:
    ensure(host, VolumeSpec(id=VOLUME, size_gib=1, key=KEY))
    write(host, VOLUME)
    ensure(host, SnapshotSpec(id=ONE, volume=VOLUME, key=KEY))
    assert "wrote" in io(host, VOLUME, "write -P 66 1M 64k")
    ensure(host, SnapshotSpec(id=ONE))
    ensure(host, SnapshotSpec(id=TWO, source=ONE, key=KEY))
    ensure(host, SnapshotSpec(id=TWO))
    for gone in (VOLUME, ONE):
        remove(host, gone)
    ensure(host, VolumeSpec(id=OTHER, size_gib=2, snapshot=TWO, key=KEY))
    remove(host, TWO)
    host.until_only(OTHER)
    assert holds(host, OTHER)
    assert "2 GiB" in io(host, OTHER, "length")
    ensure(host, SnapshotSpec(id=ONE, volume=OTHER, key=KEY))
    ensure(host, SnapshotSpec(id=ONE))
    ensure(host, VolumeSpec(id=THIRD, size_gib=2, snapshot=ONE, key=KEY))
    assert holds(host, THIRD)


def test_from_an_image_all_is_copied_and_its_zeroes_are_zeroes(host: Host) -> None:
    ensure(host, VolumeSpec(id=VOLUME, size_gib=1, image_file=image_of(host), key=KEY))
    assert holds(host, VOLUME)
    assert not lies_there(host, VOLUME)
    assert "verification failed" not in io(host, VOLUME, "read -P 0 4M 12M")
    host.until_only(VOLUME)


def test_an_encrypted_volume_and_an_encrypted_copy_of_a_plain_snapshot_are_copies_of_all_of_it(host: Host) -> None:
    store(host).create(VOLUME, 16 << 20)
    plain = ["qemu-io", "-f", "raw", "-c", "write -P 65 1M 64k", str(store(host).device(VOLUME))]
    run(plain)
    ensure(host, SnapshotSpec(id=ONE, volume=VOLUME))
    ensure(host, SnapshotSpec(id=ONE))
    ensure(host, SnapshotSpec(id=TWO, source=ONE, key=KEY))
    ensure(host, SnapshotSpec(id=TWO))
    ensure(host, VolumeSpec(id=OTHER, size_gib=1, snapshot=ONE, key=KEY))
    for gone in (VOLUME, ONE):
        remove(host, gone)
    ensure(host, VolumeSpec(id=THIRD, size_gib=1, snapshot=TWO, key=KEY))
    for made in (OTHER, THIRD):
        assert holds(host, made)
        assert not lies_there(host, made)


def test_who_does_not_tell_its_key_is_given_no_export(host: Host) -> None:
    ensure(host, VolumeSpec(id=VOLUME, size_gib=1, key=KEY))
    ensure(host, VolumeSpec(id=OTHER, size_gib=1))
    with pytest.raises(Failure, match="is encrypted, and its key was not told"):
        host.volumes.ensure(VolumeExportSpec(id=EXPORT, volume=VOLUME))
    with pytest.raises(Failure, match="is not encrypted"):
        host.volumes.ensure(VolumeExportSpec(id=EXPORT, volume=OTHER, key=KEY))


@pytest.mark.skipif(volume_group.REAL, reason="there is one group")
@pytest.mark.parametrize("host", ["thick", CEPH], indirect=True)
def test_exports_give_what_is_in_it_and_a_copy_is_encrypted_again(host: Host, tmp_path: Path) -> None:
    port = free_port()
    exports = Exports(tmp_path / "run", "127.0.0.1", port)
    there = volume_group.Host(tmp_path / "there", "thin")
    there.volumes = LvmVolumes(there.volumes.group, there.directory, exports)
    host.exports = exports
    host.volumes = (
        host.agent()
        if not isinstance(host, volume_group.Host)
        else LvmVolumes(host.volumes.group, host.directory, exports)
    )
    store(host).create(VOLUME, 16 << 20)
    locked.begin(store(host), VOLUME, KEY)
    write(host, VOLUME)
    host.volumes.ensure(VolumeExportSpec(id=EXPORT, volume=VOLUME, key=KEY))
    assert (
        "read 65536"
        in run(["qemu-io", "-f", "raw", "-c", "read -P 65 1M 64k", f"nbd://127.0.0.1:{port}/{EXPORT}"]).stdout
    )
    host.volumes.remove(EXPORT)
    host.volumes.ensure(VolumeExportSpec(id=move_export(VOLUME), volume=VOLUME, key=KEY))
    ensure(there, VolumeSpec(id=VOLUME, size_gib=1, source="127.0.0.1", key=WRONG))
    host.volumes.remove(move_export(VOLUME))
    assert "verification failed" not in io(there, VOLUME, "read -P 65 1M 64k", key=WRONG)
    assert not lies_there(there, VOLUME)


def live(host: Host) -> None:
    """An encrypted volume of a plain snapshot, a snapshot of it, a volume of that, and all gone but the last."""
    if host.volumes.look(OTHER) is None:
        ensure(host, VolumeSpec(id=VOLUME, size_gib=1, image_file=IMAGE, key=KEY))
        ensure(host, SnapshotSpec(id=ONE, volume=VOLUME, key=KEY))
        ensure(host, SnapshotSpec(id=TWO, source=ONE, key=KEY))
    ensure(host, VolumeSpec(id=OTHER, size_gib=2, snapshot=TWO, key=KEY))
    for id in (VOLUME, ONE, TWO):
        remove(host, id)


@pytest.mark.skipif(volume_group.REAL, reason="its points are tried with the fake")
@pytest.mark.parametrize("host", ["thin", "rbd"], indirect=True)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whoever_dies_at_any_point_loses_and_leaves_nothing(host: Host) -> None:
    image_of(host)
    for number in itertools.count(0, 3):
        host.left = iter(range(number))
        with crash.at_each_point(host.pass_point), suppress(volume_group.Dead, rbd_pool.Dead):
            live(host)
            host.until_only(OTHER)
        for thread in threading.enumerate():
            if thread.name.startswith(("fill ", "wipe ", "remove ")):
                thread.join()
        died, host.volumes = host.dead, host.agent()
        if died:
            host.volumes.observe()
            live(host)
        host.until_only(OTHER)
        assert holds(host, OTHER)
        remove(host, OTHER)
        host.until_only()
        if not died:
            break
    assert number >= 3
