"""What is asked of a qemu-storage-daemon, by QMP (docs/interop/qmp-spec.txt in QEMU's source), one client at a time."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cumulet.lib.errors import Failure

_SECONDS = 10.0


class Qmp:
    """A connection to the daemon's monitor; raises `OSError` where no daemon listens."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(_SECONDS)
            self._socket.connect(str(path))
            self._lines = self._socket.makefile("rb")
            self._lines.readline()  # the greeting
            self.ask("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def ask(self, command: str, **arguments: Any) -> Any:
        """What the daemon answers; raises `Failure` with its words when it refuses. Names have `_` for `-`."""
        answer = self.attempt(command, **arguments)
        if "error" in answer:
            raise Failure(f"qemu-storage-daemon: {command}: {answer['error'].get('desc')}")
        return answer["return"]

    def attempt(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The same, an error being an answer too."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._socket.sendall(json.dumps({"execute": command, "arguments": named}).encode() + b"\n")
        while line := self._lines.readline():
            answer: dict[str, Any] = json.loads(line)
            if "event" not in answer:
                return answer
        raise Failure(f"qemu-storage-daemon: {command}: it has ended before it answered")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()
