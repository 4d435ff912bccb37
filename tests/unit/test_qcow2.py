"""The writer of empty qcow2 files, with qemu-img as the judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cumulet.drivers.volume import qcow2
from cumulet.lib.command import run

GIB = 1024**3


def _write(file: Path, size: int, backing: tuple[str, str] | None = None) -> None:
    with file.open("wb") as opened:
        opened.write(qcow2.empty(size, backing))
        opened.truncate(qcow2.length(size))


@pytest.mark.parametrize("gib", [1, 2, 3, 8, 10, 100, 511, 512, 1000, 2048, 4096, 4097, 16 * 1024, 64 * 1024])
def test_qemu_finds_nothing_wrong_with_an_empty_file(tmp_path: Path, gib: int) -> None:
    file = tmp_path / "disk.qcow2"
    _write(file, gib * GIB)
    checked = json.loads(run(["qemu-img", "check", "--output=json", "-f", "qcow2", file]).stdout)
    described = json.loads(run(["qemu-img", "info", "--output=json", "-f", "qcow2", file]).stdout)
    assert [checked.get(kind, 0) for kind in ("check-errors", "corruptions", "leaks")] == [0, 0, 0]
    assert checked["image-end-offset"] == file.stat().st_size
    assert described["virtual-size"] == gib * GIB
    assert described["format-specific"]["data"]["compat"] == "1.1"


@pytest.mark.parametrize("size", [512, 1024**2 + 512, 3 * GIB + 512])
def test_a_size_need_not_be_whole_gibibytes(tmp_path: Path, size: int) -> None:
    file = tmp_path / "disk.qcow2"
    _write(file, size)
    run(["qemu-img", "check", "-q", "-f", "qcow2", file])
    assert json.loads(run(["qemu-img", "info", "--output=json", file]).stdout)["virtual-size"] == size


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_what_is_underneath_shows_through_and_is_not_written_to(tmp_path: Path, format: str) -> None:
    under, file = tmp_path / "under ' é", tmp_path / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", format, under, "1G"])
    run(["qemu-io", "-f", format, "-c", "write -P 7 0 64k", under])
    before = under.read_bytes()[: 1024**2]
    _write(file, 2 * GIB, (str(under), format))
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 0 64k", "-c", "write -P 9 32k 1M", file])
    run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 0 32k", "-c", "read -P 9 32k 1M", "-c", "read -P 0 1G 64k", file])
    run(["qemu-img", "check", "-q", "-f", "qcow2", file])
    described = json.loads(run(["qemu-img", "info", "--output=json", "-f", "qcow2", file]).stdout)
    assert (described["backing-filename"], described["backing-filename-format"]) == (str(under), format)
    assert under.read_bytes()[: 1024**2] == before


@pytest.mark.parametrize("size", [0, -512, 1000, qcow2.MAX_SIZE + 512])
def test_a_size_that_the_format_does_not_hold_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 512"):
        qcow2.empty(size)


def test_a_path_that_the_format_does_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="1024 bytes"):
        qcow2.empty(GIB, ("x" * 1024, "raw"))
