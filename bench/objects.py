"""Objects of 4 KiB and 8 MiB, put and got by several clients at a time; beside nginx serving the same file.

Clients are threads of one process that ask by presigned URLs, so that it is the
server that is measured. fsync is on. A store of Swift's is not set up here: its figures are for whoever has one.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.endpoints import fake_cumulet
from bench.figures import Figure, median

SMALL, LARGE = 4 << 10, 8 << 20
CLIENTS = (1, 8, 32)
SMALL_TIMES, LARGE_TIMES = 400, 24


def measure(rounds: int) -> list[Figure]:
    """Each in turns with nginx."""
    figures: list[Figure] = []
    with fake_cumulet() as endpoint:  # not for a test: that would keep its files in memory, and flush none
        s3 = endpoint.client("s3")
        s3.create_bucket(Bucket="bench")
        for clients in CLIENTS:
            figures += _small(s3, clients, rounds)
        figures += _large(s3, rounds)
    return figures


def _urls(s3: Any, method: str, size: int, count: int) -> list[str]:
    return [
        s3.generate_presigned_url(method, Params={"Bucket": "bench", "Key": f"{size}/{number}"})
        for number in range(count)
    ]


def _small(s3: Any, clients: int, rounds: int) -> list[Figure]:
    body = os.urandom(SMALL)
    rates: dict[str, list[float]] = {"put": [], "get": []}
    for _ in range(rounds):
        for name, method, content in (("put", "put_object", body), ("get", "get_object", None)):
            urls = _urls(s3, method, SMALL, SMALL_TIMES)
            rates[name].append(len(urls) / _timed(urls, content, clients))
    note = f"median of {rounds}"
    return [Figure(f"{name} 4 KiB, {clients} clients", median(found), "/s", note=note) for name, found in rates.items()]


def _large(s3: Any, rounds: int) -> list[Figure]:
    body = os.urandom(LARGE)
    rates: dict[str, list[float]] = {"put": [], "get": [], "get from nginx": []}
    mib = LARGE_TIMES * LARGE / (1 << 20)
    with _nginx(body) as url:
        for _ in range(rounds):
            rates["put"].append(mib / _timed(_urls(s3, "put_object", LARGE, LARGE_TIMES), body, 4))
            rates["get"].append(mib / _timed(_urls(s3, "get_object", LARGE, LARGE_TIMES), None, 4))
            if url:
                rates["get from nginx"].append(mib / _timed([url] * LARGE_TIMES, None, 4))
    found = {name: median(values) for name, values in rates.items() if values}
    aims = {"get": "70 % of nginx"}
    return [Figure(f"{name} 8 MiB, 4 clients", value, "MiB/s", aims.get(name, "")) for name, value in found.items()]


def _timed(urls: list[str], content: bytes | None, clients: int) -> float:
    parts = [urls[number::clients] for number in range(clients)]
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(_asking(content), [part for part in parts if part]))
    return time.perf_counter() - began


def _asking(content: bytes | None) -> Callable[[list[str]], None]:
    def ask(urls: list[str]) -> None:
        connection = http.client.HTTPConnection(urlsplit(urls[0]).netloc, timeout=60)
        for url in urls:
            parts = urlsplit(url)
            where = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request("GET" if content is None else "PUT", where, body=content)
            answer = connection.getresponse()
            while answer.read(1 << 20):
                pass
            if answer.status != 200:
                raise RuntimeError(f"{url} answered {answer.status}")
        connection.close()

    return ask


@contextmanager
def _nginx(body: bytes) -> Iterator[str]:
    """The URL of a file that nginx serves; empty where there is no nginx."""
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if command is None:
        print("there is no nginx here: tools/install --with-tests", file=sys.stderr)
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as made:
        directory, port = Path(made), 18299
        directory.chmod(0o755)
        (directory / "file").write_bytes(body)
        settings = f"daemon off; worker_processes 1; pid {made}/pid; error_log {made}/log; user root; events {{}}\n"
        settings += f"http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {made}; }} }}\n"
        (directory / "conf").write_text(settings)
        with subprocess.Popen([command, "-c", f"{made}/conf", "-e", f"{made}/log"]) as process:
            try:
                time.sleep(0.5)
                yield f"http://127.0.0.1:{port}/file"
            finally:
                process.terminate()
