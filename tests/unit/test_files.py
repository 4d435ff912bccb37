"""Small files that are whole whoever dies or reads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cumulet.lib import files


def test_a_file_that_is_written_often_holds_the_last_text_and_reuses_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    inodes = []
    for text in (b"first, and long", b"second", b"third"):
        files.write(path, text, durable=True, often=True)
        assert files.read(path) == path.read_bytes() == text
        inodes.append(path.stat().st_ino)
    assert inodes[0] == inodes[2] != inodes[1]
    assert path.stat().st_mode & 0o777 == 0o600
    files.remove(path)
    files.remove(path)
    assert list(tmp_path.iterdir()) == []


def test_where_files_cannot_be_exchanged_they_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def renameat2(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(files, "_LIBC", Old())
    path = tmp_path / "one.json"
    for text in (b"first, and long", b"second"):
        files.write(path, text, durable=False, often=True)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("one.json", b"second")]


def test_whoever_reads_meanwhile_finds_all_of_one_text(tmp_path: Path) -> None:
    path, texts = tmp_path / "one.json", [bytes([65 + number]) * (3000 - 100 * number) for number in range(20)]
    files.write(path, texts[0], durable=False, often=True)
    stop, found = threading.Event(), set()

    def reads() -> None:
        while not stop.is_set():
            found.add(files.read(path))

    reader = threading.Thread(target=reads)
    reader.start()
    for number in range(4000):
        files.write(path, texts[number % 20], durable=False, often=True)
    stop.set()
    reader.join()
    assert found <= set(texts)
