"""The process of a laboratory: outside, it carries the endpoint; inside, it is the laboratory, until SIGTERM."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from cumulet.lab import forward, underlay
from cumulet.lab.lab import Laboratory
from cumulet.lib.errors import CumuletError
from cumulet.lib.private_host import run_in_private_host

SOCKET, STEP, ENVIRON = "endpoint", "step", "env.json"
"""In the laboratory's directory: its endpoint, what is being done, and, once it is ready, what to export."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m cumulet.lab", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--hosts", type=int, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--inside", action="store_true")
    chosen = parser.parse_args()
    directory: Path = chosen.directory
    if chosen.inside:
        return _inside(directory, chosen.hosts, dict(one.split("=", 1) for one in chosen.set))
    host, _, port = chosen.listen.rpartition(":")
    forward.outside((host, int(port)), directory / SOCKET)
    return run_in_private_host([sys.executable, "-m", "cumulet.lab", *sys.argv[1:], "--inside"])


def _inside(directory: Path, hosts: int, settings: dict[str, str]) -> int:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    lab = Laboratory(directory, hosts, settings)
    try:
        lab.start(lambda text: _say(directory, text))
        forward.inside(directory / SOCKET, (underlay.CONTROLLER, 8773))
        (directory / ENVIRON).write_text(json.dumps(lab.environ()))
        ended.wait()
    except CumuletError as e:
        _say(directory, f"failed: {e}")
        return 1
    finally:
        lab.stop()
    return 0


def _say(directory: Path, text: str) -> None:
    (directory / STEP).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
