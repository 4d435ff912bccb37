"""Volumes: the bare file, the volume on its own host, and the volume by an export, by `qemu-img bench` in turns.

A guest's QEMU reads and writes a volume by the same block drivers. The files are written over once before, so that
no file system allocates while it is measured, and the caches are dropped before each reading.
"""

from __future__ import annotations

import re
import socket
import tempfile
import time
from pathlib import Path

from bench.figures import Figure, median
from cumulet.drivers.places import volume_top
from cumulet.drivers.specs import SnapshotSpec, VolumeExportSpec, VolumeSpec
from cumulet.drivers.volume.directory import DirectoryVolumes
from cumulet.drivers.volume.exports import Exports
from cumulet.lib.command import run

VOLUME, NAME = "vol-00000000000000001", "volattach-00000000000000001"
SIZE = 1 << 30
MIB = 1 << 20
LOADS = {
    "4 KiB reads, spread": ["-s", "4096", "-S", str(MIB + 4096), "-c", "20000", "-d", "32"],
    "4 KiB writes, spread": ["-w", "-s", "4096", "-S", str(MIB + 4096), "-c", "4000", "-d", "32"],
    "1 MiB reads, in order": ["-s", str(MIB), "-c", "512", "-d", "8"],
    "1 MiB writes, in order": ["-w", "-s", str(MIB), "-c", "256", "-d", "8"],
}


def measure(rounds: int) -> list[Figure]:
    """Each round measures all three, so that each has its share of whatever else the machine does."""
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as directory:
        exports = Exports(Path(directory) / "run", "127.0.0.1", _free_port())
        volumes = DirectoryVolumes(Path(directory) / "volumes", Path(directory) / "images", exports)
        try:
            return [*_throughput(Path(directory), volumes, exports.port, rounds), *_making(volumes, rounds)]
        finally:
            for seen in volumes.observe():
                volumes.remove(seen.id)


def _throughput(directory: Path, volumes: DirectoryVolumes, port: int, rounds: int) -> list[Figure]:
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
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for what, load in LOADS.items():
            found.setdefault((what, "bare file"), []).append(_seconds(load, "raw", str(bare)))
            found.setdefault((what, "volume here"), []).append(_seconds(load, "qcow2", str(top)))
            volumes.ensure(VolumeExportSpec(id=NAME, volume=VOLUME))
            found.setdefault((what, "volume by NBD"), []).append(
                _seconds(load, "raw", f"nbd://127.0.0.1:{port}/{NAME}")
            )
            volumes.remove(NAME)
    return [
        Figure(
            f"{what}, {how}",
            median(times) * 1000,
            "ms",
            note=f"{median(found[what, 'bare file']) / median(times):.0%} of the bare file, median of {rounds}",
        )
        for (what, how), times in found.items()
    ]


def _seconds(load: list[str], format: str, file: str) -> float:
    Path("/proc/sys/vm/drop_caches").write_text("1")
    said = run(["qemu-img", "bench", "-f", format, "-t", "writeback", *load, file], timeout=300).stdout
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
