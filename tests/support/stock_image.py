"""A stock cloud image: Debian 12 as its packages make it, with cloud-init and SSH, that boots by BIOS and by UEFI.

It is built with no loop device, no mounted file system and no module of the kernel: mmdebstrap makes a tree,
`mke2fs -d` a file system of it, and GRUB's two images are put where a BIOS and a firmware look for them. That takes
some minutes and Debian's archive, so the result is kept in the user's cache, by a number of all that is written here.

    BIOS: sector 0 (boot.img) names the first sector of the BIOS boot partition, which has the core image.
    UEFI: the EFI system partition has the image as EFI/BOOT/BOOTX64.EFI.

Both are whole (no module is loaded later), find the file system by its label, and read /boot/grub/grub.cfg there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
from pathlib import Path

from cumulet.lib.command import run
from cumulet.lib.errors import Failure

MIRROR = "CUMULET_DEBIAN_MIRROR"
"""The variable that names another archive of Debian than deb.debian.org."""
_PACKAGES = (
    *("linux-image-cloud-amd64", "systemd-sysv", "udev", "dbus", "zstd"),
    *("grub-common", "grub-pc-bin", "grub-efi-amd64-bin", "dosfstools", "mtools", "fdisk", "e2fsprogs"),
    *("cloud-init", "cloud-guest-utils", "openssh-server", "sudo"),
    *("ifupdown", "isc-dhcp-client", "iproute2", "netbase"),
)
_FILES = {
    "etc/fstab": "LABEL=root / ext4 errors=remount-ro 0 1\n",
    "etc/hostname": "not-set-yet\n",
    "etc/cloud/cloud.cfg.d/01_locale.cfg": "locale: C.UTF-8\n",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n",
    "boot/grub/grub.cfg": """\
set timeout=0
menuentry Debian {
    linux /vmlinuz root=LABEL=root ro console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
""",
}
_FIRST_WORDS = """\
search --label root --set root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
"""
_MODULES = ["part_gpt", "ext2", "search", "search_label", "configfile", "normal", "linux", "gzio", "test", "echo"]
_FORMATS = {"i386-pc": ["biosdisk"], "x86_64-efi": ["efi_gop", "fat"]}
_SECTOR, _MIB = 512, 1 << 20
_BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
_EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_BIOS_AT, _EFI_AT, _ROOT_AT = 1, 2, 18
"""Where the partitions begin, in MiB."""
_NAMES_CORE, _NAMES_REST = 0x5C, 0x1F4
"""Where boot.img has the number of the core's first sector, and the core's first sector that of the next (8 bytes)."""


def build(cache: Path) -> Path:
    """The image's file in `cache`, made there if this recipe's is not; raises `Failure`."""
    made = cache / f"debian-12-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]}.qcow2"
    if made.exists():
        return made
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        raise Failure("a stock image is built by root with mmdebstrap: apt-get install mmdebstrap")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".stock-") as scratch:
        tree, disk, aside = Path(scratch) / "tree", Path(scratch) / "disk", Path(scratch) / "image"
        _install(tree)
        boot, core, efi = _boot_loaders(tree)
        _configure(tree)
        _make_disk(tree, disk, boot, core, efi)
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, aside], timeout=600)
        aside.rename(made)
    return made


def _install(tree: Path) -> None:
    mirror = os.environ.get(MIRROR, "http://deb.debian.org/debian")
    options = ["--mode=root", "--variant=minbase", "--components=main", f"--include={','.join(_PACKAGES)}"]
    run(["mmdebstrap", "--quiet", *options, "bookworm", tree, mirror], timeout=3000)


def _boot_loaders(tree: Path) -> tuple[bytes, bytes, bytes]:
    """boot.img, the core image for it, and the file system with the image for a firmware."""
    work = tree / "mnt"
    (work / "first").write_text(_FIRST_WORDS)
    for format, modules in _FORMATS.items():
        words = [f"--format={format}", f"--output=/mnt/{format}", "--config=/mnt/first", "--prefix=/boot/grub"]
        _inside(tree, "grub-mkimage", *words, *_MODULES, *modules)
    size = (_ROOT_AT - _EFI_AT) * 1024
    _inside(tree, "mkfs.vfat", "-C", "/mnt/esp", str(size))
    for directory in ("::EFI", "::EFI/BOOT"):
        _inside(tree, "mmd", "-i", "/mnt/esp", directory)
    _inside(tree, "mcopy", "-i", "/mnt/esp", "/mnt/x86_64-efi", "::EFI/BOOT/BOOTX64.EFI")
    boot = tree / "usr/lib/grub/i386-pc/boot.img"
    found = boot.read_bytes(), (work / "i386-pc").read_bytes(), (work / "esp").read_bytes()
    for file in work.iterdir():
        file.unlink()
    return found


def _configure(tree: Path) -> None:
    """What an image's maker sets; what belongs to one machine alone is taken away."""
    for name, text in _FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").write_text("")
    for directory in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(tree / directory)
        (tree / directory).mkdir()
    (tree / "etc/resolv.conf").unlink(missing_ok=True)


def _make_disk(tree: Path, disk: Path, boot: bytes, core: bytes, efi: bytes) -> None:
    """The partition of the root is the last one, so that it can grow."""
    used = int(run(["du", "--summarize", "--block-size=1M", tree]).stdout.split()[0])
    root_mib = used + used // 4 + 64
    begin = (
        f"label: gpt\nstart={_BIOS_AT}MiB, size={_EFI_AT - _BIOS_AT}MiB, type={_BIOS_BOOT}\n"
        f"start={_EFI_AT}MiB, size={_ROOT_AT - _EFI_AT}MiB, type={_EFI_SYSTEM}\n"
        f"start={_ROOT_AT}MiB, size={root_mib}MiB, type={_LINUX}\n"
    )
    table = tree / "mnt" / "table"
    with table.open("wb") as file:
        file.truncate((_ROOT_AT + root_mib + 1) * _MIB)
    run(["chroot", tree, "sfdisk", "--quiet", "/mnt/table"], stdin=begin)
    table.rename(disk)
    first = _BIOS_AT * _MIB // _SECTOR
    with disk.open("r+b") as file:
        start = bytearray(file.read(_SECTOR))
        start[:440] = _with_sector(boot, _NAMES_CORE, first)[:440]  # behind it the partition table begins
        for at, content in ((0, bytes(start)), (_BIOS_AT * _MIB, _with_sector(core, _NAMES_REST, first + 1))):
            file.seek(at)
            file.write(content)
        file.seek(_EFI_AT * _MIB)
        file.write(efi)
    place = f"offset={_ROOT_AT * _MIB}"
    options = ["-q", "-F", "-t", "ext4", "-L", "root", "-E", place, "-d", str(tree)]
    run(["mke2fs", *options, disk, f"{root_mib}M"], timeout=600)


def _with_sector(image: bytes, at: int, sector: int) -> bytes:
    return image[:at] + struct.pack("<Q", sector) + image[at + 8 :]


def _inside(tree: Path, *words: str) -> None:
    run(["chroot", tree, *words], timeout=300)
