"""A process with the whole cloud over a directory, to be killed: `python runner.py DIRECTORY`."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from support.databases import noted

from cumulet.lib import log
from cumulet.lib.config import Config
from cumulet.services import Cloud


def config(directory: Path) -> Config:
    """The settings of the killed and of those who look at what they leave."""
    return Config(
        state_dir=directory,
        database_url=noted(directory),
        drivers="fake",
        test=True,
        host_name="h1",
        tunnel_address="192.0.2.1",
        vlan_interface="trunk0",
        vcpu_overcommit=100.0,
    )


def main() -> None:
    log.start("error")
    cloud = Cloud(config(Path(sys.argv[1])))
    cloud.prepare()
    cloud.start()
    sys.stdout.write("up\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
