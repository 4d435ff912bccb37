"""How guests can boot on a host: found from the descriptions of QEMU's firmware."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cumulet.drivers.hypervisor.firmware import boots

PLAIN = {"interface-types": ["uefi"], "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}], "features": []}


def test_a_host_with_plain_uefi_firmware_boots_uefi(tmp_path: Path) -> None:
    (tmp_path / "60-edk2.json").write_text(json.dumps(PLAIN))
    assert boots([tmp_path / "absent", tmp_path]) == ["bios", "kernel", "uefi"]


@pytest.mark.parametrize(
    "other",
    [
        {"interface-types": ["bios"]},
        {"features": ["secure-boot"]},
        {"targets": [{"architecture": "aarch64"}]},
    ],
)
def test_other_firmware_does_not_do(tmp_path: Path, other: dict[str, Any]) -> None:
    (tmp_path / "60-edk2.json").write_text(json.dumps(PLAIN | other))
    assert boots([tmp_path]) == ["bios", "kernel"]


def test_a_description_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    assert boots([tmp_path]) == ["bios", "kernel"]
