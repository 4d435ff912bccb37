"""Layers of deleted snapshots are put into those on top of them, in the background, so that reading stays quick.

A layer that has no name of its own any more, and one layer on top of it that nobody writes to either, become one: a
copy of the upper one is filled with what only the lower one has, and takes its name when it is on the disk. Whoever
reads finds the same in both, so a crash at any moment loses nothing; a guest that has the two open keeps them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from cumulet.drivers.places import backing
from cumulet.drivers.volume.layers import Layers, Pair
from cumulet.lib import crash
from cumulet.lib.command import run
from cumulet.lib.errors import CumuletError, Failure
from cumulet.lib.log import Log
from cumulet.lib.works import Work

log = Log("merging")
_ASIDE = ".merged"
_ROOM = 3
"""So many times the room of both must be free: guests need it more than this does."""
_SECONDS = 24 * 3600.0


class Merging(Work):
    """Merges all that can be; what fails is left for the next time. One at a time for a directory."""

    def __init__(self, layers: Layers) -> None:
        super().__init__(f"merge {layers.directory}")
        self._layers = layers

    def run(self) -> None:
        for left in (self._layers.directory / "layers").glob(f".*{_ASIDE}"):
            left.unlink(missing_ok=True)
        tried = set[Pair]()
        try:
            while (pair := self._layers.pair(tried)) is not None:
                tried.add(pair)
                self._merge(pair)
        except (OSError, CumuletError) as e:
            log.warning("no layers are merged until the next time", directory=self._layers.directory, error=e)

    def _merge(self, pair: Pair) -> None:
        aside = pair.upper.with_name(f".{pair.upper.name}{_ASIDE}")
        try:
            _check_room(pair)
            _check_at_rest(pair.upper)
            _fill(aside, pair)
            crash.point("volume.merging.filled")
            if self._layers.merged(pair, aside):
                log.info("merged", layer=pair.lower.stem, into=pair.upper.stem)
        except (OSError, Failure) as e:
            log.warning("not merged", layer=pair.lower.stem, into=pair.upper.stem, error=e)
        finally:
            aside.unlink(missing_ok=True)


def _check_room(pair: Pair) -> None:
    needed = _ROOM * 512 * (pair.lower.stat().st_blocks + pair.upper.stat().st_blocks)
    if shutil.disk_usage(pair.upper.parent).free < needed:
        raise Failure(f"there is little room: {needed} bytes should be free")


def _check_at_rest(file: Path) -> None:
    """Raises `Failure` where a guest writes to it: QEMU lets nobody read that."""
    run(["qemu-img", "info", "-f", "qcow2", file])


def _fill(aside: Path, pair: Pair) -> None:
    """What is in the upper one, and what only the lower one has, on top of what that stands on."""
    aside.touch(mode=0o600)
    _run(["cp", "--sparse=always", "--reflink=auto", str(pair.upper), str(aside)])
    _run(["qemu-img", "rebase", "-q", "-f", "qcow2", *_underneath(pair.lower), str(aside)])
    with aside.open("rb") as filled:
        os.fsync(filled.fileno())


def _underneath(lower: Path) -> list[str]:
    base = backing(lower)
    if base is None:
        return ["-b", ""]
    said = json.loads(run(["qemu-img", "info", "--output", "json", "-f", "qcow2", lower]).stdout)
    return ["-F", str(said["backing-filename-format"]), "-b", str(base)]


def _run(words: list[str]) -> None:
    """It ends with this process, and lets others go first."""
    command = ["setpriv", "--pdeathsig", "KILL", "--", "nice", "-n", "10", *words]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as e:
        raise Failure(f"{' '.join(words)}: no end after {_SECONDS:g} s") from e
    if done.returncode != 0:
        raise Failure(f"{' '.join(words)}: {done.stderr.strip()}")
