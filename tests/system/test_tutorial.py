"""The tutorial of 2012, from its first to its last line."""

from __future__ import annotations

import subprocess
import sys

import pytest

STEPS = (
    "nova-manage db sync, twice",
    "nova-manage service list: all smile",
    "nova-manage project zipfile blue bob; unzip, source novarc",
    "cloud-publish-tarball",
    "euca-describe-availability-zones verbose",
    "both volumes are on storage, exported to their instances by iSCSI",
    "two tenants: neither sees, reaches or names what is the other's",
    "nothing is left on this machine",
)


@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="boto 2 does not run on this Python")
def test_the_tutorial_works_by_todays_clients_and_by_those_of_its_time(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "cumulet.tutorial"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=390)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [step for step in STEPS if step not in done.stdout] == []
    for client in ("red, aws", "blue, boto 2"):
        assert f"{client}: run a second instance, attach the volume: the data is there" in done.stdout
