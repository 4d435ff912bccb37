"""A tested cloud of two hosts, each in a zone of its own."""

from __future__ import annotations

from typing import Any

from support.more_hosts import add_host
from support.tested_cloud import TestedCloud

from cumulet.drivers.fake_world import FakeWorld

THERE = {"Placement": {"AvailabilityZone": "us-east-1b"}}


class TwoZones:
    """The cloud's own host, which takes images in and serves the first zone, and h2 in the second one.

    `settings` are those of h2 that `add_host` takes; `own` and `world` are what is on the two.
    """

    def __init__(self, cloud: TestedCloud, **settings: Any) -> None:
        self.cloud = cloud
        cloud.cloud.host.heartbeat._zones = ["us-east-1a"]
        cloud.cloud.host.heartbeat.beat()
        self.other = add_host(cloud, "h2", zones=["us-east-1b"], **settings)
        self.own = FakeWorld(cloud.config.state_dir / "world")
        self.world = FakeWorld(cloud.config.state_dir / "hosts" / "h2" / "world")

    def pass_time(self, seconds: float, times: int = 3) -> None:
        """In steps in which both hosts are heard."""
        self.cloud.clock.ahead += seconds
        for _ in range(times):
            self.other.heartbeat.beat()
            self.cloud.pass_time(1.0)
