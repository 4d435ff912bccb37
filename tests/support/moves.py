"""Instances that the operator moves in a tested cloud: asked for, looked at, counted."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import launched
from support.more_hosts import add_host
from support.tested_cloud import TestedCloud

from cumulet.administration.desk import Desk
from cumulet.administration.gate import done_here
from cumulet.drivers.hypervisor.fake import FakeHypervisor
from cumulet.lib.errors import Failure
from cumulet.model import attachment, capacity, instance


def ordered(cloud: TestedCloud, action: str, **parameters: Any) -> Any:
    """What the operator's order is answered; raises `Failure`."""
    return done_here(Desk(cloud.database, cloud.config), action, parameters)


def where(cloud: TestedCloud, id: str) -> tuple[str, list[str]]:
    """The host of an instance, and those of its disks."""
    with cloud.database.read() as tx:
        row = instance.find(tx, id)
        assert row is not None
        return row.host, [disk.host for disk in attachment.disks(tx, id)]


def counted(cloud: TestedCloud) -> dict[str, capacity.Amount]:
    """What is promised, which is what the rows say."""
    with cloud.database.read() as tx:
        found = capacity.counted(tx)
        assert {name: amount for name, amount in found.items() if amount != capacity.NOTHING} == capacity.promised(tx)
    return found


def other(host: str) -> str:
    return "h2" if host == "h1" else "h1"


def generation(cloud: TestedCloud, id: str) -> int:
    """How often it has been started."""
    with cloud.database.read() as tx:
        row = instance.find(tx, id)
    assert row is not None
    return int(row.generation)


def move_of(cloud: TestedCloud, id: str) -> Any:
    """How far it is."""
    return ordered(cloud, "GetMove", name=id)


def hypervisor(cloud: TestedCloud) -> FakeHypervisor:
    """That of the first host."""
    driver = cloud.cloud.parts["compute"].driver
    assert isinstance(driver, FakeHypervisor)
    return driver


def on_first(cloud: TestedCloud, ec2: Any) -> str:
    """A running instance of the first host; it is placed before the second one is there."""
    id = launched(cloud, ec2)
    add_host(cloud, "h2", tunnel_address="192.0.2.2")
    return id


def settle(cloud: TestedCloud) -> None:
    """Until a guest that moves has come, or stays."""
    for _ in range(6):
        cloud.pass_time(1)


def refused(cloud: TestedCloud, act: str, **body: Any) -> str:
    with pytest.raises(Failure) as raised:
        ordered(cloud, act, **body)
    return str(raised.value)
