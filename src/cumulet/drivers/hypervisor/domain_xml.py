"""A guest as libvirt's XML: q35, virtio throughout, a tap that is there already, a serial console in a file.

https://libvirt.org/formatdomain.html is the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from cumulet.drivers.hypervisor import keys, pools
from cumulet.drivers.hypervisor.facts import NAMESPACE, PREFIX, Facts
from cumulet.drivers.places import image_files, volume_top
from cumulet.drivers.specs import (
    EXPORT_PORT,
    EXPORT_TLS_PORT,
    ISCSI_LUN,
    ISCSI_PORT,
    DiskSpec,
    InstanceSpec,
    NicSpec,
    domain_uuid,
    iscsi_name,
    tap_name,
)
from cumulet.lib.rbd import Pool

ALIAS = "ua-"
_QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
_ASKED_AT_ONCE = "<qemu:capabilities><qemu:del capability='cpu-unavailable-features'/></qemu:capabilities>"
"""libvirt asks a starting QEMU for some 400 features of its processor, one by one, unless it does not know how
(docs/decisions/0042)."""
_KERNEL_ARGUMENTS = "root=/dev/vda console=tty0 console=ttyS0 quiet no_timer_check net.ifnames=0"


@dataclass(frozen=True)
class Directories:
    """Where the volumes, the images and the consoles' files are."""

    volumes: Path
    images: Path
    consoles: Path
    devices: Path | None = None
    """Where volumes are as block devices, by their ids."""
    pool: Pool | None = None
    """Where they are in Ceph, by their ids. Neither: they are files in `volumes`."""

    @property
    def layered(self) -> bool:
        """Whether volumes are files, whose snapshots are layers below them."""
        return self.devices is None and self.pool is None


@dataclass(frozen=True)
class Emulation:
    """How guests are run."""

    accelerator: Literal["tcg", "kvm"] = "tcg"
    code_buffer_mib: int = 128
    """What QEMU may use for translated code; its own default is 1 GiB a guest."""
    spare_ports: int = 26
    """PCI Express ports that are free for hot plug."""


def console_file(directories: Directories, id: str) -> Path:
    """Where a guest's serial console is written."""
    return directories.consoles / f"{id}.log"


def domain_xml(spec: InstanceSpec, facts: Facts, directories: Directories, emulation: Emulation) -> str:
    """The whole domain, to be defined anew for each start."""
    disks = [disk_xml(disk, directories) for disk in spec.disks]
    nics = [_nic(nic) for nic in spec.nics]
    ports = ["<controller type='pci' index='0' model='pcie-root'/>"]
    ports += ["<controller type='pci' model='pcie-root-port'/>"] * (len(disks) + len(nics) + 3 + emulation.spare_ports)
    return f"""
<domain type='{"kvm" if emulation.accelerator == "kvm" else "qemu"}' xmlns:qemu='{_QEMU_NAMESPACE}'>
  <name>{escape(spec.id)}</name>
  <uuid>{domain_uuid(spec.id)}</uuid>
  <metadata>{facts.xml().replace("<guest ", f"<{PREFIX}:guest xmlns:{PREFIX}='{NAMESPACE}' ")}</metadata>
  <memory unit='MiB'>{spec.memory_mib}</memory>
  <vcpu>{spec.vcpus}</vcpu>
  {_sysinfo(spec)}
  {_boot(spec, directories)}
  {_processor(emulation)}
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <controller type='usb' model='none'/>
    {"".join(ports)}
    {"".join(disks)}
    {"".join(nics)}
    <serial type='file'>
      <source path={quoteattr(str(console_file(directories, spec.id)))} append='on'/>
      <target type='isa-serial' port='0'/>
    </serial>
    <graphics type='vnc'><listen type='socket'/></graphics>
    <video><model type='vga'/></video>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio' freePageReporting='on'/>
  </devices>
  {_ASKED_AT_ONCE}
</domain>"""


def _sysinfo(spec: InstanceSpec) -> str:
    """SMBIOS as on EC2: cloud-init knows EC2 by a UUID and a serial number that begin with `ec2`."""
    uuid = domain_uuid(spec.id)
    return f"""
  <sysinfo type='smbios'>
    <bios><entry name='vendor'>Amazon EC2</entry></bios>
    <system>
      <entry name='manufacturer'>Amazon EC2</entry>
      <entry name='product'>Cumulet</entry>
      <entry name='serial'>{uuid}</entry>
      <entry name='uuid'>{uuid}</entry>
    </system>
    <baseBoard>
      <entry name='manufacturer'>Amazon EC2</entry>
      <entry name='asset'>{escape(spec.id)}</entry>
    </baseBoard>
    <chassis><entry name='asset'>Amazon EC2</entry></chassis>
  </sysinfo>"""


def _boot(spec: InstanceSpec, directories: Directories) -> str:
    machine = "<type arch='x86_64' machine='q35'>hvm</type><smbios mode='sysinfo'/>"
    if spec.boot == "kernel":
        kernel = image_files(directories.images, spec.kernel_image or "")["kernel"]
        initrd = image_files(directories.images, spec.ramdisk_image or "")["initrd"]
        return f"""
  <os>{machine}
    <kernel>{escape(str(kernel))}</kernel>
    {f"<initrd>{escape(str(initrd))}</initrd>" if spec.ramdisk_image else ""}
    <cmdline>{_KERNEL_ARGUMENTS}</cmdline>
  </os>"""
    if spec.boot == "uefi":
        no_secure_boot = "<firmware><feature enabled='no' name='secure-boot'/></firmware>"
        return f"<os firmware='efi'>{machine}{no_secure_boot}<boot dev='hd'/></os>"
    return f"<os>{machine}<boot dev='hd'/><bios useserial='no'/></os>"


def _processor(emulation: Emulation) -> str:
    if emulation.accelerator == "kvm":
        return "<features><acpi/><apic/></features><cpu mode='host-passthrough' check='none' migratable='on'/>"
    buffer = f"<tcg><tb-cache unit='MiB'>{emulation.code_buffer_mib}</tb-cache></tcg>"
    # All that QEMU can emulate, as today's distributions ask for x86-64-v2 and v3.
    return f"<features><acpi/><apic/>{buffer}</features><cpu mode='maximum' check='none'/>"


def disk_xml(disk: DiskSpec, directories: Directories) -> str:
    """A disk, to be in the guest from its start or to be plugged in."""
    return f"""
    {_source(disk, directories)}
      <target dev={quoteattr(f"vd{disk.slot}")} bus='virtio'/>
      {_limits(disk)}
      <serial>{escape(disk.volume.replace("-", ""))}</serial>
      <alias name={quoteattr(disk_alias(disk.name))}/>
    </disk>"""


def _source(disk: DiskSpec, directories: Directories) -> str:
    """How the disk begins: an image in Ceph, a device, a file, or an export, without which the guest is paused until
    that is there again.

    The host caches nothing of a device: what LVM takes a snapshot of is all that the guest was told is written.
    """
    if not disk.export and directories.pool is not None:
        return f"""<disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='writeback' discard='unmap' detect_zeroes='unmap'/>
      {pools.source(directories.pool, disk.volume, keys.encryption(disk))}"""
    if not disk.export and directories.devices is not None:
        return f"""<disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='none' io='native' discard='unmap' detect_zeroes='unmap'/>
      <source dev={quoteattr(str(directories.devices / disk.volume))}>{keys.encryption(disk)}</source>"""
    if not disk.export:
        return f"""<disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='writeback' discard='unmap' detect_zeroes='unmap'/>
      {keys.source(disk, volume_path(directories, disk))}"""
    wait = "error_policy='stop' rerror_policy='stop'"
    return f"""<disk type='network' device='disk'>
      <driver name='qemu' type='raw' cache='writeback' discard='unmap' {wait}/>
      {_iscsi(disk) if disk.secret else _nbd(disk)}"""


def export_port(disk: DiskSpec) -> int:
    """Of a disk that is exported by NBD."""
    return EXPORT_TLS_PORT if disk.tls else EXPORT_PORT


def _nbd(disk: DiskSpec) -> str:
    return f"""<source protocol='nbd' name={quoteattr(disk.name)}{" tls='yes'" if disk.tls else ""}>
        <host name={quoteattr(disk.export)} port='{export_port(disk)}'/>
      </source>"""


def _iscsi(disk: DiskSpec) -> str:
    """The secret itself is told to libvirt alone (`chap`), by the name of the disk."""
    return f"""<source protocol='iscsi' name={quoteattr(f"{iscsi_name(disk.name)}/{ISCSI_LUN}")}>
        <host name={quoteattr(disk.export)} port='{ISCSI_PORT}'/>
        <auth username={quoteattr(disk.name)}><secret type='iscsi' usage={quoteattr(disk.name)}/></auth>
      </source>"""


def volume_path(directories: Directories, disk: DiskSpec) -> Path:
    """The file that a guest writes to: the top layer of the volume."""
    return volume_top(directories.volumes, disk.volume).absolute()


def disk_alias(name: str) -> str:
    """libvirt's name of a disk; names that users of libvirt choose begin with `ua-`."""
    return f"{ALIAS}{name}"


def _limits(disk: DiskSpec) -> str:
    iops = f"<total_iops_sec>{disk.iops}</total_iops_sec>" if disk.iops else ""
    throughput = f"<total_bytes_sec>{disk.throughput_mib << 20}</total_bytes_sec>" if disk.throughput_mib else ""
    return f"<iotune>{throughput}{iops}</iotune>" if iops or throughput else ""


def _nic(nic: NicSpec) -> str:
    return f"""
    <interface type='ethernet'>
      <mac address={quoteattr(nic.mac)}/>
      <target dev={quoteattr(tap_name(nic.interface))} managed='no'/>
      <model type='virtio'/>
      <mtu size='{nic.mtu}'/>
    </interface>"""
