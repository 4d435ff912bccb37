"""`make tutorial`: the tutorial of 2012, run as its reader would, in namespaces of its own."""

from __future__ import annotations

import sys

from cumulet.demo.outside import show
from cumulet.tutorial.inside import main as inside

TITLE = "The tutorial of 2012 on Cumulet, in namespaces of its own; this machine's network and libvirt stay as they are"

if __name__ == "__main__":
    sys.exit(show(TITLE, "cumulet.tutorial", inside))
