"""`make demo`: what is outside. It builds the tiny image, runs the cloud in a private host, and compares."""

from __future__ import annotations

import sys

from cumulet.demo.inside import main as inside
from cumulet.demo.outside import show

TITLE = "Cumulet's demonstration: a cloud in namespaces of its own; this machine's network and libvirt stay as they are"

if __name__ == "__main__":
    sys.exit(show(TITLE, "cumulet.demo", inside))
