"""Servers of the EC2 API to measure: a Cumulet with fake drivers, and moto's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import boto3
from botocore.config import Config

from cumulet.testing import in_memory


@dataclass(frozen=True)
class Endpoint:
    """Where it answers, who may ask, which process it is, and how long it took to answer first."""

    url: str
    region: str
    key: str
    secret: str
    pid: int
    seconds_to_answer: float

    def client(self, service: str = "ec2") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=120, max_pool_connections=20),
        )


@contextmanager
def fake_cumulet(*options: str, database_url: str = "") -> Iterator[Endpoint]:
    """`cumulet up --drivers fake`, in a directory of its own; one with `--test` where `cumulet.testing` has it.

    Its database is SQLite there, or the one at `database_url`.
    """
    place = in_memory() if "--test" in options else None
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-", dir=place) as name:
        port = _free_port()
        words = ["up", "--drivers", "fake", "--state-dir", name, "--listen", f"127.0.0.1:{port}", *options]
        # an address for each of a thousand instances
        environ = {**os.environ, "CUMULET_DATABASE_URL": database_url, "CUMULET_PUBLIC_POOL": "198.18.0.0/16"}
        command = [sys.executable, "-m", "cumulet", *words]
        with _running(command, f"http://127.0.0.1:{port}/", environ) as (pid, seconds):
            access = _access(Path(name), environ)
            yield Endpoint(f"http://127.0.0.1:{port}", *access, pid, seconds)


@contextmanager
def served(state: Path, settings: Mapping[str, str]) -> Iterator[Endpoint]:
    """`cumulet up` with these settings, over this state directory."""
    port = _free_port()
    environ = {**os.environ, **{f"CUMULET_{name.upper()}": value for name, value in settings.items()}}
    words = ["up", "--drivers", "fake", "--state-dir", str(state), "--listen", f"127.0.0.1:{port}"]
    with _running([sys.executable, "-m", "cumulet", *words], f"http://127.0.0.1:{port}/", environ) as (pid, seconds):
        yield Endpoint(f"http://127.0.0.1:{port}", *_access(state, environ), pid, seconds)


@contextmanager
def moto() -> Iterator[Endpoint]:
    """moto's server, which keeps everything in memory and boots nothing."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with _running(command, f"http://127.0.0.1:{port}/moto-api/") as (pid, seconds):
        yield Endpoint(f"http://127.0.0.1:{port}", "us-east-1", "testing", "testing", pid, seconds)


@contextmanager
def _running(command: list[str], url: str, environ: dict[str, str] | None = None) -> Iterator[tuple[int, float]]:
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)
    try:
        _wait_for_answer(url, process)
        yield process.pid, time.monotonic() - begun
    finally:
        process.terminate()
        process.wait(30)


def _wait_for_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(3000):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except HTTPError:
            return
        except (URLError, ConnectionError):
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}") from None
            time.sleep(0.01)
    raise RuntimeError(f"{url} does not answer")


def _access(state: Path, environ: dict[str, str]) -> tuple[str, str, str]:
    """The region, and the first account's key and secret."""
    command = [sys.executable, "-m", "cumulet", "env", "--json", "--state-dir", str(state)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout)
    return found["AWS_REGION"], found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
