"""A guest writes and syncs to a volume of another host while its parts are killed: what was synced is there.

`KILLS=n` says how many, `SEED=n` which; `make kills` runs it with 200, `make test-slow` with 20.
"""

from __future__ import annotations

import os
import random
import re
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError
from support.lab_user import Lab, export_daemon

from cumulet.demo.process import ssh, until
from cumulet.lib.errors import Failure

KILLS = int(os.environ.get("KILLS") or 20)
SEED = int(os.environ.get("SEED") or time.time())
BLOCKS = 1 << 18
"""Of 4 KiB, in the volume."""
PLACE = f"$((n * 101 % {BLOCKS}))"
"""Of the number n: all over the volume, and no two at the same place."""
AT_ONCE = 5000
"""Numbers that are read by one command."""
WRITER = f"""
trap "" HUP
n=$1
while :; do
    n=$((n + 1))
    printf %016d $n | dd of=/dev/vdb bs=4096 seek={PLACE} conv=sync,fsync,notrunc 2>/dev/null || continue
    echo "synced $n." >/dev/ttyS0
    sleep 0.1
done
"""
READER = f"""
echo 3 >/proc/sys/vm/drop_caches
n=$1
while [ $n -lt $2 ]; do
    n=$((n + 1))
    found=$(dd if=/dev/vdb bs=4096 skip={PLACE} count=1 2>/dev/null | head -c 16)
    [ "$found" = "$(printf %016d $n)" ] || echo "lost $n"
done
echo read
"""

pytestmark = [pytest.mark.private_host, pytest.mark.slow, pytest.mark.timeout(300 + 120 * KILLS)]


class Site:
    """A guest on the first host, whose volume is on the third."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.laboratory = lab.laboratory
        self.guest = lab.run("us-east-1a")
        lab.wait(self.guest, "running")
        lab.wait_for_ssh(self.guest)
        lab.laboratory.add_host(3)
        until(lambda: "volume.h3" in lab.laboratory.alive(), 60, "the second host to be heard")
        self.volume = str(lab.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"])
        lab.ec2.get_waiter("volume_available").wait(VolumeIds=[self.volume], WaiterConfig={"Delay": 1})
        lab.ec2.attach_volume(VolumeId=self.volume, InstanceId=self.guest, Device="/dev/vdb")
        until(lambda: lab.volume(self.volume)["Attachments"][0]["State"] == "attached", 30, "the volume to be attached")
        self.checked = 0
        self.begin()

    def begin(self) -> None:
        """The guest writes, from where it has got to."""
        self.address = str(self.lab.look(self.guest)["PublicIpAddress"])
        self.shell(f"echo '{WRITER}' >/writer; sh /writer {self.synced()} </dev/null >/dev/null 2>&1 &")

    def shell(self, command: str) -> str:
        """Without the API, which may be away."""
        return ssh(self.lab.key, self.address, command, timeout=300)

    def api_answers(self) -> bool:
        try:
            return bool(self.lab.look(self.guest))
        except BotoCoreError:
            return False

    def answers(self) -> bool:
        try:
            return self.shell("echo here") == "here\n"
        except Failure:
            return False

    def synced(self) -> int:
        """The last block that the guest has said is synced."""
        console = self.laboratory.hosts["h1"].state / "consoles" / f"{self.guest}.log"
        text = b"".join(file.read_bytes() for file in sorted(console.parent.glob(f"{console.name}*")))
        return max((int(number) for number in re.findall(rb"synced (\d+)\.", text)), default=0)

    def goes_on(self) -> None:
        """Until the guest syncs again."""
        before = self.synced()
        until(lambda: self.synced() > before, 240, f"the guest to write again after {before} (SEED={SEED})")

    def check(self) -> None:
        """What was synced since the last check is there, read from the volume's own host."""
        last = self.synced()
        while self.checked < last:
            end = min(self.checked + AT_ONCE, last)
            said = self.shell(f"echo '{READER}' >/reader; sh /reader {self.checked} {end}")
            assert said.endswith("read\n") and "lost" not in said, f"{said} (SEED={SEED})"
            self.checked = end

    def check_all(self) -> None:
        """All that was ever synced is there."""
        self.checked = 0
        self.check()

    def kill_guest(self) -> None:
        """Its QEMU dies; it is started again, as its user would."""
        until(self.api_answers, 60, "the API to answer")
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            if b"qemu-system" in (words := _read(entry)) and self.guest.encode() in words:
                os.kill(int(entry.parent.name), signal.SIGKILL)
        self.lab.wait(self.guest, "stopped")
        self.lab.ec2.start_instances(InstanceIds=[self.guest])
        self.lab.wait(self.guest, "running", 240)
        self.lab.wait_for_ssh(self.guest, 240)
        self.begin()

    def lose_guests_host(self) -> None:
        """It loses its power, and has it again; the guest starts by itself."""
        host = self.laboratory.hosts["h1"]
        host.kill()
        host.start()
        until(self.answers, 240, f"the guest to be back (SEED={SEED})")
        self.begin()

    def lose_host(self) -> None:
        """The volume's host loses its power, and has it again."""
        host = self.laboratory.hosts["h3"]
        host.kill()
        host.start()

    def restart_rabbitmq(self) -> None:
        self.laboratory.rabbitmq.stop()
        self.laboratory.rabbitmq.start()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def site(tiny_image: Path) -> Iterator[Site]:
    lab = Lab(tiny_image, hosts=1)
    try:
        yield Site(lab)
    finally:
        lab.laboratory.stop()


def test_what_was_synced_is_there_whatever_is_killed(site: Site) -> None:
    hosts = site.laboratory.hosts
    kills: dict[str, tuple[int, Callable[[], object]]] = {
        "controller": (3, site.laboratory.controller.kill_cumulet),
        "agents of the guest's host": (3, hosts["h1"].kill_cumulet),
        "agents of the volume's host": (3, hosts["h3"].kill_cumulet),
        "export daemon": (5, lambda: os.kill(export_daemon("h3"), signal.SIGKILL)),
        "the guest's QEMU": (2, site.kill_guest),
        "RabbitMQ": (1, site.restart_rabbitmq),
        "the volume's host": (2, site.lose_host),
        "the guest's host": (1, site.lose_guests_host),
    }
    chance, took = random.Random(SEED), defaultdict[str, list[float]](list)
    for number in range(KILLS):
        site.goes_on()
        time.sleep(chance.uniform(0.0, 1.0))
        (name,) = chance.choices(list(kills), [weight for weight, _ in kills.values()])
        began = time.monotonic()
        kills[name][1]()
        site.goes_on()
        took[name].append(time.monotonic() - began)
        sys.stderr.write(f"{number + 1:4}  {name}: the guest wrote again after {took[name][-1]:.1f} s\n")
        site.check()
    site.check_all()
    assert site.checked < BLOCKS
    lines = [
        f"  {len(seconds):4}  {name}: {statistics.median(seconds):.1f} s, at most {max(seconds):.1f} s"
        for name, seconds in sorted(took.items())
    ]
    sys.stderr.write("\n".join([f"seed {SEED}: {site.checked} blocks were synced and read", *lines]) + "\n")


def test_the_volume_is_whole_without_its_guest(site: Site) -> None:
    until(site.api_answers, 60, "the API to answer")
    site.lab.ec2.terminate_instances(InstanceIds=[site.guest])
    site.lab.wait(site.guest, "terminated")
    until(lambda: site.lab.volume(site.volume)["State"] == "available", 60, "the volume to be free")
    with pytest.raises((Failure, ValueError)):
        export_daemon("h3")
