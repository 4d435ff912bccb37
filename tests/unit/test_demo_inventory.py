"""What the demonstration takes for its own."""

from __future__ import annotations

import os
import subprocess
import sys

from cumulet.demo.inventory import inventory
from cumulet.demo.outside import NAME


def test_a_process_of_another_demonstration_is_not_left_behind_by_this_one() -> None:
    goes_on = [sys.executable, "-c", "import sys; sys.stdin.read()", "cumulet"]
    with subprocess.Popen(goes_on, stdin=subprocess.PIPE, env={**os.environ, NAME: "demo-two-"}) as process:
        try:
            assert inventory(name="demo-one-")["processes"] == set()
            (left,) = inventory(name="demo-two-")["processes"]
            assert left.startswith(f"{process.pid} ")
        finally:
            process.kill()
