"""The `aws` command without its second of imports: a process that has loaded it forks one for each command.

`python -m cumulet.tutorial.warm_aws` reads {"words", "environ"} and answers {"status", "said", "error"}, a line each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from cumulet.lib.errors import Failure


class WarmAws:
    """The process, and whoever asks it: one command at a time."""

    def __init__(self, home: Path) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "cumulet.tutorial.warm_aws"]
        clean = {"PATH": os.environ["PATH"], "HOME": str(home)}
        self._process = subprocess.Popen(
            command, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._lock = threading.Lock()

    def run(self, words: list[str], environ: dict[str, str]) -> str:
        """What `aws WORDS` says with this environment and no other; raises `Failure` when it fails."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"words": words, "environ": environ}) + "\n")
            line = self._process.stdout.readline()
        if not line:
            raise Failure("the aws command has died")
        answer = json.loads(line)
        if answer["status"] != 0:
            raise Failure(f"aws {' '.join(words)}: exit status {answer['status']}: {answer['error'].strip()}")
        return str(answer["said"])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def _serve() -> None:
    from awscli.clidriver import create_clidriver

    driver = create_clidriver()
    driver.session.get_service_model("ec2")
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(_forked(driver, asked["words"], asked["environ"])) + "\n")
        sys.stdout.flush()


def _forked(driver: Any, words: list[str], environ: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as error:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(said.fileno(), 1)
            os.dup2(error.fileno(), 2)
            os._exit(_run(driver, words, environ))
        _, status = os.waitpid(child, 0)
        said.seek(0)
        error.seek(0)
        return {"status": os.waitstatus_to_exitcode(status), "said": said.read(), "error": error.read()}


def _run(driver: Any, words: list[str], environ: dict[str, str]) -> int:
    os.environ.clear()
    os.environ.update(environ)
    try:
        status = int(driver.main(words))
    except BaseException:  # noqa: BLE001 - the child of a fork ends here whatever happens
        traceback.print_exc()
        status = 255
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    _serve()
