"""A target whose client has a command under way is asked to go again, for a while."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cumulet.drivers.volume import targets, tgt
from cumulet.drivers.volume.storage_daemon import StorageDaemon
from cumulet.drivers.volume.targets import Targets
from cumulet.lib.errors import Failure

SHOWN = b"Target 2: iqn.2026-11.test:volattach-1\n    Account information:\n    ACL information:\n"
SHOW, DELETE = 2, 1


@contextmanager
def tgtd(directory: Path, refusals: list[int]) -> Iterator[list[int]]:
    """One that shows a target, and answers its DELETEs by these errors first; gives the operations that were asked."""
    asked: list[int] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "targets.0"))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    op = struct.unpack_from("=II", connection.recv(4096))[1]
                    asked.append(op)
                    error = refusals.pop(0) if op == DELETE and refusals else 0
                    text = SHOWN if op == SHOW and DELETE not in asked else b""
                    connection.sendall(struct.pack("=II", error, 8 + len(text)) + text)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def dropped(directory: Path) -> None:
    Targets(directory, "127.0.0.1", StorageDaemon(directory, "127.0.0.1", 0)).drop("volattach-1")


def test_a_command_that_ends_only_delays_it(tmp_path: Path) -> None:
    with tgtd(tmp_path, [20, 20]) as asked:
        dropped(tmp_path)
    assert asked[:4] == [SHOW, DELETE, DELETE, DELETE]


def test_one_that_does_not_end_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_PATIENCE", 0.05)
    with tgtd(tmp_path, [20] * 1000), pytest.raises(tgt.Busy, match="its error 20"):
        dropped(tmp_path)


def test_another_error_is_told_at_once(tmp_path: Path) -> None:
    with tgtd(tmp_path, [7]) as asked, pytest.raises(Failure, match="its error 7"):
        dropped(tmp_path)
    assert asked == [SHOW, DELETE]
