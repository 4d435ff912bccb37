"""The units for systemd: it understands them, and what thinks has no privileges."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).resolve().parents[2] / "packaging" / "systemd").glob("*.service"))


def service(unit: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return parser["Service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    # what the unit starts and the pages it names are not installed where the tests run
    text = unit.read_text().replace("/usr/bin/cumulet", "/bin/true").replace("Documentation=man:cumulet(1)\n", "")
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not ours


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.stem.endswith(("-api", "-scheduler", "-object"))])
def test_what_thinks_has_no_privileges(unit: Path) -> None:
    settings = service(unit)
    assert settings["User"] == "cumulet"
    assert settings["CapabilityBoundingSet"] == settings["AmbientCapabilities"] == ""
    assert settings["NoNewPrivileges"] == "yes"


def test_guests_go_on_when_agents_are_restarted() -> None:
    assert [service(unit)["KillMode"] for unit in UNITS if unit.stem in ("cumulet", "cumulet-host")] == ["process"] * 2
