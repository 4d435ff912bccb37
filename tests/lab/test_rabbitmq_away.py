"""RabbitMQ is away for ten minutes: guests go on, everything can be read, and what is asked for comes true afterwards.

`AWAY=n` says for how many seconds; `make test-slow` runs it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab_user import Lab

from cumulet.demo.process import until

AWAY = float(os.environ.get("AWAY") or 600)

pytestmark = [pytest.mark.private_host, pytest.mark.slow, pytest.mark.timeout(900 + 2 * AWAY)]


@pytest.fixture(scope="module")
def lab(tiny_image: Path) -> Iterator[Lab]:
    made = Lab(tiny_image, hosts=2)
    yield made
    made.stop()


def test_guests_and_reads_do_not_need_rabbitmq_and_wishes_wait_for_it(lab: Lab) -> None:
    guests = [lab.run("us-east-1a"), lab.run("us-east-1b")]
    for id in guests:
        lab.wait(id, "running")
        lab.wait_for_ssh(id)
    boots = [lab.boot(id) for id in guests]
    other = lab.look(guests[1])["PrivateIpAddress"]
    started = lab.run("us-east-1a")
    lab.wait(started, "running")

    lab.laboratory.rabbitmq.stop()
    end = time.monotonic() + AWAY
    stopped_at_once = lab.ec2.stop_instances(InstanceIds=[started])["StoppingInstances"][0]["CurrentState"]["Name"]
    asked = lab.ec2.allocate_address(Domain="vpc")["AllocationId"]
    lab.ec2.associate_address(AllocationId=asked, InstanceId=guests[0])
    looks = 0
    while time.monotonic() < end:
        assert [lab.boot(id) for id in guests[1:]] == boots[1:]
        assert lab.shell(guests[1], "imds /latest/meta-data/instance-id").strip() == guests[1]
        assert lab.look(guests[1])["State"]["Name"] == "running"
        assert lab.look(guests[1])["PrivateIpAddress"] == other
        looks += 1
        time.sleep(5)
    assert stopped_at_once == "stopping"
    assert looks > AWAY / 60
    assert lab.look(started)["State"]["Name"] == "stopping"

    lab.laboratory.rabbitmq.start()
    lab.wait(started, "stopped", seconds=60)
    until(lambda: lab.boot(guests[0]) == boots[0], 60, "the address that was asked for to be the guest's")
    late = lab.run("us-east-1b")
    lab.wait(late, "running")
    assert [lab.boot(id) for id in guests] == boots
