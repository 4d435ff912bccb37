"""Objects of 4 KiB and 8 MiB, put and got by several clients at a time; beside Swift, radosgw and nginx.

All in turns in one run, by the same client (`bench/load.py`), on the same file system. What a put answers is on the
disk with each of them; how, `bench/swift.py` and `bench/radosgw.py` say. A store that is not installed is left out.
And what a large object costs the server in memory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from bench import large_object, radosgw, swift
from bench.endpoints import fake_cumulet
from bench.figures import Figure, median
from bench.load import Request, Store, presigned, request, seconds

SMALL, LARGE = 4 << 10, 8 << 20
CLIENTS = (1, 8, 32)
SMALL_TIMES, LARGE_TIMES = 400, 24
LARGE_CLIENTS = 4
TIMES_SMALL, TIMES_LARGE, OF_NGINX = 3.0, 1.5, 0.7
"""How much of another's rate is aimed at (issue 5)."""
Rates = dict[str, list[float]]


def measure(rounds: int, gib: int) -> list[Figure]:
    """In a private host, as the others' ports are always the same. `gib`: the size of the large object."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", "cumulet.lib.private_host", "--", sys.executable, "-m", "bench.objects"]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        subprocess.run([*command, str(rounds), str(gib), file.name], check=True, env=environ, timeout=3600)
        return [Figure(**figure) for figure in json.loads(Path(file.name).read_text())]


def _measure(rounds: int, gib: int) -> list[Figure]:
    with fake_cumulet() as endpoint, ExitStack() as others:  # not for a test: that would flush nothing
        s3 = endpoint.client("s3")
        s3.create_bucket(Bucket="bench")
        stores = [Store("Cumulet", presigned(s3, "bench")), *_peers(others)]
        figures = [figure for clients in CLIENTS for figure in _small(stores, clients, rounds)]
        figures += _large(stores, rounds)
    with fake_cumulet() as endpoint:  # what others have had before is not in its memory
        endpoint.client("s3").create_bucket(Bucket="bench")
        return figures + large_object.measure(endpoint, gib)


def _peers(others: ExitStack) -> list[Store]:
    """Those that can be started."""
    started = []
    known = {"Swift": (swift.is_installed, swift.swift), "radosgw": (radosgw.is_installed, radosgw.radosgw)}
    for name, (is_installed, start) in known.items():
        if not is_installed():
            print(f"{name} is not here, and left out: tools/install --with-peers", file=sys.stderr)
            continue
        try:
            started.append(others.enter_context(start()))
        except Exception as e:  # noqa: BLE001 - without one, the others can still be measured
            print(f"{name} cannot be started, and is left out: {e}", file=sys.stderr)
    return started


def _small(stores: Sequence[Store], clients: int, rounds: int) -> list[Figure]:
    body = os.urandom(SMALL)
    puts, gets = _rates(stores), _rates(stores)
    for turn in range(rounds):
        for store in stores:
            keys = [f"4k/{clients}/{turn}/{number}" for number in range(SMALL_TIMES)]
            puts[store.name].append(_rate(store, "PUT", keys, body, clients))
            gets[store.name].append(_rate(store, "GET", keys, body, clients))
    what = f"4 KiB, {clients} clients"
    return [*_figures(f"put {what}", puts, "/s", TIMES_SMALL), *_figures(f"get {what}", gets, "/s", TIMES_SMALL)]


def _large(stores: Sequence[Store], rounds: int) -> list[Figure]:
    body, mib = os.urandom(LARGE), LARGE / (1 << 20)
    puts, gets = _rates(stores), _rates(stores)
    gets["nginx"] = []
    with nginx(body) as url:
        for turn in range(rounds):
            for store in stores:
                keys = [f"8m/{turn}/{number}" for number in range(LARGE_TIMES)]
                puts[store.name].append(mib * _rate(store, "PUT", keys, body, LARGE_CLIENTS))
                gets[store.name].append(mib * _rate(store, "GET", keys, body, LARGE_CLIENTS))
            if url:
                requests = [request("GET", url)] * LARGE_TIMES
                gets["nginx"].append(mib * LARGE_TIMES / seconds(requests, b"", LARGE_CLIENTS))
    what = f"8 MiB, {LARGE_CLIENTS} clients"
    return [*_figures(f"put {what}", puts, "MiB/s", TIMES_LARGE), *_figures(f"get {what}", gets, "MiB/s", TIMES_LARGE)]


def _rates(stores: Sequence[Store]) -> Rates:
    return {store.name: [] for store in stores}


def _rate(store: Store, method: str, keys: Sequence[str], body: bytes, clients: int) -> float:
    """Requests a second."""
    requests: list[Request] = [store.request(method, key, len(body)) for key in keys]
    return len(requests) / seconds(requests, body if method == "PUT" else b"", clients)


def _figures(what: str, rates: Rates, unit: str, times: float) -> Iterator[Figure]:
    """The medians, and how many times as fast as each of the others Cumulet is."""
    medians = {name: median(values) for name, values in rates.items() if values}
    ours = medians["Cumulet"]
    for name, value in medians.items():
        aim = "" if name == "Cumulet" else f"Cumulet: {OF_NGINX if name == 'nginx' else times:g} x"
        note = f"median of {len(rates[name])}" if name == "Cumulet" else f"Cumulet: {ours / value:.2f} x"
        yield Figure(f"{what}: {name}", value, unit, aim, note)


@contextmanager
def nginx(body: bytes) -> Iterator[str]:
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


if __name__ == "__main__":
    taken = [asdict(figure) for figure in _measure(int(sys.argv[1]), int(sys.argv[2]))]
    Path(sys.argv[3]).write_text(json.dumps(taken))
