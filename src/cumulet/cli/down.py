"""`cumulet down`: end the cloud of a state directory; guests go on."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import click

from cumulet.cli import running
from cumulet.cli.options import as_json, settings
from cumulet.cli.output import progress, say
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure

SECONDS = 30.0


@click.command(epilog="Example: cumulet down --state-dir /srv/cloud")
@as_json
@settings
def down(config: Config, json: bool) -> None:
    """End the running cloud; guests go on."""
    pid = running.pid(config.state_dir)
    if pid is None:
        say({"ended": None}, json, f"no cloud runs for {config.state_dir}")
        return
    _ask_to_end(pid)
    deadline = time.monotonic() + SECONDS
    with progress("waiting for the cloud to end"):
        while running.pid(config.state_dir) is not None:
            if time.monotonic() > deadline:
                raise Failure(f"the cloud (pid {pid}) has not ended after {SECONDS:g} s; its log says why")
            time.sleep(0.02)
    say({"ended": pid}, json, "the cloud has ended; guests go on")


def _ask_to_end(pid: int) -> None:
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise Failure(f"the cloud (pid {pid}) is another user's: run this as that user") from None
