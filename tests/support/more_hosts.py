"""More hosts for a tested cloud: each with all its agents, on the same bus and in the same fake world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from support.tested_cloud import TestedCloud

from cumulet.parts import fake_drivers
from cumulet.services import Host, heartbeat_of


def add_host(cloud: TestedCloud, name: str, **settings: Any) -> Host:
    """The host is heard once, now; `settings` are those of its configuration that differ from the cloud's."""
    state = cloud.config.state_dir / "hosts" / name
    state.mkdir(parents=True)
    config = msgspec.structs.replace(cloud.config, host_name=name, state_dir=state, **settings)
    place = Path(config.volume_dir) if config.volume_dir else None
    parts = fake_drivers(cloud.config.state_dir / "world", lambda id: None, volume_directory=place)
    host = Host(config, cloud.cloud.bus, parts, heartbeat_of(config, cloud.cloud.bus))
    host.heartbeat.beat()
    return host
