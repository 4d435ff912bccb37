"""`cumulet lab` as a user has it: up, used from outside, down, and nothing left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cumulet.demo.inventory import inventory
from cumulet.demo.process import client

CUMULET = [sys.executable, "-m", "cumulet"]


def command(directory: Path, *words: str, status: int = 0) -> str:
    line = [*CUMULET, "lab", *words, "--state-dir", str(directory)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_laboratory_is_used_from_outside_and_leaves_nothing(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:-2]):
        directory.chmod(directory.stat().st_mode | 0o011)  # PostgreSQL, which is not root, must come by here
    before = inventory()
    assert "`cumulet lab up` starts one" in command(tmp_path, "env", status=1)
    command(tmp_path, "up", "--hosts", "2", "--listen", "127.0.0.1:18790", "--set", "drivers=fake")
    try:
        assert "runs in" in command(tmp_path, "up", status=1)
        exports = [line.removeprefix("export ") for line in command(tmp_path, "env").splitlines()]
        ec2 = client(dict(line.split("=", 1) for line in exports))
        zones = ec2.describe_availability_zones()["AvailabilityZones"]
        assert [zone["ZoneName"] for zone in zones] == ["us-east-1a", "us-east-1b"]
    finally:
        command(tmp_path, "down")
    assert not (tmp_path / "lab").exists()
    after = inventory()
    for what in ("links", "network namespaces", "domains"):
        assert after[what] == before[what]
