"""A host with the volume group nova-volumes: the command line is a fake, or LVM's own where there is a disk for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from support.fake_lvm import FakeLvm
from support.libvirtd import bounded

from cumulet.drivers.volume.exports import Exports
from cumulet.drivers.volume.lvm import LvmVolumes
from cumulet.lib.command import run
from cumulet.lib.errors import Later
from cumulet.lib.lvm import Group

DISK = "CUMULET_TEST_VOLUME_DISK"
"""The variable that names a disk for LVM itself, on which nothing is kept."""
REAL = DISK in os.environ
SECONDS = 300.0 if REAL else 20.0


class Dead(SystemExit):
    """The process, with all its threads."""


class Host:
    """One whose volumes are thick, or in a thin `pool`."""

    def __init__(self, directory: Path, pool: str) -> None:
        self.directory = directory
        self.pool = pool
        self.lvm = FakeLvm(directory / "dev", pool=pool)
        self.run = run if REAL else self.lvm.run
        if REAL:
            run(["vgcreate", "nova-volumes", os.environ[DISK]])
            if pool:
                run(["lvcreate", "--type", "thin-pool", "--extents", "95%VG", "--name", pool, "nova-volumes"])
        self.left: Iterator[int] | None = None
        """As many crash points as the process has before it dies; None: any number."""
        self.dead = False
        self._volumes = self.agent()

    def close(self) -> None:
        if REAL:
            run(["vgremove", "--force", "--yes", "nova-volumes"])

    def agent(self) -> LvmVolumes:
        """The driver of a process that has just been started."""
        devices = Path("/dev") if REAL else self.directory / "dev"
        group = Group("nova-volumes", self.pool, devices=devices, run=self.run)
        return LvmVolumes(group, self.directory / "images", Exports(self.directory / "run", ""))

    @property
    def volumes(self) -> LvmVolumes:
        if self.dead:
            raise Dead
        return self._volumes

    @volumes.setter
    def volumes(self, started: LvmVolumes) -> None:
        self.dead, self._volumes = False, started

    def pass_point(self, name: str) -> None:
        """Called at each crash point, by any of the process's threads."""
        if self.dead or (self.left is not None and next(self.left, None) is None):
            self.dead = True
            raise Dead

    def file(self, id: str) -> Path:
        return self.volumes.group.device(id)

    def size(self, id: str) -> int:
        with self.file(id).open("rb") as file:
            return file.seek(0, os.SEEK_END)

    def write(self, id: str, text: bytes) -> None:
        with self.file(id).open("r+b") as file:
            file.write(text)

    def reads(self, id: str, length: int = 5) -> bytes:
        with self.file(id).open("rb") as file:
            return file.read(length)

    def deactivate(self, id: str) -> None:
        """As the system leaves it that starts nothing of LVM by itself."""
        self.lvm.inactive.add(id)
        if REAL:
            run(["lvchange", "--activate", "n", f"nova-volumes/{id}"])

    def zero_no_more(self) -> None:
        """The pool gives out what was deleted."""
        self.lvm.zero = ""
        if REAL:
            run(["lvchange", "--zero", "n", f"nova-volumes/{self.pool}"])

    def until_removed(self, id: str) -> None:
        for _ in bounded(SECONDS):
            with suppress(Later):
                self.volumes.remove(id)
                return

    def until_only(self, *names: str) -> None:
        """Until nothing else is in the group."""
        for _ in bounded(SECONDS):
            self.volumes.observe()
            if set(self.volumes.group.volumes()) == set(names):
                return
