"""The drivers of a host's roles, as the configuration names them."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from cumulet.agent import fence
from cumulet.agent.agent import Question
from cumulet.agent.documents import Documents
from cumulet.agent.heartbeat import Room
from cumulet.agent.measured import Measured
from cumulet.drivers.contract import Driver
from cumulet.lib import files
from cumulet.lib.clock import Clock
from cumulet.lib.command import run
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.lib.seen import Departure, Landing

if TYPE_CHECKING:
    from cumulet.drivers.image.directory import DirectoryImages
    from cumulet.lib.lvm import Group
    from cumulet.lib.rbd import Pool

log = Log("parts")
RUN_DIRECTORY = Path("/run/cumulet")
ETHERNET_MTU = 1500
LEAST_MTU, MOST_MTU = 576, 65535
"""RFC 791: what each host must be able to take; and the largest that IP has."""
OnChange = Callable[[str], None]


_ENCRYPTS = {"encrypts": ["luks"]}
"""What a host says of itself that can keep encrypted volumes."""


_OPENS = {"opens": ["rbd"]}
"""And what one says whose guests open by themselves what is in the pool that it shares."""


class Part(NamedTuple):
    """A role's driver, its read-only questions, and what its host says of itself for placement."""

    driver: Driver
    questions: dict[str, Question]
    facts: dict[str, list[str]] = {}
    store: str = ""
    """Of the pool that its volumes are in, the name by which hosts know that they have the same; empty: in none."""
    room: Callable[[], Room] | None = None
    """Of volumes that are not in the state directory's file system."""


def drivers(config: Config, on_change: OnChange, clock: Clock | None = None) -> dict[str, Part]:
    """Each role's driver; `on_change(instance id)` is called when a guest has changed by itself."""
    if config.drivers == "fake":
        return fake_drivers(
            config.state_dir / "world",
            on_change,
            clock,
            image_directory=Path(config.image_dir) if config.image_dir else None,
            volume_directory=Path(config.volume_dir) if config.volume_dir else None,
        )
    return real_drivers(config, on_change)


def fake_drivers(
    directory: Path,
    on_change: OnChange,
    clock: Clock | None = None,
    *,
    image_directory: Path | None = None,
    volume_directory: Path | None = None,
) -> dict[str, Part]:
    """Drivers whose world is a directory of small files; images or volumes may be in another one, for many hosts."""
    from cumulet.drivers.fake_world import FakeWorld
    from cumulet.drivers.hypervisor.fake import FakeHypervisor
    from cumulet.drivers.image.fake import FakeImages
    from cumulet.drivers.network.fake import FakeNetwork
    from cumulet.drivers.volume.fake import FakeVolumes

    world = FakeWorld(directory)
    store = FakeWorld(image_directory) if image_directory else world
    disks = FakeWorld(volume_directory) if volume_directory else world
    hypervisor, images = FakeHypervisor(world, on_change, clock=clock, disks=disks), FakeImages(store)
    return {
        "compute": Part(
            hypervisor,
            _questions(hypervisor),
            {"architectures": ["x86_64"], "boots": ["bios", "kernel", "uefi"]},
        ),
        "network": Part(FakeNetwork(world), {}),
        "volume": Part(FakeVolumes(world, store, disks), {}, _ENCRYPTS),
        "image": Part(
            images,
            {
                "facts": images.facts,
                "progress": images.progress,
                "link": images.link,
                "room": lambda id: images.room(),
                "shared": lambda id: msgspec.json.encode(image_directory is not None),
            },
        ),
    }


def real_drivers(config: Config, on_change: OnChange) -> dict[str, Part]:
    """Drivers of libvirt, of the kernel's network, and of directories below the state directory, of LVM or of Ceph."""
    from cumulet.agent.metadata import MetadataServer
    from cumulet.drivers.hypervisor.domain_xml import Directories, Emulation
    from cumulet.drivers.hypervisor.firmware import boots
    from cumulet.drivers.hypervisor.killing import Killed
    from cumulet.drivers.hypervisor.libvirt import LibvirtHypervisor
    from cumulet.drivers.hypervisor.passage import Passage
    from cumulet.drivers.image.directory import DirectoryImages
    from cumulet.drivers.image.giving import Giving
    from cumulet.drivers.image.inspect import Limits
    from cumulet.drivers.network.linux import LinuxNetwork
    from cumulet.drivers.network.settings import NetworkSettings
    from cumulet.lib.kvm import kvm_works

    state = config.state_dir
    check_volume_driver(config)
    group = volume_group(config)
    devices = group.devices if group else None
    pool = volume_pool(config)
    directories = Directories(config.volume_directory(), config.image_directory(), state / "consoles", devices, pool)
    chosen = _in_thread(lambda: config.emulation == "auto" and kvm_works(RUN_DIRECTORY / "kvm"))

    def emulation() -> Emulation:
        return Emulation("kvm" if config.emulation == "kvm" or chosen.result() else "tcg")

    killed = Killed(fence.directory(state) / "killed")
    passage = Passage(RUN_DIRECTORY / "moves", state / "passage.pem", config.tunnel_address)
    hypervisor = LibvirtHypervisor(
        config.libvirt_uri, directories, emulation, on_change, killed=killed, passage=passage
    )
    giving = Giving(directories.images, state / "giving.pem", config.tunnel_address)
    images = DirectoryImages(directories.images, Limits(virtual_size=config.image_max_gib << 30), giving)
    settings = NetworkSettings(
        state_directory=RUN_DIRECTORY / "network",
        public_interface=config.public_interface or default_interface(),
        public_pool=config.public_pool,
        transit_range=config.transit_cidr,
        tunnel_address=config.tunnel_address or None,
        tunnel_mtu=min(guest_mtu(config), _tunnel_mtu(config) or MOST_MTU),
        vlan_interface=config.vlan_interface or None,
        vlan_mtu=guest_mtu(config),
        dns_servers=config.dns_servers or host_dns_servers(),
        domain="ec2.internal" if config.region == "us-east-1" else f"{config.region}.compute.internal",
    )
    return {
        "compute": Part(
            hypervisor,
            _questions(hypervisor),
            {"architectures": ["x86_64"], "boots": boots()},
        ),
        "network": Part(LinuxNetwork(settings, MetadataServer(state / "metadata")), {}),
        "volume": volume_part(config, group or pool),
        "image": image_part(images, shared=bool(config.image_dir)),
    }


def check_volume_driver(config: Config) -> None:
    """Raises `Failure` where this host has volumes that were kept otherwise: they would be made anew, and empty."""
    mark, place = config.state_dir / "volume-driver", "directory"
    if config.volume_driver == "lvm":
        place = f"lvm {config.volume_group} {config.volume_thin_pool}".strip()
    elif config.volume_driver == "rbd":
        place = f"rbd {config.rbd_pool}"
    before = mark.read_text().strip() if mark.exists() else "directory"
    if before == place:
        return
    store = volume_store(config)
    if store.exists():
        shared = "a directory of volumes" if before == "directory" else f"volumes in {before}"
        again = "volume_dir" if before == "directory" else "that"
        text = f"the settings volume_… say {place}, but this host shares {shared} with others"
        raise Failure(f"{text}: set {again} again, or first have none (`cumulet host drain`), and remove {store}")
    held = [id for id in Documents(config.state_dir / "agents" / "volume").living() if id.startswith(("vol-", "snap-"))]
    if held:
        text = f"the settings volume_… say {place}, but this host keeps {len(held)} volumes and snapshots in {before}"
        raise Failure(f"{text}: set that again, or first have none (`cumulet host drain`)")
    files.write(mark, place.encode(), durable=True)


def volume_store(config: Config) -> Path:
    """Where this host remembers which directory of volumes, or which pool, it shares with others."""
    return config.state_dir / "volume-store"


def volume_group(config: Config) -> Group | None:
    """The volume group of this host's volumes; None where it keeps them in a directory. Raises `Failure` where it, or
    its thin pool, is not there."""
    if config.volume_driver != "lvm" or config.drivers == "fake":
        return None
    from cumulet.lib.lvm import Group

    group = Group(config.volume_group, config.volume_thin_pool)
    group.room()
    return group


def volume_pool(config: Config) -> Pool | None:
    """The pool of this host's volumes; None where it keeps them otherwise. Raises `Failure` where it is not reached."""
    if config.volume_driver != "rbd" or config.drivers == "fake":
        return None
    from cumulet.drivers.volume.rbd import pool_of

    pool = pool_of(config)
    pool.volumes()
    pool.key()
    return pool


def volume_part(config: Config, place: Group | Pool | None) -> Part:
    """The driver of volumes in this group, in this pool, or in a directory."""
    from cumulet.drivers.volume.exports import Exports
    from cumulet.lib.rbd import Pool

    certificates = Path(config.volume_certificate_dir)
    exports = Exports(RUN_DIRECTORY / "volumes", config.tunnel_address, certificates=certificates)
    if isinstance(place, Pool):
        from cumulet.drivers.volume import rbd

        pool = place
        opened = config.state_dir / "volumes-opened"
        volumes = rbd.RbdVolumes(pool, config.image_directory(), exports, config.host(), opened)
        store = rbd.identity(pool, volume_store(config))
        room = Measured(lambda: Room(pool.room().size >> 30, disk_exact=False))
        return Part(volumes, {}, _OPENS | _ENCRYPTS, store, room)
    if place is not None:
        group = place
        from cumulet.drivers.volume.lvm import LvmVolumes, room_gib
        from cumulet.drivers.volume.wiping import take_in

        if "volume" in config.role_names():
            take_in(group)
        driver = LvmVolumes(group, config.image_directory(), exports)
        # a heartbeat must not wait for LVM, which waits for its disks
        room = Measured(lambda: Room(room_gib(group), disk_exact=not group.pool))
        return Part(driver, {}, _ENCRYPTS, room=room)
    from cumulet.drivers.volume.directory import DirectoryVolumes

    return Part(DirectoryVolumes(config.volume_directory(), config.image_directory(), exports), {}, _ENCRYPTS)


def image_part(images: DirectoryImages, *, shared: bool = False) -> Part:
    """The driver of images in a directory, which hosts may have `shared`, with its questions."""
    questions: dict[str, Callable[[str], object]]
    questions = {
        "facts": images.facts,
        "progress": images.progress,
        "link": images.link,
        "room": lambda id: images.room(),
        "shared": lambda id: shared,
    }
    return Part(images, {name: _as_json(ask) for name, ask in questions.items()})


def _as_json(ask: Callable[[str], object]) -> Question:
    return lambda id: msgspec.json.encode(ask(id))


class _Hypervisor(Protocol):
    """What can be asked of one about a guest."""

    def console(self, id: str) -> bytes: ...
    def disks(self, id: str) -> list[str]: ...
    def cut(self, id: str) -> list[str]: ...
    def landing(self, id: str) -> Landing: ...
    def departure(self, id: str) -> Departure: ...


def _questions(hypervisor: _Hypervisor) -> dict[str, Question]:
    return {
        "console": hypervisor.console,
        "disks": lambda id: msgspec.json.encode(hypervisor.disks(id)),
        "cut": lambda id: msgspec.json.encode(hypervisor.cut(id)),
        "landing": lambda id: msgspec.json.encode(hypervisor.landing(id)),
        "departure": lambda id: msgspec.json.encode(hypervisor.departure(id)),
    }


def guest_mtu(config: Config) -> int:
    """The largest packet of this host's guests; raises `Failure` for one that cannot go to other hosts."""
    fits = _trunk_mtu(config) if config.vlan_interface else _tunnel_mtu(config)
    if config.tunnel_address and not (fits or config.guest_mtu):
        where = f"the tunnel address {config.tunnel_address} is on the loopback"
        raise Failure(f"{where}: the setting guest_mtu must say what fits through the tunnels")
    wanted = config.guest_mtu or fits or ETHERNET_MTU
    if not LEAST_MTU <= wanted <= (fits or MOST_MTU):
        way = f"by the trunk {config.vlan_interface}" if config.vlan_interface else "through the tunnels"
        limit = f"{fits}, what fits {way}" if fits else str(MOST_MTU)
        raise Failure(f"the setting guest_mtu is {wanted}; it is {LEAST_MTU} to {limit}")
    return wanted


def _trunk_mtu(config: Config) -> int:
    from cumulet.drivers.network import tunnel

    return ETHERNET_MTU if config.drivers == "fake" else tunnel.trunk_mtu(config.vlan_interface)


def _tunnel_mtu(config: Config) -> int | None:
    from cumulet.drivers.network import settings, tunnel

    if not config.tunnel_address:
        return None
    if config.drivers == "fake":
        return ETHERNET_MTU - settings.TUNNEL_OVERHEAD
    return tunnel.guest_mtu(config.tunnel_address)


def _in_thread(find_out: Callable[[], bool]) -> Future[bool]:
    """What takes seconds to find out, and need not be known before the first guest."""
    pool = ThreadPoolExecutor(1, "kvm")
    found = pool.submit(find_out)
    pool.shutdown(wait=False)
    return found


def default_interface() -> str | None:
    """The interface of the default route; None where there is none."""
    words = run(["ip", "-4", "route", "show", "default"], check=False).stdout.split()
    return words[words.index("dev") + 1] if "dev" in words else None


def host_dns_servers(file: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The servers that this host asks and that a VPC can ask too: not those on its loopback."""
    text = file.read_text() if file.exists() else ""
    found = re.findall(r"^\s*nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$", text, re.M)
    return [server for server in found if not server.startswith("127.")]
