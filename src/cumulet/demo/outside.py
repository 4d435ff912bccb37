"""Around a demonstration: it runs in a private host, and what it has left on this machine is said."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cumulet.demo.inventory import differences, inventory
from cumulet.demo.report import failed, said, step
from cumulet.drivers.image import tiny
from cumulet.lib import ids
from cumulet.lib.errors import CumuletError
from cumulet.lib.private_host import SCRATCH_VARIABLE, run_in_private_host

IMAGE, NAME = "CUMULET_DEMO_IMAGE", "CUMULET_DEMO_NAME"
"""In the environment of each process that the demonstration begins: the tiny image; what no other demonstration has."""


def show(title: str, module: str, inside: Callable[[Path], int]) -> int:
    """Run `python -m MODULE` again in a private host, where it does `inside(the tiny image)`.

    Gives the exit status: 0 only if every step went well and nothing is left.
    """
    if SCRATCH_VARIABLE in os.environ and IMAGE in os.environ:
        return inside(Path(os.environ[IMAGE]))
    begun = time.monotonic()
    watched = [Path("/run/cumulet"), Path("/var/lib/cumulet")]
    name = f"demo-{ids.token(8)}-"
    before = inventory(*watched, name=name)
    said(title)
    status = _run(module, name)
    left = differences(before, inventory(*watched, name=name))
    left += [f"left behind (files): {path}" for path in sorted(Path(tempfile.gettempdir()).glob(f"*{name}*"))]
    for line in left:
        failed(line)
    if not left:
        said(f"nothing is left on this machine ({time.monotonic() - begun:.0f} s in all)")
    return status or (1 if left else 0)


def _run(module: str, name: str) -> int:
    try:
        with step("build the tiny image (kernel and initramfs from Debian's packages)"):
            image = tiny.build(Path.home() / ".cache" / "cumulet" / "tiny")
        os.environ |= {IMAGE: str(image), NAME: name}
        return run_in_private_host([sys.executable, "-m", module], name=name)
    except KeyboardInterrupt:
        failed("interrupted")
        return 130
    except CumuletError as e:
        failed(str(e))
        return 1
