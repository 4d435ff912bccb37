"""The serial console's files: bounded, and read from the end."""

from __future__ import annotations

from pathlib import Path

from cumulet.drivers.hypervisor import console


def test_the_end_is_kept_when_a_large_file_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "i-1.log"
    console.prepare(file)
    with file.open("ab") as guest:
        guest.write(b"x" * 2_000_000 + b"before")
        guest.flush()
        console.rotate(file)
        guest.write(b" and after")
    assert console.read(file).endswith(b"xxbefore and after")
    assert len(console.read(file)) == 64 * 1024
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 100_000


def test_a_small_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "i-1.log"
    file.write_bytes(b"hello")
    console.prepare(file)
    assert console.read(file) == b"hello"


def test_no_file_is_no_output_and_can_be_removed(tmp_path: Path) -> None:
    console.remove(tmp_path / "i-1.log")
    assert console.read(tmp_path / "i-1.log") == b""


def test_nothing_is_left_of_a_removed_console(tmp_path: Path) -> None:
    for name in ("i-1.log", "i-1.log.0", "i-1.log.1", "i-11.log"):
        (tmp_path / name).touch()
    console.remove(tmp_path / "i-1.log")
    assert [file.name for file in tmp_path.iterdir()] == ["i-11.log"]
