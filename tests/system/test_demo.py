"""The demonstration itself: it ends well, and leaves nothing, also when it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

DEMO = [sys.executable, "-m", "cumulet.demo"]


@pytest.mark.timeout(300)
def test_the_demonstration_does_all_its_steps_and_leaves_nothing(environ: dict[str, str]) -> None:
    done = subprocess.run(DEMO, env=environ, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "log in and read the metadata" in done.stdout
    assert "nothing is left on this machine" in done.stdout


@pytest.mark.timeout(200)
def test_interrupted_half_way_it_leaves_nothing_either(environ: dict[str, str]) -> None:
    demo = subprocess.Popen(DEMO, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    assert demo.stdout is not None
    for line in demo.stdout:
        said.append(line)
        if "run an instance" in line:
            time.sleep(1)
            demo.send_signal(signal.SIGINT)
            break
    said += demo.stdout.readlines()
    assert demo.wait(60) != 0, "".join(said)
    assert "nothing is left on this machine" in "".join(said)
