"""Disks of real guests by iSCSI: there from the start or plugged in, and taken away on either side. What is exported
grows, by NBD with TLS too."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.certificates import write_certificates
from support.guests import Guests
from support.libvirtd import bounded

from cumulet.drivers.specs import DiskSpec, ImageFileSpec, InstanceSpec, VolumeExportSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

pytestmark = pytest.mark.private_host
HERE = "127.0.0.1"
PKI = Path("/etc/libvirt/nbd")
"""Where the private host's libvirt has its certificates."""
READING = "imf-00000000000000003"
READS = bytes.fromhex("31c0 8ed8 8ec0 b80102 bb0080 b90200 ba8000 cd13 ebf0")
"""Machine code of a boot record that reads a sector of its disk, by the BIOS, again and again."""


class Exported:
    """A guest's host that is the volumes' host too, and exports them to itself."""

    def __init__(self, guests: Guests, directory: Path) -> None:
        self.guests = guests
        where = guests.directories
        self.volumes = DirectoryVolumes(where.volumes, where.images, Exports(directory, HERE, certificates=PKI))

    def disk(self, slot: str, by: str = "iscsi", image_file: str | None = None) -> DiskSpec:
        """A new volume, exported."""
        name = f"0{uuid.uuid4().hex[:16]}"
        made = DiskSpec(volume=f"vol-{name}", attachment=f"volattach-{name}", slot=slot, export=HERE)
        made = msgspec.structs.replace(made, secret=name * 2 if by == "iscsi" else "", tls=by == "nbd-tls")
        self.volumes.ensure(VolumeSpec(id=made.volume, size_gib=1, image_file=image_file))
        self.export(made)
        return made

    def export(self, disk: DiskSpec, size_gib: int = 0) -> None:
        """Have it exported, so large."""
        spec = VolumeExportSpec(id=disk.name, volume=disk.volume, secret=disk.secret, client=HERE)
        self.volumes.ensure(msgspec.structs.replace(spec, tls=disk.tls, size_gib=size_gib))

    def close(self) -> None:
        for seen in self.volumes.observe():
            if seen.id.startswith("volattach-"):
                self.volumes.remove(seen.id)


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory, tiny_image: Path) -> Iterator[Guests]:
    found = Guests(tmp_path_factory.mktemp("host"), tiny_image)
    yield found
    found.close()


@pytest.fixture
def exported(guests: Guests) -> Iterator[Exported]:
    made = Exported(guests, guests.boot_id.with_name("exports"))  # of one host, whose tgtd may outlive a test
    yield made
    made.close()


@pytest.fixture
def id(guests: Guests) -> Iterator[str]:
    made = f"i-0{uuid.uuid4().hex[:16]}"
    yield made
    guests.remove(made)


def length(id: str, target: str) -> int:
    """Bytes that QEMU shows the guest."""
    return int(run(["virsh", "domblkinfo", id, target]).stdout.split()[1])


def test_exported_disks_are_there_from_the_start_plugged_in_and_unplugged(
    guests: Guests, exported: Exported, id: str
) -> None:
    first, second = exported.disk("b"), exported.disk("c")
    guests.ensure(id, more=[first])
    guests.wait_until_booted(id)
    guests.ensure(id, more=[first, second])
    root = id.replace("i-", "vol-")
    assert guests.hypervisor.disks(id) == sorted([root, first.name, second.name])
    command = Path(f"/proc/{guests.qemu(id)}/cmdline").read_bytes()
    secrets = run(["virsh", "secret-list"]).stdout
    assert (first.secret.encode() in command, second.name in secrets) == (False, False)
    write_certificates(PKI, HERE)
    by_tls = exported.disk("d", "nbd-tls")
    guests.ensure(id, more=[first, second, by_tls])
    assert by_tls.name in guests.hypervisor.disks(id)
    for _ in bounded(30):
        guests.ensure(id, more=[first])
        if guests.hypervisor.disks(id) == sorted([root, first.name]):
            break
    exported.volumes.remove(second.name)
    assert guests.state(id) == "running"


def test_a_disk_whose_export_has_ended_is_taken_away_and_the_guest_goes_on(
    guests: Guests, exported: Exported, id: str
) -> None:
    disk = exported.disk("b")
    guests.ensure(id, more=[disk])
    guests.wait_until_booted(id)
    exported.volumes.remove(disk.name)
    for _ in bounded(30):
        guests.ensure(id, cut=[disk.name])
        gone = disk.name not in guests.hypervisor.disks(id) or guests.hypervisor.cut(id) == [disk.name]
        if gone and guests.state(id) == "running":
            return


@pytest.mark.parametrize("by", ["nbd-tls", "iscsi"])
def test_a_guest_that_reads_while_its_disk_grows_goes_on(guests: Guests, exported: Exported, id: str, by: str) -> None:
    write_certificates(PKI, HERE)
    source = guests.boot_id.with_name("reading")
    source.write_bytes((READS.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    guests.images.ensure(ImageFileSpec(id=READING, source=str(source), format="raw"))
    disk = exported.disk("a", by, READING)
    spec = InstanceSpec(id=id, generation=1, power="on", memory_mib=128, disks=[disk])
    guests.hypervisor.ensure(spec)
    until_it_reads(id)
    exported.export(disk, 2)
    for _ in bounded(10):
        if by == "iscsi" or "I/O error" in run(["virsh", "domstate", "--reason", id]).stdout:
            break
    grown = msgspec.structs.replace(disk, size_gib=2)
    guests.hypervisor.ensure(msgspec.structs.replace(spec, disks=[grown]))
    assert (length(id, "vda"), guests.state(id)) == (2 << 30, "running")
    until_it_reads(id)


def until_it_reads(id: str) -> None:
    before = reads(id)
    for _ in bounded(30):
        if reads(id) > before + 100:
            return


def reads(id: str) -> int:
    """How often the guest has read of its disk."""
    words = run(["virsh", "domblkstat", id, "vda"]).stdout.split()
    return int(words[words.index("rd_req") + 1])


def test_a_disk_that_nobody_serves_is_not_waited_for(guests: Guests, exported: Exported, id: str) -> None:
    guests.ensure(id)
    lost = DiskSpec(volume="vol-0", attachment="volattach-0", slot="b", export="127.0.0.9", secret="x" * 16)
    with pytest.raises(Failure, match=r"127\.0\.0\.9, TCP port 860"):
        guests.ensure(id, more=[lost])
    assert guests.state(id) == "running"
