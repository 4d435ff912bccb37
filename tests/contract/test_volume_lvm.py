"""Volumes of LVM: the command line is a fake, or that of a guest that has LVM (tests/system/test_lvm.py)."""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.databases import free_port
from support.libvirtd import bounded
from support.volume_group import REAL, SECONDS, Dead, Host

from cumulet.drivers.contract import Seen
from cumulet.drivers.specs import (
    ISCSI_LUN,
    SnapshotSpec,
    VolumeExportSpec,
    VolumeSpec,
    iscsi_name,
    move_export,
)
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.filling import Filling, Source
from cumulet.drivers.volume.lvm import LvmVolumes, room_gib
from cumulet.drivers.volume.wiping import left, take_in
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure, Impossible, Later
from cumulet.lib.lvm import Group

VOLUME, OTHER, SNAPSHOT = "vol-0123456789abcdef0", "vol-0123456789abcdef1", "snap-0123456789abcdef0"
COPY, IMAGE, EXPORT = "snap-0123456789abcdef1", "imf-0123456789abcdef0", "volattach-0123456789abcdef0"


@pytest.fixture(params=["", "thin"], ids=["thick", "thin"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, request.param)
    yield made
    made.close()


@pytest.fixture
def thick(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, "")
    yield made
    made.close()


def until_made(host: Host, spec: VolumeSpec | SnapshotSpec) -> None:
    """Until the order is carried out; it is put off, with how far it is, while something is filled."""
    for _ in bounded(SECONDS):
        try:
            host.volumes.ensure(spec)
        except Later as e:
            assert re.search(r"being (filled: \d+ %|copied of)", str(e))
            continue
        assert host.volumes.look(spec.id) is not None
        return


def image_of(host: Host, content: bytes) -> str:
    """An image of 16 MiB, as the image driver keeps it."""
    directory = host.directory / "images" / IMAGE
    directory.mkdir(parents=True)
    (directory / "disk").write_bytes(content)
    os.truncate(directory / "disk", 16 << 20)
    (directory / "facts").write_text(json.dumps({"format": "raw", "virtual_size": 16 << 20}))
    return IMAGE


def test_a_snapshot_outlives_its_volume_and_what_is_made_of_it_outlives_it(host: Host) -> None:
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.write(VOLUME, b"first")
    host.volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
    assert host.volumes.look(SNAPSHOT) is not None
    host.write(VOLUME, b"after")
    until_made(host, SnapshotSpec(id=SNAPSHOT))
    host.until_only(VOLUME, SNAPSHOT)
    host.volumes.remove(VOLUME)
    until_made(host, VolumeSpec(id=OTHER, size_gib=2, snapshot=SNAPSHOT))
    host.volumes.remove(SNAPSHOT)
    host.until_only(OTHER)
    assert (host.reads(OTHER), host.size(OTHER)) == (b"first", 2 << 30)


def test_what_was_deleted_is_wiped_before_its_room_is_given_away(thick: Host) -> None:
    host = thick
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=2))
    host.write(VOLUME, b"secret")
    host.volumes.remove(VOLUME)
    assert host.volumes.look(VOLUME) is None
    assert left(host.volumes.group) in (2 << 30, 1 << 30, 0)
    host.until_only()
    if not REAL:
        assert host.lvm.steps == [f"wipe-{VOLUME}-1: zeroes"]
        return
    host.volumes.ensure(VolumeSpec(id=OTHER, size_gib=2))
    assert host.reads(OTHER, 6) == bytes(6)


def test_what_a_new_group_has_free_is_wiped_before_it_is_room(thick: Host) -> None:
    group, whole = thick.volumes.group, room_gib(thick.volumes.group)
    take_in(group)
    assert (room_gib(group), left(group) >> 30) == (0, whole)
    thick.until_only()
    assert (room_gib(group), left(group)) == (whole, 0)
    thick.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    assert thick.reads(VOLUME, 4096) == bytes(4096)
    take_in(group)
    assert set(group.volumes()) == {VOLUME}


def test_a_volume_of_an_image_is_there_when_all_is_copied(host: Host) -> None:
    until_made(host, VolumeSpec(id=VOLUME, size_gib=1, image_file=image_of(host, b"image")))
    assert (host.reads(VOLUME), host.size(VOLUME)) == (b"image", 1 << 30)
    assert host.volumes.observe() == [Seen(id=VOLUME)]


def test_what_is_there_by_now_is_not_filled_again(host: Host) -> None:
    until_made(host, VolumeSpec(id=VOLUME, size_gib=1, image_file=image_of(host, b"image")))
    source = Source(str(host.directory / "images" / IMAGE / "disk"))
    Filling(host.volumes.group, VOLUME, 1 << 30, source, lambda: None).run()
    assert set(host.volumes.group.volumes()) == {VOLUME}


def test_what_is_being_filled_is_given_up_when_it_is_removed(host: Host) -> None:
    with pytest.raises(Later):
        host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1, image_file=image_of(host, b"image")))
    host.volumes.remove(VOLUME)
    host.until_only()


def test_filling_begins_anew_with_the_next_process(host: Host) -> None:
    spec = VolumeSpec(id=VOLUME, size_gib=1, image_file=image_of(host, b"image"))
    host.volumes.group.create(f"new-{VOLUME}", 1 << 30)
    host.write(f"new-{VOLUME}", b"what was there already, which is more")
    host.volumes = host.agent()
    until_made(host, spec)
    assert host.reads(VOLUME, 9) == b"image\0\0\0\0"


def test_a_volume_grows_while_it_is_used_but_not_while_it_is_copied(host: Host) -> None:
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
    until_made(host, VolumeSpec(id=VOLUME, size_gib=1, grows_to=3))
    assert host.size(VOLUME) == 3 << 30
    assert host.size(SNAPSHOT) == 1 << 30


def test_a_copy_of_a_snapshot_outlives_it(host: Host) -> None:
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.write(VOLUME, b"first")
    until_made(host, SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
    until_made(host, SnapshotSpec(id=COPY, source=SNAPSHOT))
    host.volumes.remove(SNAPSHOT)
    host.until_only(VOLUME, COPY)
    assert host.reads(COPY) == b"first"


def test_volumes_that_the_system_left_inactive_are_there_after_a_start(host: Host) -> None:
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.deactivate(VOLUME)
    host.agent().ensure(VolumeSpec(id=VOLUME, size_gib=1))
    assert host.volumes.group.volumes()[VOLUME].active
    assert host.reads(VOLUME) is not None


def test_room_is_the_groups_or_the_pools_without_what_is_still_to_be_wiped(host: Host) -> None:
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=4))
    whole = room_gib(host.volumes.group)
    assert REAL or whole == 64
    if not host.pool:
        host.run(["lvrename", "nova-volumes", VOLUME, f"wipe-{VOLUME}-1"])
        assert room_gib(host.volumes.group) == whole - 4
    assert REAL or host.volumes.group.room().free == (48 if host.pool else 60) << 30


def test_what_is_not_as_it_must_be_is_named_with_the_command_that_makes_it_so(host: Host) -> None:
    def why_not(name: str, pool: str) -> str:
        with pytest.raises(Failure) as caught:
            Group(name, pool, run=host.run).room()
        return str(caught.value)

    assert why_not("volumes", "") == "there is no volume group volumes: `vgcreate volumes DISK` makes it"
    assert why_not("nova-volumes", "fat").startswith("there is no thin pool nova-volumes/fat: `lvcreate --type thin-")
    if host.pool:
        host.zero_no_more()
        assert "`lvchange --zero y nova-volumes/thin`" in why_not("nova-volumes", "thin")


@pytest.mark.parametrize("secret", ["", "not-to-be-guessed"], ids=["nbd", "iscsi"])
def test_a_volume_is_exported_as_it_is(thick: Host, secret: str) -> None:
    host, ports = thick, (free_port(), free_port())
    exports = Exports(host.directory / "run", "127.0.0.1", *ports)
    host.volumes = LvmVolumes(host.volumes.group, host.directory, exports)
    host.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    host.write(VOLUME, b"first")
    host.volumes.ensure(VolumeExportSpec(id=EXPORT, volume=VOLUME, secret=secret, client="127.0.0.1"))
    iscsi = f"iscsi://{EXPORT}%{secret}@127.0.0.1:{ports[1]}/{iscsi_name(EXPORT)}/{ISCSI_LUN}"
    url = iscsi if secret else f"nbd://127.0.0.1:{ports[0]}/{EXPORT}"
    try:
        written = run(["qemu-io", "-f", "raw", "-c", "read -v 0 512", "-c", "write -P 0x61 0 512", url]).stdout
    finally:
        host.volumes.remove(EXPORT)
    assert "66 69 72 73 74" in written
    assert host.reads(VOLUME) == b"aaaaa"
    assert host.volumes.observe() == [Seen(id=VOLUME)]


@pytest.mark.skipif(REAL, reason="there is one group")
def test_a_volume_is_copied_from_the_host_that_it_was_on(tmp_path: Path) -> None:
    port = free_port()
    here, there = Host(tmp_path / "here", ""), Host(tmp_path / "there", "thin")
    for host in (here, there):
        exports = Exports(host.directory / "run", "127.0.0.1", port)
        host.volumes = LvmVolumes(host.volumes.group, host.directory, exports)
    here.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    here.write(VOLUME, b"first")
    here.volumes.ensure(VolumeExportSpec(id=move_export(VOLUME), volume=VOLUME))
    until_made(there, VolumeSpec(id=VOLUME, size_gib=1, source="127.0.0.1"))
    here.volumes.remove(move_export(VOLUME))
    assert there.reads(VOLUME) == b"first"


@pytest.mark.skipif(REAL, reason="there is one group")
@pytest.mark.parametrize("pool", ["", "thin"], ids=["from thick", "from thin"])
def test_a_snapshot_comes_to_another_host_as_a_volume_of_no_size_of_its_own(tmp_path: Path, pool: str) -> None:
    """As a replica is made (`model.replica`)."""
    port = free_port()
    here, there = Host(tmp_path / "here", pool), Host(tmp_path / "there", "")
    for host in (here, there):
        exports = Exports(host.directory / "run", "127.0.0.1", port)
        host.volumes = LvmVolumes(host.volumes.group, host.directory, exports)
    here.volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    here.write(VOLUME, b"first")
    here.volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
    until_made(here, SnapshotSpec(id=SNAPSHOT))
    until_made(here, VolumeSpec(id=OTHER, size_gib=0, snapshot=SNAPSHOT))
    here.volumes.ensure(VolumeExportSpec(id=move_export(OTHER), volume=OTHER))
    until_made(there, VolumeSpec(id=OTHER, size_gib=0, source="127.0.0.1"))
    here.volumes.remove(move_export(OTHER))
    there.volumes.ensure(SnapshotSpec(id=COPY, volume=OTHER))
    until_made(there, SnapshotSpec(id=COPY))
    until_made(there, VolumeSpec(id=VOLUME, size_gib=2, snapshot=COPY))
    assert (there.reads(VOLUME), there.size(VOLUME)) == (b"first", 2 << 30)


def live(host: Host) -> None:
    """A volume, its snapshot, a volume of that, and all gone but the last."""
    until_made(host, VolumeSpec(id=VOLUME, size_gib=1))
    if VOLUME in host.volumes.group.volumes() and host.volumes.look(SNAPSHOT) is None:
        host.write(VOLUME, b"first")
        host.volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))
    until_made(host, SnapshotSpec(id=SNAPSHOT))
    until_made(host, VolumeSpec(id=OTHER, size_gib=2, snapshot=SNAPSHOT))
    host.until_removed(VOLUME)
    host.until_removed(SNAPSHOT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whoever_dies_at_any_point_loses_and_leaves_nothing(host: Host) -> None:
    for number in itertools.count(0, 5 if REAL else 1):
        host.left = iter(range(number))
        with crash.at_each_point(host.pass_point), suppress(Dead):
            live(host)
            host.until_only(OTHER)
        for thread in threading.enumerate():
            if thread.name.startswith(("fill ", "wipe ")):
                thread.join()
        died, host.volumes = host.dead, host.agent()
        if died:
            host.volumes.observe()
            live(host)
        host.until_only(OTHER)
        assert host.reads(OTHER) == b"first"
        host.until_removed(OTHER)
        host.until_only()
        if not died:
            break
    assert number >= (1 if host.pool else 10)


@pytest.mark.skipif(not REAL, reason="no pool of a fake fills up")
def test_a_pool_that_is_full_says_what_qemu_stops_guests_for_and_goes_on_with_room(thick: Host) -> None:
    run(["lvcreate", "--type", "thin-pool", "--size", "256m", "--name", "small", "nova-volumes"])
    run(["lvchange", "--errorwhenfull", "y", "nova-volumes/small"])
    group = Group("nova-volumes", "small")
    group.create(VOLUME, 1 << 30)
    command, device = ["qemu-io", "-f", "raw", "-t", "none", "-c", "write -P 7 0 512M"], group.device(VOLUME)
    done = run([*command, device], timeout=SECONDS, check=False)
    assert "No space left on device" in done.stdout + done.stderr
    run(["lvextend", "--size", "768m", "nova-volumes/small"])
    written = run([*command, "-c", "read -P 7 0 512M", device], timeout=SECONDS).stdout
    assert "read 536870912/536870912" in written
    assert "verification failed" not in written


def test_a_lost_snapshot_and_a_lost_volume_are_named(host: Host) -> None:
    with pytest.raises(Impossible, match=SNAPSHOT):
        host.volumes.ensure(SnapshotSpec(id=SNAPSHOT))
    with pytest.raises(Failure, match=VOLUME):
        host.volumes.ensure(SnapshotSpec(id=SNAPSHOT, volume=VOLUME))


def test_what_others_made_in_the_group_is_not_touched(host: Host) -> None:
    host.run(["lvcreate", "--yes", "--name", OTHER, "--size", f"{1 << 30}b", "nova-volumes"])
    assert host.volumes.observe() == []
