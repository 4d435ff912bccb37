"""More hosts for a tested cloud: each with all its agents, on the same bus, in a fake world of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from support.tested_cloud import TestedCloud

from cumulet.parts import fake_drivers
from cumulet.services import Host, heartbeat_of


def add_host(cloud: TestedCloud, name: str, *, shares_images: bool = True, **settings: Any) -> Host:
    """The host is heard once, now; `settings` are those of its configuration that differ from the cloud's.

    It has the images of the cloud's own host as in a directory that they share, unless `shares_images` is false.
    """
    state = cloud.config.state_dir / "hosts" / name
    state.mkdir(parents=True)
    config = msgspec.structs.replace(cloud.config, host_name=name, state_dir=state, **settings)
    place = Path(config.volume_dir) if config.volume_dir else None
    images = cloud.config.state_dir / "world" if shares_images else None
    parts = fake_drivers(state / "world", lambda id: None, image_directory=images, volume_directory=place)
    host = Host(config, cloud.cloud.bus, parts, heartbeat_of(config, cloud.cloud.bus))
    host.heartbeat.beat()
    return host
