"""The outside world of the fake drivers: a directory of small files, so that it outlives the process as guests do."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from cumulet.lib import ids


class FakeWorld:
    """What is there, by kind (domain, tap, group, volume, image) and name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        try:
            return msgspec.json.decode(self._path(kind, name).read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            return None

    def put(self, kind: str, name: str, values: dict[str, Any]) -> None:
        path = self._path(kind, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{ids.token(8)}")
        aside.write_bytes(msgspec.json.encode(values))
        aside.rename(path)

    def remove(self, kind: str, name: str) -> None:
        self._path(kind, name).unlink(missing_ok=True)

    def names(self, kind: str) -> list[str]:
        return sorted(path.stem for path in (self._directory / kind).glob("*.json"))

    def clear(self, *, keep: Collection[str] = ()) -> None:
        """Nothing is there any more, but for these kinds."""
        for path in self._directory.iterdir():
            if path.name not in keep:
                shutil.rmtree(path, ignore_errors=True)

    def boot(self) -> str:
        """The host's boot, which `reboot` changes."""
        found = self.get("host", "boot")
        return str(found["id"]) if found else "1"

    def reboot(self) -> None:
        """The host has gone down and come up again: no guest and no tap has outlived it."""
        for name in self.names("tap"):
            self.remove("tap", name)
        for name in self.names("group"):
            self.remove("group", name)
        self.put("host", "boot", {"id": ids.token(8)})

    def _path(self, kind: str, name: str) -> Path:
        return self._directory / kind / f"{name}.json"
