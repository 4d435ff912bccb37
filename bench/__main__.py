"""`make bench`: measures, prints a table and writes JSON."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import api, bus, databases, hosts, identity, images, objects, placement, volumes
from bench.figures import Figure, save, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=[
            "api",
            "bus",
            "databases",
            "hosts",
            "placement",
            "identity",
            "images",
            "objects",
            "volumes",
            "guests",
            "lab",
        ],
        help="one part alone",
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured (5)")
    parser.add_argument("--gib", type=int, default=1, help="size of the object whose memory is measured (1)")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    if chosen.only in (None, "api"):
        figures += api.measure(chosen.rounds)
    if chosen.only in (None, "bus"):
        figures += bus.measure(chosen.rounds)
    if chosen.only in (None, "databases"):
        figures += databases.measure(chosen.rounds)
    if chosen.only in (None, "hosts"):
        figures += hosts.measure(chosen.rounds)
    if chosen.only in (None, "placement"):
        figures += placement.measure(chosen.rounds)
    if chosen.only in (None, "identity"):
        figures += identity.measure(chosen.rounds)
    if chosen.only in (None, "images"):
        figures += images.measure(chosen.rounds)
    if chosen.only in (None, "objects"):
        figures += objects.measure(chosen.rounds, chosen.gib)
    if chosen.only in (None, "volumes"):
        figures += volumes.measure(chosen.rounds)
    if chosen.only in (None, "guests"):
        figures += _in_private_host("bench.guests", chosen.rounds)
    if chosen.only in (None, "lab"):
        figures += _in_private_host("bench.lab", chosen.rounds)
    print(table(figures))
    print(f"\nwritten to {save(figures, Path(__file__).parent / 'results')}")
    return 0


def _in_private_host(part: str, rounds: int) -> list[Figure]:
    """A part with real guests."""
    from cumulet.drivers.image import tiny

    image = tiny.build(Path.home() / ".cache" / "cumulet" / "tiny")
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", "cumulet.lib.private_host", "--", sys.executable, "-m", part]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        subprocess.run([*command, str(image), str(rounds), file.name], check=True, env=environ, timeout=1200)
        return [Figure(**figure) for figure in json.loads(Path(file.name).read_text())]


if __name__ == "__main__":
    sys.exit(main())
