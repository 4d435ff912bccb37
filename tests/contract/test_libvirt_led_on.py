"""Guests that run, and whose exports are at another address afterwards: they go on, and see nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.guests import Guests
from support.libvirtd import bounded

from cumulet.drivers.specs import DiskSpec, ImageFileSpec, InstanceSpec, VolumeExportSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lab.authority import Authority
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

pytestmark = pytest.mark.private_host
HERE, THERE = "127.0.0.1", "127.0.0.2"
PKI = Path("/etc/libvirt/nbd")
"""Where the private host's libvirt has its certificates."""
READING = "imf-00000000000000004"
READS = bytes.fromhex("31c0 8ed8 8ec0 b80102 bb0080 b90200 ba8000 cd13 ebf0")
"""Machine code of a boot record that reads a sector of its disk, by the BIOS, again and again."""
GUEST, VOLUME, NAME = "i-00000000000000007", "vol-00000000000000007", "volattach-00000000000000007"


class Reader:
    """A guest that reads its disk all the time, which is exported at one address or the other."""

    def __init__(self, guests: Guests, *, tls: bool) -> None:
        self.guests, self._tls = guests, tls
        self._authority = Authority()
        where, run_directory = guests.directories, guests.boot_id.with_name("exports")
        self._hosts = {
            at: DirectoryVolumes(where.volumes, where.images, Exports(run_directory / at, at, certificates=PKI))
            for at in (HERE, THERE)
        }
        source = guests.boot_id.with_name("reading")
        source.write_bytes((READS.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
        guests.images.ensure(ImageFileSpec(id=READING, source=str(source), format="raw"))
        self._hosts[HERE].ensure(VolumeSpec(id=VOLUME, size_gib=1, image_file=READING))

    def export(self, at: str, size_gib: int = 0) -> None:
        """At this address, and no more at the other one."""
        (other,) = {HERE, THERE} - {at}
        self._hosts[other].remove(NAME)
        self._authority.certify(PKI, at)
        self._hosts[at].ensure(VolumeExportSpec(id=NAME, volume=VOLUME, tls=self._tls, size_gib=size_gib))

    def order(self, at: str, size_gib: int = 0) -> None:
        disk = DiskSpec(volume=VOLUME, attachment=NAME, slot="a", export=at, tls=self._tls, size_gib=size_gib)
        self.guests.hypervisor.ensure(InstanceSpec(id=GUEST, generation=1, power="on", memory_mib=128, disks=[disk]))

    def follow(self, at: str) -> None:
        """It reads again, after so many orders as that takes."""
        before = reads()
        for _ in bounded(30):
            with suppress(Failure):  # it says so where the guest was paused
                self.order(at)
            if reads() > before + 100:
                return

    def close(self) -> None:
        self.guests.hypervisor.remove(GUEST)
        for host in self._hosts.values():
            host.remove(NAME)
        self._hosts[HERE].remove(VOLUME)


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory, tiny_image: Path) -> Iterator[Guests]:
    found = Guests(tmp_path_factory.mktemp("host"), tiny_image)
    yield found
    found.close()


@pytest.fixture(params=["nbd", "nbd-tls"])
def reader(guests: Guests, request: pytest.FixtureRequest) -> Iterator[Reader]:
    made = Reader(guests, tls=request.param == "nbd-tls")
    made.export(HERE)
    made.order(HERE)
    made.follow(HERE)
    yield made
    made.close()


def reads() -> int:
    """How often the guest has read of its disk."""
    words = run(["virsh", "domblkstat", GUEST, "vda"]).stdout.split()
    return int(words[words.index("rd_req") + 1])


def nodes() -> list[str]:
    """What QEMU has open, by its name there."""
    question = json.dumps({"execute": "query-named-block-nodes", "arguments": {"flat": True}})
    answer = json.loads(run(["virsh", "qemu-monitor-command", GUEST, question]).stdout)
    return sorted(one["node-name"] for one in answer["return"])


def test_a_guest_goes_on_when_its_disk_is_exported_at_another_address(reader: Reader) -> None:
    before, process = nodes(), reader.guests.qemu(GUEST)
    for at in (THERE, HERE, THERE):
        reader.export(at)
        reader.follow(at)
        assert nodes() == before
    reader.export(THERE, 2)
    for _ in bounded(30):
        with suppress(Failure):
            reader.order(THERE, 2)
        if int(run(["virsh", "domblkinfo", GUEST, "vda"]).stdout.split()[1]) == 2 << 30:
            break
    assert reader.guests.qemu(GUEST) == process


def test_a_guest_waits_for_an_address_at_which_nobody_serves_yet(reader: Reader) -> None:
    with pytest.raises(Failure, match=r"127\.0\.0\.2, TCP port 108"):
        reader.order(THERE)
    reader.follow(HERE)


def test_whoever_dies_on_the_way_is_followed_by_who_goes_on_or_back(reader: Reader) -> None:
    before, died = nodes(), list[str]()
    for step in range(1, 20):
        points: list[str] = []

        def die(name: str, points: list[str] = points, last: int = step) -> None:
            points.append(name)
            if len(points) == last:
                raise crash.Died

        reader.export(THERE)
        with suppress(crash.Died), crash.at_each_point(die):
            reader.follow(THERE)
        if len(points) < step:
            break
        died.append(points[-1])
        if step % 2:
            reader.export(HERE)
        reader.follow(HERE if step % 2 else THERE)
        assert nodes() == before, f"after dying at {points}"
        reader.export(HERE)
        reader.follow(HERE)
    assert len(died) == 8
    assert set(died) == {"hypervisor.switch.opened", "hypervisor.switch.begun", "hypervisor.switch.made"}
