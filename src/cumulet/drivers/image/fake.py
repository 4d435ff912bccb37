"""An image store without bytes."""

from __future__ import annotations

import msgspec

from cumulet.drivers.contract import Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import ExportSpec, ImageFileSpec, Spec
from cumulet.lib.errors import Failure
from cumulet.lib.image_link import ImageLink

_SIZE = 2**20


class FakeImages:
    """An image file is its facts. One whose bytes are elsewhere is there when it is asked for the second time."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    def ensure(self, spec: Spec) -> None:
        if isinstance(spec, ExportSpec):
            self._world.put("export", spec.id, {"image_file": spec.image_file, "format": spec.format, "url": spec.url})
            return
        assert isinstance(spec, ImageFileSpec)
        if spec.objects is not None and self.look(spec.id) is None and self._world.get("fetch", spec.id) is None:
            self._world.put("fetch", spec.id, {})
            return
        if spec.link is not None and self._world.get("fetch", spec.id) is None:
            if self._room()["free"] < _SIZE:
                raise Failure(f"fetching {spec.id}: the disk is full")
            self._world.put("fetch", spec.id, {})
            return
        kernel = spec.format in ("kernel", "aki", "ari")
        boot, size = ("kernel", 0) if kernel else ("bios", 2**30)
        facts = {"format": spec.format or "qcow2", "virtual_size": size, "size": _SIZE, "boot": boot}
        self._world.put("image", spec.id, facts | {"architecture": "x86_64", "sha256": ""})
        self._world.remove("fetch", spec.id)

    def remove(self, id: str) -> None:
        self._world.remove("image", id)
        self._world.remove("fetch", id)
        self._world.remove("export", id)

    def observe(self) -> list[Seen]:
        return [Seen(id=name) for name in self._world.names("image")]

    def look(self, id: str) -> Seen | None:
        return Seen(id=id) if self._world.get("image", id) is not None else None

    def link(self, id: str) -> bytes:
        """Leads nowhere; raises `Failure` where there is nothing."""
        self.facts(id)
        return msgspec.json.encode(ImageLink(address="", certificate="", token="", files={"disk": 1}))

    def progress(self, id: str) -> bytes:
        """How far it is nobody knows."""
        return b"{}"

    def room(self) -> bytes:
        """As `room` of the world says, less what the images take; without it there is plenty."""
        return msgspec.json.encode(self._room())

    def _room(self) -> dict[str, int]:
        size = (self._world.get("room", "images") or {"size": 2**50})["size"]
        return {"size": size, "free": max(0, size - _SIZE * len(self._world.names("image")))}

    def facts(self, id: str) -> bytes:
        """What the image is, as JSON; raises `Failure` if it is not there."""
        found = self._world.get("image", id)
        if found is None:
            raise Failure(f"there is no image file {id}")
        return msgspec.json.encode(found)
