"""A cloud for a test: a context manager that runs one with fake drivers on a free port, and a fixture for pytest.

pytest loads this module wherever Cumulet is installed, so it imports next to nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 30.0
STOP_SECONDS = 30.0
ROOM = 1 << 30
"""Bytes that must be free in memory for a cloud that is forgotten after the test."""

MEMORY = "/dev/shm"

pytest_plugins = ["cumulet.testing.fixtures"]


class RunningCloud:
    """A running cloud: its URL, and the keys of its first account."""

    def __init__(self, url: str, environ: dict[str, str]) -> None:
        self.url = url
        self.environ = environ
        """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL."""
        self.access_key = environ["AWS_ACCESS_KEY_ID"]
        self.secret_key = environ["AWS_SECRET_ACCESS_KEY"]
        self.region = environ["AWS_DEFAULT_REGION"]

    def client(self, service: str, **arguments: Any) -> Any:
        """boto3's client of a service of this cloud; `arguments` as boto3's."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            **arguments,
        )

    def reset(self) -> None:
        """Every account is empty again; accounts, keys and images stay."""
        from http.client import HTTPConnection

        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=START_SECONDS)
        try:
            connection.request("POST", "/_cumulet/reset")
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"the reset of {self.url} failed with {answer.status}: {answer.read().decode()}")
        finally:
            connection.close()


@contextlib.contextmanager
def cloud(**settings: Any) -> Iterator[RunningCloud]:
    """Run a cloud with fake drivers in a process and a directory of its own, until the block ends.

    `settings` are keys of the configuration (`region="eu-west-1"`, `quota_instances=5`). Raises `RuntimeError` with
    what the cloud said when it does not start within 30 s.
    """
    with tempfile.TemporaryDirectory(prefix="cumulet-test-", dir=in_memory()) as made:
        directory = Path(made)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("CUMULET_")}
        environ |= {f"CUMULET_{key.upper()}": _as_text(value) for key, value in settings.items()}
        process = _start(directory, environ)
        try:
            url = _wait_until_ready(directory, process)
            yield RunningCloud(url, _keys(directory / "state", environ))
        finally:
            _end(process)


def in_memory() -> str | None:
    """The directory for what need not outlive the test: a file takes less time there.

    None: the usual one, as `TMPDIR` names it, or where there is no room in memory.
    """
    if os.environ.get("TMPDIR"):
        return None
    there = Path(MEMORY).is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return MEMORY if there else None


def _start(directory: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    # Whoever ends the process of the tests by force ends the cloud with it.
    command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "cumulet", "up"]
    command += ["--drivers", "fake", "--test", "--listen", "127.0.0.1:0"]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--state-dir", str(directory / "state")],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _keys(state: Path, environ: dict[str, str]) -> dict[str, str]:
    from cumulet.cli.access import exports
    from cumulet.cli.options import Cloud
    from cumulet.lib.config import load

    return exports(Cloud(load(None, {"state_dir": state}, environ)[0], only_here=True))


def _as_text(value: Any) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)


def _wait_until_ready(directory: Path, process: subprocess.Popen[bytes]) -> str:
    endpoint = directory / "state" / "endpoint"
    deadline = time.monotonic() + START_SECONDS
    while not endpoint.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (directory / "log").read_text(errors="replace")[-4000:]
            raise RuntimeError(f"the cloud of the test does not start (exit status {process.poll()}): {said}")
        time.sleep(0.005)
    return endpoint.read_text().strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
