"""A second host, with the image service alone: it joins by a ticket, dies without a word, and comes back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from cumulet.lib.command import run
from cumulet.lib.errors import Failure

NAME = "node2"


class SecondHost:
    """On this machine, over a directory of its own; no guest is there, so that nothing waits for it when it dies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._configuration = directory / "cumulet.toml"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir()

    def join(self, said: str) -> None:
        """`said` is what `cumulet host add` has: the command that is to be run here."""
        found = re.search(r"cumulet join (\S+) (\S+)", said)
        if found is None:
            raise Failure(f"host add names no command: {said}")
        place = ["--config", str(self._configuration), "--state-dir", str(self._directory / "state")]
        run([sys.executable, "-m", "cumulet", "join", *found.groups(), *place, "--no-serve"], timeout=120)

    def start(self) -> None:
        command = [sys.executable, "-m", "cumulet", "up", "--config", str(self._configuration)]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=dict(os.environ), stdout=log, stderr=log)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
