"""Further hosts on this machine, each with a directory, and a /run, of its own; they join by a ticket."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from cumulet.lib.command import run
from cumulet.lib.errors import Failure

_MOUNT = 'mount -n -t tmpfs -o mode=755 tmpfs /run/cumulet && exec "$@"'
_OWN_RUN = ["unshare", "--mount", "--", "sh", "-c", _MOUNT, "-"]
"""What agents keep in /run/cumulet is one host's."""
_SOCKET = "/run/cumulet/volumes/targets"


class FurtherHost:
    """One with some of the roles, and no guests. It has no network of its own: `address` is that of all."""

    def __init__(self, directory: Path, name: str, roles: str, address: str) -> None:
        self.name = name
        self.roles = roles
        self._address = address
        self._directory = directory
        self.log = directory / "log"
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
        Path("/run/cumulet").mkdir(exist_ok=True)
        command = [*_OWN_RUN, sys.executable, "-m", "cumulet", "up", "--config", str(self._configuration)]
        environ = {**os.environ, "CUMULET_TUNNEL_ADDRESS": self._address, "CUMULET_GUEST_MTU": "1500"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    def stop(self) -> None:
        """What it exports has to have ended before."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def targets(self) -> list[str]:
        """The names of its iSCSI targets, as `tgtadm` says them."""
        assert self._process is not None
        inside = ["nsenter", "--mount", f"--target={self._process.pid}", "--"]
        shown = ["env", f"TGT_IPC_SOCKET={_SOCKET}", "tgtadm", "--lld", "iscsi", "--mode", "target", "--op", "show"]
        return re.findall(r"^Target \d+: (\S+)$", run([*inside, *shown]).stdout, re.M)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
