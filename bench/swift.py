"""OpenStack Swift to measure: the distribution's, with one replica, in a directory of its own.

To be started in a private host, as its ports are always the same and /etc/swift is covered. It has as many workers as
the machine has processors, a memcached, and in front only what has to be there: no log of requests, for one.

An object is a file beside, with its metadata in an extended attribute; both are flushed (fsync), it is renamed, and its
directories are flushed, before the answer. The row in the container's database is not: `PRAGMA synchronous = NORMAL`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from bench.load import Request, Store, request
from cumulet.lib.command import run

PACKAGES = "swift-proxy swift-account swift-container swift-object memcached"
PROXY, CACHE = 18080, 18211
PORTS = {"object": 16200, "container": 16201, "account": 16202}
URL = f"http://127.0.0.1:{PROXY}"
_HASH = "[swift-hash]\nswift_hash_path_prefix = bench\nswift_hash_path_suffix = bench\n"
_POLICY = "[storage-policy:0]\nname = one\ndefault = yes\n"
_DEFAULT = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = {workers}
user = root
swift_dir = /etc/swift
devices = {devices}
mount_check = false
log_level = ERROR

"""
_STORAGE = "[pipeline:main]\npipeline = {role}-server\n\n[app:{role}-server]\nuse = egg:swift#{role}\n"
_PROXY = """\
[pipeline:main]
pipeline = catch_errors gatekeeper cache tempauth proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}

[filter:tempauth]
use = egg:swift#tempauth
user_bench_bench = bench .admin
"""


def is_installed() -> bool:
    """Whether there are the commands of all of `PACKAGES`."""
    names = ("swift-proxy-server", *(f"swift-{role}-server" for role in PORTS), "swift-ring-builder", "memcached")
    return all(shutil.which(name) for name in names)


@contextmanager
def swift() -> Iterator[Store]:
    """A store with an empty container; all its processes end with it."""
    with tempfile.TemporaryDirectory(prefix="swift-") as made:
        directory, processes = Path(made), list[subprocess.Popen[bytes]]()
        _configure(directory)
        etc = Path("/etc/swift")
        etc.mkdir(exist_ok=True)
        run(["mount", "--bind", directory / "etc", etc])
        try:
            processes.append(_started(directory, ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(CACHE)]))
            for role in (*PORTS, "proxy"):
                processes.append(_started(directory, [f"swift-{role}-server", f"/etc/swift/{role}.conf"]))
            account, token = _let_in()
            yield Store("Swift", lambda method, key, size: _request(account, token, method, key, size))
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(30)
            run(["umount", etc])


def _request(account: str, token: str, method: str, key: str, size: int) -> Request:
    return request(method, f"{account}/bench/{key}", size, {"X-Auth-Token": token})


def _configure(directory: Path) -> None:
    etc, devices = directory / "etc", directory / "devices"
    etc.mkdir()
    (devices / "disk").mkdir(parents=True)
    (etc / "swift.conf").write_text(_HASH + _POLICY)
    common = {"workers": os.cpu_count(), "devices": devices, "cache": CACHE}
    for role, port in PORTS.items():
        (etc / f"{role}.conf").write_text((_DEFAULT + _STORAGE).format(role=role, port=port, **common))
        builder = etc / f"{role}.builder"
        run(["swift-ring-builder", builder, "create", "8", "1", "1"])
        run(["swift-ring-builder", builder, "add", f"r1z1-127.0.0.1:{port}/disk", "100"])
        run(["swift-ring-builder", builder, "rebalance"])
    (etc / "proxy.conf").write_text((_DEFAULT + _PROXY).format(port=PROXY, **common))


def _started(directory: Path, command: Sequence[str]) -> subprocess.Popen[bytes]:
    with (directory / f"{command[0]}.log").open("wb") as log:
        words = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        return subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _let_in() -> tuple[str, str]:
    """The account's URL and a token, as soon as all its servers answer, and the container is there."""
    asked = urllib.request.Request(f"{URL}/auth/v1.0", headers={"X-Auth-User": "bench:bench", "X-Auth-Key": "bench"})
    for _ in range(300):
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                account, token = answer.headers["X-Storage-Url"], answer.headers["X-Auth-Token"]
            _ask("PUT", f"{account}/bench", token)
            return account, token
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError("Swift does not answer")


def _ask(method: str, url: str, token: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method=method, headers={"X-Auth-Token": token}), timeout=30)
