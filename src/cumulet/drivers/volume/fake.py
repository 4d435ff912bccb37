"""Volumes without bytes."""

from __future__ import annotations

from typing import Any

from cumulet.drivers.contract import Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import SnapshotSpec, Spec, VolumeExportSpec, VolumeSpec, is_export
from cumulet.lib.errors import Failure, Impossible


class FakeVolumes:
    """A volume is a file with its size; `images` has the image files, `disks` volumes and snapshots, if others do."""

    def __init__(self, world: FakeWorld, images: FakeWorld | None = None, disks: FakeWorld | None = None) -> None:
        self._world = world
        self._images = images or world
        self._disks = disks or world

    def ensure(self, spec: Spec) -> None:
        if isinstance(spec, SnapshotSpec):
            self._ensure_snapshot(spec)
            return
        if isinstance(spec, VolumeExportSpec):
            self._export(spec)
            return
        assert isinstance(spec, VolumeSpec)
        unmade = self._disks.get("volume", spec.id) is None
        if spec.snapshot and unmade and self._disks.get("snapshot", spec.snapshot) is None:
            raise Impossible("Server.InternalError", f"the snapshot {spec.snapshot} has been lost")
        if spec.image_file and unmade and self._images.get("image", spec.image_file) is None:
            raise Failure(f"making volume {spec.id}: its image file {spec.image_file} is not there")
        there = self._disks.get("volume", spec.id) or {"size_gib": 0}
        if spec.snapshot and unmade:
            self._must_open("snapshot", spec.snapshot, spec.key, encrypts=True)
        self._must_open("volume", spec.id, spec.key)
        made = {"size_gib": max(spec.size_gib, there["size_gib"])}
        self._disks.put("volume", spec.id, made | _key(spec))

    def remove(self, id: str) -> None:
        self._place(id).remove(_kind(id), id)

    def observe(self) -> list[Seen]:
        kept = [name for kind in ("volume", "snapshot") for name in self._disks.names(kind)]
        return [Seen(id=name) for name in [*kept, *self._world.names("volume_export")]]

    def look(self, id: str) -> Seen | None:
        return Seen(id=id) if self._place(id).get(_kind(id), id) is not None else None

    def _place(self, id: str) -> FakeWorld:
        return self._world if is_export(id) else self._disks

    def _export(self, spec: VolumeExportSpec) -> None:
        self._must_be("volume", spec.volume, f"exporting {spec.volume}")
        self._must_open("volume", spec.volume, spec.key)
        there = self._disks.get("volume", spec.volume) or {"size_gib": 0}
        if there["size_gib"] < spec.size_gib:
            self._disks.put("volume", spec.volume, there | {"size_gib": spec.size_gib})
        how: dict[str, Any] = {"secret": spec.secret, "client": spec.client} if spec.secret else {}
        how |= {"direct": True} if spec.direct else {}
        how |= {"tls": True} if spec.tls else {}
        self._world.put("volume_export", spec.id, {"volume": spec.volume, **how})

    def _ensure_snapshot(self, spec: SnapshotSpec) -> None:
        if self._disks.get("snapshot", spec.id) is not None:
            return
        if spec.volume is not None:
            self._must_be("volume", spec.volume, f"taking snapshot {spec.id}")
            self._must_open("volume", spec.volume, spec.key)
        elif spec.source is None or self._disks.get("snapshot", spec.source) is None:
            raise Impossible("Server.InternalError", f"the snapshot {spec.source or spec.id} has been lost")
        self._disks.put("snapshot", spec.id, {"volume": spec.volume, **_key(spec)})

    def _must_be(self, kind: str, id: str, act: str) -> None:
        if self._disks.get(kind, id) is None:
            raise Failure(f"{act}: {id} is not there")

    def _must_open(self, kind: str, id: str, key: str, *, encrypts: bool = False) -> None:
        """The key is that of what is there; one that `encrypts` what is not encrypted makes a copy."""
        there = self._disks.get(kind, id)
        if there is not None and there.get("key", key if encrypts else "") != key:
            raise Failure(f"the key of {id} was not told")


def _key(spec: VolumeSpec | SnapshotSpec) -> dict[str, str]:
    return {"key": spec.key} if spec.key else {}


def _kind(id: str) -> str:
    if is_export(id):
        return "volume_export"
    return "snapshot" if id.startswith("snap-") else "volume"
