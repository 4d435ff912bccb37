"""A cloud for a test: a context manager and a pytest fixture that run one with fake drivers on a free port."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 30.0
STOP_SECONDS = 30.0


class RunningCloud:
    """A running cloud: its URL, and the keys of its first account."""

    def __init__(self, url: str, environ: dict[str, str]) -> None:
        self.url = url
        self.environ = environ
        """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL."""
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
        request = urllib.request.Request(f"{self.url}/_cumulet/reset", method="POST")
        with _open(request, timeout=START_SECONDS):
            pass


def _open(request: urllib.request.Request, timeout: float) -> Any:
    """Ask this machine itself, whatever proxy the environment names."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout)


@contextlib.contextmanager
def cloud(**settings: Any) -> Iterator[RunningCloud]:
    """Run a cloud with fake drivers in a process and a directory of its own, until the block ends.

    `settings` are keys of the configuration (`region="eu-west-1"`, `quota_instances=5`). Raises `RuntimeError` with
    what the cloud said when it does not start within 30 s.
    """
    with tempfile.TemporaryDirectory(prefix="cumulet-test-") as made:
        directory = Path(made)
        process = _start(directory, settings)
        try:
            yield _wait_until_ready(directory, process)
        finally:
            _end(process)


def _start(directory: Path, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cumulet", "up", "--drivers", "fake", "--test", "--listen", "127.0.0.1:0"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CUMULET_")}
    environ |= {f"CUMULET_{key.upper()}": _as_text(value) for key, value in settings.items()}
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--state-dir", str(directory / "state")],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _as_text(value: Any) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)


def _wait_until_ready(directory: Path, process: subprocess.Popen[bytes]) -> RunningCloud:
    ready = directory / "state" / "ready.json"
    deadline = time.monotonic() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (directory / "log").read_text(errors="replace")[-4000:]
            raise RuntimeError(f"the cloud of the test does not start (exit status {process.poll()}): {said}")
        time.sleep(0.005)
    environ = json.loads(ready.read_text())
    return RunningCloud(environ["AWS_ENDPOINT_URL"], environ)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def _cumulet_process() -> Iterator[RunningCloud]:
    with cloud() as running:
        yield running


@pytest.fixture
def cumulet_cloud(_cumulet_process: RunningCloud) -> RunningCloud:
    """A cloud for this test, empty at its start; all the tests of the session share its process."""
    _cumulet_process.reset()
    return _cumulet_process
