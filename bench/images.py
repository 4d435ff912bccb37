"""An image file from host to host, as `cumulet` copies it; beside curl from nginx, and cp, of the same file, in turns.

The giver is a process of its own. All end with the bytes on the disk; curl's come without TLS and unverified.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.figures import Figure, median
from bench.objects import nginx
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.image.giving import Giving
from cumulet.drivers.specs import ImageFileSpec
from cumulet.lib.command import run
from cumulet.lib.image_link import ImageLink

ID = "imf-00000000000000001"
MIB = 512


def measure(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as made:
        directory, content = Path(made), os.urandom(MIB << 20)
        (directory / "source").write_bytes(content)
        with nginx(content) as url:
            del content
            return _in_turns(directory, url, rounds)


def _in_turns(directory: Path, url: str, rounds: int) -> list[Figure]:
    command = [sys.executable, "-m", "bench.images", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as giver:
        assert giver.stdin
        assert giver.stdout
        try:
            said = json.loads(giver.stdout.readline())
            link = msgspec.convert(said["link"], ImageLink)
            spec = ImageFileSpec(id=ID, source="", format="raw", sha256=said["sha256"], link=link)
            copy = directory / "copy"
            ways: dict[str, Callable[[], object]] = {"from host to host": lambda: _fetch(directory / "there", spec)}
            if url:
                ways["curl from nginx"] = lambda: run(["curl", "-s", "-o", copy, url])
            ways["cp"] = lambda: run(["cp", directory / "source", copy])
            return [
                Figure(f"an image of {MIB} MiB {way}", median(found), "MiB/s", note=f"{rounds} rounds")
                for way, found in _rates(ways, copy, rounds).items()
            ]
        finally:
            giver.stdin.close()


def _rates(ways: dict[str, Callable[[], object]], copy: Path, rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, act in ways.items():
            began = time.monotonic()
            act()
            if copy.exists():
                run(["sync", copy])
            rates[way].append(MIB / (time.monotonic() - began))
            copy.unlink(missing_ok=True)
    return rates


def _fetch(directory: Path, spec: ImageFileSpec) -> None:
    images = DirectoryImages(directory)
    while images.look(ID) is None:
        images.ensure(spec)
        time.sleep(0.01)
    images.remove(ID)


def _give(directory: Path) -> None:
    """Until the input ends."""
    giving = Giving(directory / "here", directory / "identity.pem", "127.0.0.1", port=0)
    images = DirectoryImages(directory / "here", giving=giving)
    images.ensure(ImageFileSpec(id=ID, source=str(directory / "source"), format="raw"))
    said = {"link": msgspec.to_builtins(images.link(ID)), "sha256": images.facts(ID)["sha256"]}
    print(json.dumps(said), flush=True)
    sys.stdin.read()
    giving.stop()


if __name__ == "__main__":
    _give(Path(sys.argv[1]))
