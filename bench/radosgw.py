"""Ceph's radosgw to measure: the distribution's, over the Ceph of three OSDs of the tests, which keeps one copy here.

Its OSDs are BlueStore on files, so that what it has answered is on the disk, as with the others.
To be started in a private host, as its ports are always the same.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import boto3
from botocore.config import Config
from support import ceph

from bench.load import Store, presigned
from cumulet.lib.command import run

PORT = 18480
NAME, KEY, SECRET = "client.rgw", "benchbenchbenchbench", "benchbenchbenchbenchbenchbenchbenchbench"
_SETTINGS = f"""\
[mon]
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
mon allow pool size one = true
mon warn on pool no redundancy = false

[osd]
osd objectstore = bluestore
bluestore block size = 12884901888

[{NAME}]
rgw frontends = beast endpoint=127.0.0.1:{PORT} tcp_nodelay=1
rgw data = {{directory}}/rgw
rgw enable usage log = false
rgw enable ops log = false
"""
_CAPS = ["mon", "allow rw", "osd", "allow rwx", "mgr", "allow rw"]


def is_installed() -> bool:
    """Whether there are radosgw and a Ceph."""
    return ceph.is_installed() and all(shutil.which(name) for name in ("radosgw", "radosgw-admin"))


@contextmanager
def radosgw() -> Iterator[Store]:
    """A store with an empty bucket; all its processes end with it."""
    with tempfile.TemporaryDirectory(prefix="radosgw-") as made:
        directory = Path(made)
        with ceph.cluster(directory, settings=_SETTINGS.format(directory=directory)) as cluster:
            cluster.ceph("auth", "get-or-create", NAME, *_CAPS, "-o", f"{directory}/{NAME}.keyring")
            words = ["--conf", str(cluster.settings), "--name", NAME]
            with (directory / "radosgw.log").open("wb") as log:
                command = ["setpriv", "--pdeathsig", "KILL", "--", "radosgw", *words, "-f"]
                process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            try:
                _wait_for_answer(process)
                keys = ["--access-key", KEY, "--secret-key", SECRET]
                run(["radosgw-admin", *words, "user", "create", "--uid", "bench", "--display-name", "bench", *keys])
                s3 = _client()
                s3.create_bucket(Bucket="bench")
                yield Store("radosgw", presigned(s3, "bench"))
            finally:
                process.kill()
                process.wait()


def _client() -> Any:
    where = {"endpoint_url": f"http://127.0.0.1:{PORT}", "region_name": "default"}
    config = Config(signature_version="s3v4", retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client("s3", aws_access_key_id=KEY, aws_secret_access_key=SECRET, config=config, **where)


def _wait_for_answer(process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=10).close()
            return
        except HTTPError:
            return
        except (URLError, ConnectionError):
            if process.poll() is not None:
                raise RuntimeError(f"radosgw ended with {process.returncode}") from None
            time.sleep(0.1)
    raise RuntimeError("radosgw does not answer")
