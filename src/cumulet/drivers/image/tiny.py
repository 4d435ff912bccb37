"""The tiny image: a guest all in memory (Linux, busybox, dropbear) for a direct kernel boot, built in seconds.

The kernel comes from the distribution's package for clouds (downloaded and unpacked, not installed), busybox and
dropbear from this machine. `guest/` has its scripts: DHCP, then key, host name and user data from the metadata
service, SSH as root and as `cumulet`, a console on ttyS0, and the power button.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cumulet.drivers.image.cpio import Archive
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

Progress = Callable[[str], None]

_KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Debian's and Ubuntu's."""
_MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "virtio_balloon", "evdev", "button", "af_packet", "ext4",
)  # fmt: skip
_PROGRAMS = ("busybox", "dropbear", "dropbearkey")
_GUEST = Path(__file__).parent / "guest"
_SCRIPTS = {
    "rc": "etc/rc",
    "network": "etc/network",
    "dhcp": "etc/dhcp",
    "imds": "bin/imds",
    "imds-exchange": "bin/imds-exchange",
    "power-button": "etc/acpi/PWRF/00000080",
}
_TEXTS = {
    "etc/passwd": "root:*:0:0:root:/root:/bin/sh\ncumulet:*:1000:1000:Cumulet:/home/cumulet:/bin/sh\n",
    "etc/group": "root:*:0:\ntty:*:5:\ncumulet:*:1000:\n",
    "etc/shells": "/bin/sh\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}
_DIRECTORIES = (
    "bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "etc/dropbear", "home", "home/cumulet", "home/cumulet/.ssh",
    "lib", "lib/modules", "lib64", "mnt", "proc", "root", "root/.ssh", "run", "sys", "tmp", "usr", "var", "var/log",
)  # fmt: skip


def build(directory: Path, *, progress: Progress | None = None) -> Path:
    """Make `kernel` and `initrd` in `directory`, unless they are there from the same inputs; gives `directory`.

    It can be the source of an image file of format `kernel`. The same inputs give the same bytes. The kernel's
    package is kept in `directory/packages`. Raises `Failure` when a program or a package is missing.
    """
    say = progress or (lambda _: None)
    inputs = json.dumps({"package lists": _package_lists(), "files": _digests()}, indent=1, sort_keys=True)
    note = directory / "inputs"
    results = [directory / name for name in ("kernel", "initrd")]
    if note.exists() and note.read_text() == inputs and all(result.exists() for result in results):
        return directory
    packages = _kernel_packages()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".unpacked-") as scratch:
        for name, version in packages.items():
            say(f"kernel: {name} {version}")
            run(["dpkg-deb", "-x", _package(directory / "packages", name, version), scratch], timeout=120)
        kernel = _only(Path(scratch), "boot/vmlinuz-*").read_bytes()
        say("initrd: busybox, dropbear, modules and scripts")
        initrd = _initrd(_only(Path(scratch), "lib/modules/*", "usr/lib/modules/*"))
    note.unlink(missing_ok=True)
    for name, contents in (("kernel", kernel), ("initrd", initrd), ("inputs", inputs.encode())):
        _write(directory / name, contents)
    return directory


def _package_lists() -> int:
    """When apt's lists have changed last: asking apt itself for versions takes a second."""
    lists = Path("/var/lib/apt/lists")
    return lists.stat().st_mtime_ns if lists.exists() else 0


def _kernel_packages() -> dict[str, str]:
    """Names and versions of the packages that hold the kernel and its modules."""
    for meta in _KERNELS:
        depends = run(["apt-cache", "depends", meta], check=False).stdout
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        if found:
            image = found[1]
            names = (image, image.replace("linux-image-", "linux-modules-"))
            return {name: version for name in names if (version := _version(name))}
    raise Failure(f"building the tiny image: none of {', '.join(_KERNELS)} is known to apt; try: apt-get update")


def _version(package: str) -> str:
    found = re.search(r"Candidate: (\S+)", run(["apt-cache", "policy", package], check=False).stdout)
    return found[1] if found and found[1] != "(none)" else ""


def _package(cache: Path, name: str, version: str) -> Path:
    """The package's file, downloaded unless it is in the cache; of another version nothing is kept."""
    wanted = f"{name}_{version.replace(':', '%3a')}_*.deb"
    if not list(cache.glob(wanted)):
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", f"{name}={version}"]
        run(["env", f"--chdir={cache}", *download], timeout=600)
    return _only(cache, wanted)


def _only(directory: Path, *patterns: str) -> Path:
    found = [path for pattern in patterns for path in sorted(directory.glob(pattern))]
    if not found:
        raise Failure(f"building the tiny image: no {' or '.join(patterns)} in {directory}")
    return found[0]


def _digests() -> dict[str, str]:
    files = [Path(__file__), *(_program(name) for name in _PROGRAMS), *sorted(_GUEST.iterdir())]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _program(name: str) -> Path:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not found:
        raise Failure(
            f"building the tiny image: {name} is not installed; try: apt-get install busybox-static dropbear-bin"
        )
    return Path(found)


def _write(file: Path, contents: bytes) -> None:
    aside = file.with_name(f".{file.name}.new")
    aside.write_bytes(contents)
    aside.replace(file)


def _initrd(modules: Path) -> bytes:
    archive = Archive()
    for path in _DIRECTORIES:
        archive.directory(path, 0o700 if path.endswith(".ssh") else 0o755)
    archive.character_device("dev/console", 5, 1)
    archive.link("sbin", "bin")
    archive.link("usr/bin", "../bin")
    archive.link("usr/sbin", "../bin")
    archive.link("init", "bin/busybox")
    _add_programs(archive)
    for name, path in _SCRIPTS.items():
        archive.file(path, (_GUEST / name).read_bytes(), 0o755)
    for name in ("inittab", "issue"):
        archive.file(f"etc/{name}", (_GUEST / name).read_bytes())
    for path, text in _TEXTS.items():
        archive.file(path, text.encode())
    _add_modules(archive, modules)
    return archive.finished()


def _add_programs(archive: Archive) -> None:
    programs = [_program(name) for name in _PROGRAMS]
    for program in programs:
        archive.file(f"bin/{program.name}", program.read_bytes(), 0o755)
    for applet in run([programs[0], "--list"]).stdout.split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    for library in sorted({library for program in programs[1:] for library in _libraries(program)}):
        folder = "lib64" if library.name.startswith("ld-") else "lib"
        archive.file(f"{folder}/{library.name}", library.read_bytes(), 0o755)


def _libraries(program: Path) -> list[Path]:
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", run(["ldd", program]).stdout)]


def _add_modules(archive: Archive, modules: Path) -> None:
    there = {_module_name(file): file for file in sorted(modules.rglob("*.ko*"))}
    order: dict[str, bytes] = {}
    for wanted in _MODULES:
        _with_dependencies(wanted.replace("-", "_"), there, order)
    for name, contents in order.items():
        archive.file(f"lib/modules/{name}.ko", contents)
    archive.file("lib/modules/order", "".join(f"{name}.ko\n" for name in order).encode())


def _module_name(file: Path) -> str:
    return file.name.split(".ko")[0].replace("-", "_")


def _with_dependencies(name: str, there: dict[str, Path], order: dict[str, bytes]) -> None:
    """Put a module into `order` behind those that it needs; what is not there is built into the kernel."""
    if name in order or name not in there:
        return
    contents = _unpacked(there[name])
    for needed in _needs(contents):
        _with_dependencies(needed, there, order)
    order[name] = contents


def _needs(module: bytes) -> Iterator[str]:
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    if found and found[1]:
        yield from (name.replace("-", "_") for name in found[1].decode().split(","))


def _unpacked(file: Path) -> bytes:
    match file.suffix:
        case ".xz":
            return lzma.decompress(file.read_bytes())
        case ".zst":
            with tempfile.NamedTemporaryFile() as unpacked:
                run(["zstd", "-q", "-d", "-f", file, "-o", unpacked.name])
                return Path(unpacked.name).read_bytes()
    return file.read_bytes()
