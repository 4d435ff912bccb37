"""Real guests of the libvirt hypervisor, in a private host: the tiny image, a volume each, and what they say."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.libvirtd import bounded

from cumulet.drivers.contract import Seen
from cumulet.drivers.hypervisor.domain_xml import Directories
from cumulet.drivers.hypervisor.libvirt import LibvirtHypervisor
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.places import volume_file
from cumulet.drivers.specs import DiskSpec, ImageFileSpec, InstanceSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run
from cumulet.lib.rbd import Pool

_IMAGE = "imf-00000000000000001"
_KERNEL, _RAMDISK = "imf-0000000000000000a", "imf-0000000000000000b"


class Changes:
    """The ids that the hypervisor told of."""

    def __init__(self) -> None:
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()

    def tell(self, id: str) -> None:
        self._told.put(id)

    def clear(self) -> None:
        while not self._told.empty():
            self._told.get()

    def next(self, seconds: float) -> str:
        return self._told.get(timeout=seconds)


class Guests:
    """A host's drivers over one directory; guests run the tiny image without a network unless told otherwise."""

    def __init__(self, directory: Path, tiny: Path, devices: Path | None = None, pool: Pool | None = None) -> None:
        kept = directory / "volumes", directory / "images", directory / "consoles"
        self.directories = Directories(*kept, devices, pool)
        self.boot_id = directory / "boot_id"
        self.boot_id.write_text("the first one")
        self.changed = Changes()
        self.images = DirectoryImages(self.directories.images)
        self.volumes = DirectoryVolumes(
            self.directories.volumes, self.directories.images, Exports(directory / "run", "")
        )
        self.images.ensure(ImageFileSpec(id=_IMAGE, source=str(tiny), format="kernel"))
        self.images.ensure(ImageFileSpec(id=_KERNEL, source=str(tiny / "kernel"), format="aki"))
        self.images.ensure(ImageFileSpec(id=_RAMDISK, source=str(tiny / "initrd"), format="ari"))
        self.hypervisor = LibvirtHypervisor(
            "qemu:///system", self.directories, on_change=self.changed.tell, boot_id_file=self.boot_id
        )

    def close(self) -> None:
        self.hypervisor.close()

    def ensure(self, id: str, volume: str | None = None, more: Sequence[DiskSpec] = (), **fields: Any) -> None:
        """The guest with its volume, which is made unless another one is named, and `more` of them."""
        if volume is None:
            volume = id.replace("i-", "vol-")
            self.make_volume(volume)
        given: dict[str, Any] = {
            "generation": 1,
            "power": "on",
            "boot": "kernel",
            "kernel_image": _KERNEL,
            "ramdisk_image": _RAMDISK,
            "memory_mib": 256,
        } | fields
        self.hypervisor.ensure(InstanceSpec(id=id, disks=[DiskSpec(volume=volume), *more], **given))

    def remove(self, id: str) -> None:
        self.hypervisor.remove(id)
        self.volumes.remove(id.replace("i-", "vol-"))

    def make_volume(self, volume: str) -> Path:
        self.volumes.ensure(VolumeSpec(id=volume, size_gib=1, image_file=_IMAGE))
        return volume_file(self.directories.volumes, volume)

    def state(self, id: str) -> str:
        seen = self.hypervisor.look(id)
        return seen.state if seen else ""

    def wait_for(self, id: str, wanted: Seen) -> None:
        """Until the guest is seen so; a guest that comes to another end fails the test at the time-out."""
        for _ in bounded(30):
            if self.hypervisor.look(id) == wanted:
                return

    def wait_until_booted(self, id: str, times: int = 1) -> None:
        for _ in bounded(60):
            if self.hypervisor.console(id).count(b"cumulet tiny ready") >= times:
                return

    def says(self, id: str, text: bytes) -> bool:
        """Whether the console shows a text, within a minute."""
        return any(text in self.hypervisor.console(id) for _ in bounded(60))

    def is_told_of(self, id: str, seconds: float = 10) -> bool:
        """Whether the hypervisor tells of a guest by itself."""
        return any(self.changed.next(seconds) == id for _ in bounded(seconds))

    def qemu(self, id: str) -> int:
        """The process of the guest."""
        return int(Path(f"/run/libvirt/qemu/{id}.pid").read_text())


def boot_record(text: bytes) -> bytes:
    """A disk of one sector for a BIOS: its program writes `text` to the first serial port and halts."""
    program = bytes.fromhex(
        "31c0 8ed8"  # ds = 0
        "be157c"  # si = the text, behind this program, which is at 0x7c00
        "baf803"  # dx = the port
        "ac 84c0 7403 ee ebf8"  # each byte but the last, 0, to the port
        "f4 ebfd"  # halt, for ever
    )
    return (program + text + b"\0").ljust(510, b"\0") + b"\x55\xaa"


def does(id: str, disk: DiskSpec, command: str) -> str:
    """What QEMU says in its log when it does this to a guest's disk in the guest's stead (qemu-io's commands)."""
    log = Path(f"/var/log/libvirt/qemu/{id}.log")
    before = len(log.read_text())
    device = f"/machine/peripheral/ua-{disk.name}/virtio-backend"
    run(["virsh", "qemu-monitor-command", "--hmp", id, f'qemu-io -d {device} "{command}"'])
    return log.read_text()[before:]
