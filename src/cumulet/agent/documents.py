"""What an agent has been told, one file a thing, flushed to disk before the driver is called."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from cumulet.lib import files
from cumulet.lib.errors import Failure, Superseded

KEPT_SECONDS = 24 * 3600.0
NOTHING = msgspec.Raw(b"null")


class Document(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The newest order's number and its spec; no spec: the thing was removed, or is shared."""

    epoch: int
    spec: msgspec.Raw = NOTHING

    def living(self) -> bool:
        return bytes(self.spec) != bytes(NOTHING)


class Documents:
    """A directory of them, by id."""

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory
        self._durable = durable
        directory.mkdir(parents=True, exist_ok=True)
        self._forget_old()

    def get(self, id: str) -> Document | None:
        try:
            return msgspec.json.decode(files.read(self._path(id)), type=Document)
        except FileNotFoundError:
            return None

    def put(self, id: str, document: Document) -> None:
        """Keep the document; raises `Superseded` when there is a newer one, `Failure` when it cannot be written."""
        old = self.get(id)
        if old is not None and old.epoch > document.epoch:
            raise Superseded(f"order {document.epoch} for {id}: order {old.epoch} has come before it")
        if old is not None and old.epoch == document.epoch and bytes(old.spec) == bytes(document.spec):
            return
        try:
            files.write(self._path(id), msgspec.json.encode(document), durable=self._durable, often=True)
        except OSError as e:
            raise Failure(f"writing the document of {id} to {self._directory}") from e

    def living(self) -> list[str]:
        """The ids of the things that should be there."""
        names = sorted(path.stem for path in self._directory.glob("*.json"))
        return [name for name in names if (document := self.get(name)) is not None and document.living()]

    def clear(self) -> None:
        """Forget all of it (the reset of a test cloud)."""
        files.empty([self._directory], self._directory.parent)

    def _path(self, id: str) -> Path:
        return self._directory / f"{id}.json"

    def _forget_old(self) -> None:
        for path in self._directory.glob("*.json"):
            document = self.get(path.stem)
            if document is not None and not document.living() and path.stat().st_mtime < time.time() - KEPT_SECONDS:
                files.remove(path)
