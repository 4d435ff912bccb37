"""A host whose volumes are in a pool of Ceph: its command line is a fake, or the pool is of a Ceph that runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from support.fake_rbd import FakePool, FakeRbd
from support.libvirtd import bounded

from cumulet.drivers.specs import Spec
from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.rbd import RbdVolumes
from cumulet.lib.command import run
from cumulet.lib.errors import Later
from cumulet.lib.rbd import Pool

SECONDS = 60.0


class Dead(SystemExit):
    """The process, with all its threads."""


class Host:
    """One of those that share a pool; without a real one, that is a fake."""

    def __init__(self, directory: Path, pool: Pool | None = None, name: str = "h1") -> None:
        self.directory = directory
        self.fake = FakeRbd(directory / "ceph")
        self.pool = pool or FakePool(self.fake)
        self.name = name
        self.exports = Exports(directory / "run", "")
        self.left: Iterator[int] | None = None
        """As many crash points as the process has before it dies; None: any number."""
        self.dead = False
        self._volumes = self.agent()

    def agent(self) -> RbdVolumes:
        """The driver of a process that has just been started."""
        return RbdVolumes(self.pool, self.directory / "images", self.exports, self.name, self.directory / "opened")

    @property
    def volumes(self) -> RbdVolumes:
        if self.dead:
            raise Dead
        return self._volumes

    @volumes.setter
    def volumes(self, started: RbdVolumes) -> None:
        self.dead, self._volumes = False, started

    def pass_point(self, name: str) -> None:
        """Called at each crash point, by any of the process's threads."""
        if self.dead or (self.left is not None and next(self.left, None) is None):
            self.dead = True
            raise Dead

    def ensure(self, spec: Spec) -> None:
        """Until the order is carried out; it is put off, with how far it is, while something is filled."""
        for _ in bounded(SECONDS, 0.02):
            try:
                self.volumes.ensure(spec)
            except Later as e:
                assert "is being copied to the pool volumes" in str(e)
                continue
            return

    def image(self, id: str, content: bytes) -> str:
        """An image of 16 MiB, as the image driver keeps it."""
        directory = self.directory / "images" / id
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "disk").write_bytes(content)
        os.truncate(directory / "disk", 16 << 20)
        (directory / "facts").write_text(json.dumps({"format": "raw", "virtual_size": 16 << 20}))
        return id

    def size(self, id: str) -> int | None:
        return self.pool.size(id)

    def write(self, id: str, letter: str) -> None:
        """A sector of it, at its beginning."""
        run(["qemu-io", "-f", "raw", "-c", f"write -P {ord(letter)} 0 512", self.pool.device(id)])

    def reads(self, id: str) -> str:
        """The letter that it begins with."""
        said = run(["qemu-io", "-f", "raw", "-r", "-c", "read -v 0 16", self.pool.device(id)]).stdout
        return chr(int(said.split()[1], 16))

    def until_only(self, *names: str) -> None:
        """Until nothing else is in the pool."""
        for _ in bounded(SECONDS, 0.02):
            with suppress(Later):
                self.volumes.observe()
            if set(self.pool.volumes()) == set(names):
                return
