"""The cloud ends when it is told to, even where something in it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STUCK = """
import os, signal, sys, threading, time
from pathlib import Path
from cumulet.cli import up
from cumulet.lib.config import Config
from cumulet.services import Cloud

def never_ends(self):
    time.sleep(60)

up.STOP_SECONDS = 1.0
Cloud.stop = never_ends
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
up.run(Config(state_dir=Path(sys.argv[1]), drivers="fake", test=True, listen="127.0.0.1:0"))
"""


def test_what_does_not_end_is_cut_off_and_the_log_says_where_it_was(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUCK, str(tmp_path / "cloud")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert "in never_ends" in done.stderr
