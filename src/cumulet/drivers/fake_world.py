"""The outside world of the fake drivers: a directory of small files, so that it outlives the process as guests do."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from cumulet.lib import files, ids


class FakeWorld:
    """What is there, by kind (domain, tap, group, tunnel, volume, image) and name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._kinds: set[str] = set()
        self.lock = threading.RLock()
        """Held by a driver that changes what another one changes too."""
        directory.mkdir(parents=True, exist_ok=True)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        try:
            return msgspec.json.decode(files.read(self._path(kind, name)), type=dict[str, Any])
        except FileNotFoundError:
            return None

    def put(self, kind: str, name: str, values: dict[str, Any]) -> None:
        if kind not in self._kinds:
            (self.directory / kind).mkdir(exist_ok=True)
            self._kinds.add(kind)
        files.write(self._path(kind, name), msgspec.json.encode(values), durable=False, often=True)

    def remove(self, kind: str, name: str) -> None:
        files.remove(self._path(kind, name))

    def names(self, kind: str) -> list[str]:
        return sorted(path.stem for path in (self.directory / kind).glob("*.json"))

    def clear(self, *, keep: Collection[str] = ()) -> None:
        """Nothing is there any more, but for these kinds."""
        kinds = [path for path in self.directory.iterdir() if path.name not in keep]
        files.empty(kinds, self.directory.parent)

    def boot(self) -> str:
        """The host's boot, which `reboot` changes."""
        found = self.get("host", "boot")
        return str(found["id"]) if found else "1"

    def reboot(self) -> None:
        """The host has gone down and come up again: no guest, no tap and no export has outlived it."""
        for kind in ("tap", "group", "tunnel", "volume_export"):
            for name in self.names(kind):
                self.remove(kind, name)
        self.put("host", "boot", {"id": ids.token(8)})

    def _path(self, kind: str, name: str) -> Path:
        return self.directory / kind / f"{name}.json"
