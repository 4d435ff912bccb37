"""What should be true of a thing, as plain data: the orders of the control plane and the documents of the agents.

A spec is whole: from it alone an agent can make the thing again. Outside names come of ids, by the functions below.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

import msgspec

from cumulet.drivers.image_specs import ExportSpec as ExportSpec
from cumulet.drivers.image_specs import ImageFileSpec as ImageFileSpec
from cumulet.drivers.image_specs import ObjectSpec as ObjectSpec
from cumulet.drivers.image_specs import ObjectsSpec as ObjectsSpec
from cumulet.lib.seen import Landing


class _Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class VolumeSpec(_Struct, frozen=True, tag="volume"):
    """A disk of `size_gib`; on top of the image file `image_file` where it has one."""

    id: str
    size_gib: int
    grows_to: int = 0
    """What it becomes, GiB, while a guest has it open, whose host makes it larger; a device has to be so before."""
    image_file: str | None = None
    snapshot: str | None = None
    """On top of this snapshot, which is on the same host."""
    source: str = ""
    """Address of the host that it is copied from, by the export `move_export(id)`: it is there when all is copied."""
    source_tls: bool = False
    """That export is with TLS."""
    key: str = ""
    """By which what is written to it is encrypted; empty: it is not. What it is made from has the same, or none."""


class SnapshotSpec(_Struct, frozen=True, tag="snapshot"):
    """What `volume` holds now, kept, or the same as the snapshot `source`; without one, it has been made already."""

    id: str
    volume: str | None = None
    source: str | None = None
    key: str = ""
    """That of the volume."""


class VolumeExportSpec(_Struct, frozen=True, tag="volume_export"):
    """A volume of this host for another one: for a guest there, or to be copied to it.

    Its id is the attachment's, or `move_export(volume)`. It is exported by NBD, or by iSCSI where it has a `secret`.
    """

    id: str
    volume: str
    secret: str = ""
    """That of CHAP; the user is the export's id."""
    tls: bool = False
    """By NBD, encrypted, to hosts with certificates alone."""
    client: str = ""
    """Address of the host that an export by iSCSI lets in."""
    key: str = ""
    """That of the volume; whoever is let in has what it opens."""
    direct: bool = False
    """The client has the same pool and opens the volume there; whoever has it open is shut out when this ends."""
    size_gib: int = 0
    """What it is to grow to, GiB; 0: it is as large as it should be."""


class DiskSpec(_Struct, frozen=True):
    """A volume in a guest; the first one is the root disk."""

    volume: str
    attachment: str = ""
    """Names this being there of the volume; empty: the volume's own id does."""
    slot: str = "a"
    """Its place: the guest's /dev/vd and this, where the guest goes by the order."""
    iops: int = 0
    """The most operations a second; 0: no limit."""
    throughput_mib: int = 0
    """The most MiB a second; 0: no limit."""
    size_gib: int = 0
    """What it is to grow to in the guest, GiB, and has grown to where it is exported; 0: it is as it should be."""
    export: str = ""
    """Address of the host that exports it under `name`; empty: it is on the guest's own."""
    secret: str = ""
    """That of CHAP, where it is exported by iSCSI; empty: by NBD."""
    tls: bool = False
    """It is exported by NBD with TLS."""
    key: str = ""
    """That of the volume, where it is encrypted and on the guest's own host."""

    @property
    def name(self) -> str:
        """By which the guest's host knows it."""
        return self.attachment or self.volume


class NicSpec(_Struct, frozen=True):
    """A network interface in a guest; its tap is `tap_name(interface)`, made by the network driver."""

    interface: str
    mac: str
    mtu: int = 1500


class DepartureSpec(_Struct, frozen=True):
    """Where a guest is to go while it runs. A departure that has failed is not tried again under its `number`."""

    number: int
    landing: Landing
    carries_disks: bool = True
    """Else both hosts have the same files of its disks."""


class InstanceSpec(_Struct, frozen=True, tag="instance"):
    """A guest.

    `generation` counts the starts: a guest that runs with an older one is shut down and started anew (so that a
    reboot is one more). A guest that ended by itself is not started again under the same generation, unless the
    host has been rebooted since. Shutting down is by ACPI first and by force once the time is `force_after`.
    A guest is paused for as long as the tap of one of its interfaces is in the host's own network namespace.
    Disks are plugged into a running guest and out of it; one that is to go is there until the guest lets go of it.

    A guest that is to leave (`departure`) is neither started nor changed: its memory and its disks on this host are
    carried to the other one, where it waits, paused, and here it is off then (`Seen.ended`: moved). It is not resumed
    there before it is ordered without `arrives_from`, whose `disks` are those with keys, which are known there until
    then. Without `departure` again, one that has not left stays.
    """

    id: str
    generation: int
    power: Literal["on", "off"]
    force_after: float = 0.0
    """Seconds since 1970; 0: by force at once."""
    vcpus: int = 1
    memory_mib: int = 512
    boot: Literal["bios", "uefi", "kernel"] = "bios"
    kernel_image: str | None = None
    """The image file that holds `kernel`, with boot=kernel."""
    ramdisk_image: str | None = None
    """The image file that holds `initrd`; None: it boots without one."""
    disks: list[DiskSpec] = []
    cut: list[str] = []
    """Disks, by the names of `DiskSpec.name`, that go whether the guest lets go of them or not."""
    nics: list[NicSpec] = []
    lease: int | None = None
    """The host's, by which alone it runs this guest (`agent.lease`); None: come what may."""
    departure: DepartureSpec | None = None
    arrives_from: str = ""
    """Certificate of the host that it comes from, which is let in for that."""


class RuleSpec(_Struct, frozen=True):
    """One direction's permission; the other side is a range (`cidr`) or the members of a `group`."""

    protocol: str
    """tcp, udp, icmp, a protocol number, or -1 for all."""
    from_port: int = -1
    """First port, or ICMP type; -1: any."""
    to_port: int = -1
    """Last port, or ICMP code; -1: any."""
    cidr: str | None = None
    group: str | None = None


class GroupSpec(_Struct, frozen=True, tag="group"):
    """A security group in its VPC's namespace on one host: its rules, and its members' addresses as a set."""

    id: str
    vpc: str
    ingress: list[RuleSpec] = []
    egress: list[RuleSpec] = []
    members: list[str] = []
    """Private IPv4 addresses of all the interfaces in the group, on every host."""


class PeerSpec(_Struct, frozen=True):
    """A guest on another host."""

    ip: str
    via: str
    """Underlay address of the host that it is on."""


class VpcSpec(_Struct, frozen=True, tag="vpc"):
    """What a host must know of a VPC that has guests on other hosts too: where those are."""

    id: str
    cidr: str
    vni: int
    """The VPC's number in VXLAN's header: 24 bits."""
    peers: list[PeerSpec] = []
    vlan: int = 0
    """The VPC's VLAN on the hosts' trunk, by which they are joined then; 0: by VXLAN."""


class ProfileSpec(_Struct, frozen=True):
    """A guest's instance profile, and credentials of its role; without a role that EC2 may assume, none."""

    arn: str
    id: str
    role: str = ""
    key: str = ""
    secret: str = ""
    token: str = ""
    issued: int = 0
    expires: int = 0


class MetadataSpec(_Struct, frozen=True):
    """What 169.254.169.254 answers to this guest. Names of the fields: AWS's metadata categories."""

    instance_id: str
    account_id: str
    image_id: str = ""
    kernel_id: str = ""
    ramdisk_id: str = ""
    instance_type: str = ""
    reservation_id: str = ""
    launch_index: int = 0
    hostname: str = ""
    region: str = ""
    zone: str = ""
    key_name: str = ""
    public_key: str = ""
    user_data: str = ""
    """Base64 as the API has it; empty: none."""
    security_groups: list[str] = []
    """Names."""
    security_group_ids: list[str] = []
    tags: dict[str, str] = {}
    """Served only while `tags_enabled`."""
    tags_enabled: bool = False
    launched_at: float = 0.0
    architecture: str = "x86_64"
    block_devices: dict[str, str] = {}
    """Name in `block-device-mapping/` to device: ami, root, ebs1, …"""
    http_endpoint: bool = True
    http_tokens: Literal["optional", "required"] = "optional"
    hop_limit: int = 1
    owner_id: str = ""
    subnet_id: str = ""
    vpc_id: str = ""
    life_cycle: str = "on-demand"
    profile: ProfileSpec | None = None


class InterfaceSpec(_Struct, frozen=True, tag="interface"):
    """A guest's network interface on its host: tap, anti-spoofing, groups, DHCP, NAT and metadata."""

    id: str
    vpc: str
    vpc_cidr: str
    subnet_cidr: str
    """Its first address is the gateway, as in AWS."""
    mac: str
    ip: str
    groups: list[str]
    """Ids; a group that is not here yet lets nothing through."""
    public_ip: str | None = None
    public_range: str | None = None
    """FIRST-LAST, where the address is of a pool that the host's own settings do not have."""
    hostname: str = ""
    mtu: int = 1500
    source_dest_check: bool = True
    stands_by: bool = False
    """Its guest is on its way here: the tap waits, even when it is held, and nothing is sent to it."""
    metadata: MetadataSpec | None = None


Spec = (
    ImageFileSpec
    | ExportSpec
    | VolumeSpec
    | SnapshotSpec
    | VolumeExportSpec
    | InstanceSpec
    | GroupSpec
    | VpcSpec
    | InterfaceSpec
)


WITHHELD = "withheld"
"""Stands for a volume's key in what is kept on a host."""


def keyless(spec: Spec) -> Spec:
    """What a host may keep on a disk of a spec: all but the keys of volumes, which must not lie beside them."""
    if isinstance(spec, InstanceSpec) and any(disk.key for disk in spec.disks):
        disks = [msgspec.structs.replace(disk, key=disk.key and WITHHELD) for disk in spec.disks]
        return msgspec.structs.replace(spec, disks=disks)
    if isinstance(spec, VolumeSpec | SnapshotSpec | VolumeExportSpec) and spec.key:
        return msgspec.structs.replace(spec, key=WITHHELD)
    return spec


def needs_key(spec: Spec) -> bool:
    """Whether this is what `keyless` has left of a spec with keys: only the control plane can order it."""
    if isinstance(spec, InstanceSpec):
        return any(disk.key == WITHHELD for disk in spec.disks)
    return isinstance(spec, VolumeSpec | SnapshotSpec | VolumeExportSpec) and spec.key == WITHHELD


def encode(spec: Any) -> bytes:
    """A spec, or a struct that holds one, as JSON."""
    return msgspec.json.encode(spec)


def decode(document: bytes) -> Spec:
    """The spec that `encode` wrote; raises `msgspec.ValidationError` for anything else."""
    spec: Spec = msgspec.json.decode(document, type=Spec)
    return spec


EXPORT_PORT = 10809
"""Where volumes are exported: NBD's port at IANA."""
EXPORT_TLS_PORT = 10811
"""And where they are with TLS."""
ISCSI_PORT = 860
"""And iSCSI's there; what the distribution's own tgtd listens on is the other one, 3260."""
ISCSI_LUN = 1  # of each target: LUN 0 is tgtd's own
PASSAGE_PORT = 10810
"""Where guests come in that move while they run."""
_DOMAIN_NAMESPACE = uuid.UUID("f3a1c3f2-5f0c-4b8e-9d58-0c6a0ec2f0de")
_MOVE = "volmove-"


def domain_uuid(instance: str) -> str:
    """The domain's UUID; it begins with `ec2`, by which cloud-init knows EC2."""
    return "ec2" + str(uuid.uuid5(_DOMAIN_NAMESPACE, instance))[3:]


def tap_name(interface: str) -> str:
    """The tap of an interface: at most 15 characters (Linux's IFNAMSIZ)."""
    return "tk" + interface.removeprefix("eni-")[-12:]


def lasts(spec: Spec) -> bool:
    """Whether what the spec makes outlasts its host's reboot by itself: it is on a disk."""
    return isinstance(spec, VolumeSpec | SnapshotSpec)


def is_export(id: str) -> bool:
    """Whether this is the id of a `VolumeExportSpec`."""
    return id.startswith(("volattach-", _MOVE))


def move_export(volume: str) -> str:
    """The export by which a volume is copied to another host."""
    return _MOVE + volume.removeprefix("vol-")


def moved_volume(export: str) -> str | None:
    """The volume that is copied by an export; None for an export to a guest."""
    return f"vol-{export.removeprefix(_MOVE)}" if export.startswith(_MOVE) else None


def iscsi_name(export: str) -> str:
    """The iSCSI name (RFC 3720) of the target of an export."""
    return f"iqn.2026-11.internal.cumulet:{export}"
