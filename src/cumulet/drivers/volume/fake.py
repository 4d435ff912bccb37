"""Volumes without bytes."""

from __future__ import annotations

from cumulet.drivers.contract import Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import Spec, VolumeSpec
from cumulet.lib.errors import Failure


class FakeVolumes:
    """A volume is a file with its size; `images` has the image files, where they are in another place."""

    def __init__(self, world: FakeWorld, images: FakeWorld | None = None) -> None:
        self._world = world
        self._images = images or world

    def ensure(self, spec: Spec) -> None:
        assert isinstance(spec, VolumeSpec)
        if spec.image_file and self._images.get("image", spec.image_file) is None:
            raise Failure(f"making volume {spec.id}: its image file {spec.image_file} is not there")
        self._world.put("volume", spec.id, {"size_gib": spec.size_gib})

    def remove(self, id: str) -> None:
        self._world.remove("volume", id)

    def observe(self) -> list[Seen]:
        return [Seen(id=name) for name in self._world.names("volume")]

    def look(self, id: str) -> Seen | None:
        return Seen(id=id) if self._world.get("volume", id) is not None else None
