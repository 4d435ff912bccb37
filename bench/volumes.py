"""Volumes: the bare file, the volume on its own host, and the volume by exports, by `qemu-img bench` in turns.

What is written by an export is on the disk before it is answered (docs/decisions/0020), so it is set beside the bare
file both with the host's cache and with each write synced.

A guest's QEMU reads and writes a volume by the same block drivers. The files are written over once before, so that
no file system allocates while it is measured, and the caches are dropped before each reading.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, median
from cumulet.drivers.places import volume_top
from cumulet.drivers.specs import ISCSI_LUN, SnapshotSpec, VolumeExportSpec, VolumeSpec, iscsi_name
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run

VOLUME, NAME, BY_ISCSI = "vol-00000000000000001", "volattach-00000000000000001", "volattach-00000000000000002"
SECRET = "0123456789abcdef"
SIZE = 1 << 30
MIB = 1 << 20
BARE, SYNCED = "bare file", "bare file with each write synced"
WRITE = ["-w", "--pattern", "165"]
"""No zeros: those are taken away, and not written."""
LOADS = {
    "4 KiB reads, spread": ["-s", "4096", "-S", str(MIB + 4096), "-c", "20000", "-d", "32"],
    "4 KiB writes, spread": [*WRITE, "-s", "4096", "-S", str(MIB + 4096), "-c", "4000", "-d", "32"],
    "1 MiB reads, in order": ["-s", str(MIB), "-c", "512", "-d", "8"],
    "1 MiB writes, in order": [*WRITE, "-s", str(MIB), "-c", "256", "-d", "8"],
}


def measure(rounds: int) -> list[Figure]:
    """Each round measures all of them, so that each has its share of whatever else the machine does."""
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as directory:
        nbd, iscsi = _free_port(), _free_port()
        exports = Exports(Path(directory) / "run", "127.0.0.1", nbd, iscsi)
        volumes = DirectoryVolumes(Path(directory) / "volumes", Path(directory) / "images", exports)
        try:
            return [*_throughput(Path(directory), volumes, (nbd, iscsi), rounds), *_making(volumes, rounds)]
        finally:
            for seen in volumes.observe():
                volumes.remove(seen.id)


def _throughput(directory: Path, volumes: DirectoryVolumes, ports: tuple[int, int], rounds: int) -> list[Figure]:
    bare = directory / "bare.raw"
    run(["qemu-img", "create", "-q", "-f", "raw", bare, str(SIZE)])
    volumes.ensure(VolumeSpec(id=VOLUME, size_gib=1))
    top = volume_top(volumes.directory, VOLUME)
    for format, file in (("raw", bare), ("qcow2", top)):
        run(
            [
                "qemu-io",
                "-f",
                format,
                "-c",
                f"write -P 1 0 {SIZE // 2}",
                "-c",
                f"write -P 1 {SIZE // 2} {SIZE // 2}",
                file,
            ]
        )
    nbd, iscsi = ports
    by_nbd = f"nbd://127.0.0.1:{nbd}/{NAME}"
    by_iscsi = f"iscsi://{BY_ISCSI}%{SECRET}@127.0.0.1:{iscsi}/{iscsi_name(BY_ISCSI)}/{ISCSI_LUN}"
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for what, load in LOADS.items():
            times = {BARE: _seconds(load, "raw", str(bare)), "volume here": _seconds(load, "qcow2", str(top))}
            if "writes" in what:
                times[SYNCED] = _seconds(load, "raw", str(bare), "writethrough")
            volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
            times["volume by NBD"] = _seconds(load, "raw", by_nbd)
            volumes.remove(NAME)
            volumes.ensure(VolumeExportSpec(id=BY_ISCSI, volume=VOLUME, secret=SECRET, client="127.0.0.1"))
            times["volume by iSCSI"] = _seconds(load, "raw", by_iscsi)
            volumes.remove(BY_ISCSI)
            for how, seconds in times.items():
                found.setdefault((what, how), []).append(seconds)
    return [
        Figure(f"{what}, {how}", median(times) * 1000, "ms", note=_note(found, what, median(times), rounds))
        for (what, how), times in found.items()
    ]


def _note(found: dict[tuple[str, str], list[float]], what: str, seconds: float, rounds: int) -> str:
    shares = {how: median(found[what, how]) / seconds for how in (BARE, SYNCED) if (what, how) in found}
    return f"{', '.join(f'{share:.0%} of the {how}' for how, share in shares.items())}; median of {rounds}"


def _seconds(load: list[str], format: str, file: str, cache: str = "writeback") -> float:
    os.sync()  # what is still to be written cannot be dropped
    Path("/proc/sys/vm/drop_caches").write_text("1")
    said = run(["qemu-img", "bench", "-f", format, "-t", cache, *load, file], timeout=300).stdout
    found = re.search(r"Run completed in ([\d.]+) seconds", said)
    assert found is not None, said
    return float(found[1])


def _making(volumes: DirectoryVolumes, rounds: int) -> list[Figure]:
    """Volumes a second, and one snapshot of a large one."""
    began = time.monotonic()
    for number in range(1000):
        volumes.ensure(VolumeSpec(id=f"vol-1{number:016x}", size_gib=1))
    rate = 1000 / (time.monotonic() - began)
    large = "vol-20000000000000000"
    volumes.ensure(VolumeSpec(id=large, size_gib=100))
    times = []
    for number in range(rounds):
        began = time.monotonic()
        volumes.ensure(SnapshotSpec(id=f"snap-2{number:016x}", volume=large))
        times.append(time.monotonic() - began)
    return [
        Figure("volumes made by the driver", rate, "/s", target=">= 100", note="1,000 of them, each on the disk"),
        Figure("a snapshot of 100 GiB", median(times) * 1000, "ms", target="< 1000", note=f"median of {rounds}"),
    ]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])
