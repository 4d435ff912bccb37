"""Two hosts with real guests, PostgreSQL and RabbitMQ: guests reach each other, and whatever dies, nothing is lost."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.answered import answered
from support.lab_user import Lab, export_daemon, guests_of

from cumulet.demo.process import ssh, until
from cumulet.drivers.specs import EXPORT_TLS_PORT, PASSAGE_PORT
from cumulet.lib.errors import Failure
from cumulet.lib.image_link import IMAGE_PORT

pytestmark = pytest.mark.private_host


@pytest.fixture(scope="module")
def lab(tiny_image: Path) -> Iterator[Lab]:
    made = Lab(tiny_image, hosts=2, prepare=answered)
    yield made
    made.laboratory.stop()


@pytest.fixture(scope="module")
def guests(lab: Lab) -> list[str]:
    """One on each host, answering; the first one's disk is encrypted."""
    found = [lab.run("us-east-1a", encrypted=True), lab.run("us-east-1b")]
    for id in found:
        lab.wait(id, "running")
    for id in found:
        lab.wait_for_ssh(id)
    return found


def test_guests_on_two_hosts_reach_each_other_at_full_size(lab: Lab, guests: list[str]) -> None:
    there = lab.look(guests[1])
    for address in (there["PrivateIpAddress"], there["PublicIpAddress"]):
        assert "2 packets received" in lab.shell(guests[0], f"ping -c 2 -W 5 -s 1400 {address}")
    assert "mtu 1450" in lab.shell(guests[0], "ip link show eth0")


def test_killing_agents_and_control_plane_disturbs_no_guest(lab: Lab, guests: list[str]) -> None:
    before = [lab.boot(id) for id in guests]
    addresses = [lab.look(id)["PublicIpAddress"] for id in guests]
    lab.laboratory.rabbitmq.stop()
    for address in addresses:
        assert ssh(lab.key, address, "imds /latest/meta-data/instance-id").strip() in guests
    for machine in (*lab.laboratory.hosts.values(), lab.laboratory.controller):
        machine.kill_cumulet()
    lab.laboratory.rabbitmq.start()
    until(lambda: lab.laboratory.alive() >= {"compute.h1", "compute.h2"}, 90, "the hosts to be heard again")
    assert [lab.boot(id) for id in guests] == before
    id = lab.run("us-east-1a")
    lab.wait(id, "running")
    lab.ec2.terminate_instances(InstanceIds=[id])
    lab.wait(id, "terminated")


def test_what_is_asked_for_while_a_host_is_cut_off_comes_true_when_it_is_back(lab: Lab, guests: list[str]) -> None:
    host, before = lab.laboratory.hosts["h2"], lab.boot(guests[1])
    host.cut()
    try:
        until(lambda: "compute.h2" not in lab.laboratory.alive(), 60, "the host to be missed")
        assert lab.boot(guests[1]) == before, "a guest of a host that is cut off goes on"
        lab.ec2.reboot_instances(InstanceIds=[guests[1]])
        refused = lab.run("us-east-1b")
        lab.wait(refused, "terminated")
        assert lab.look(refused)["StateReason"]["Code"] == "Server.InsufficientInstanceCapacity"
    finally:
        host.heal()
    until(lambda: lab.has_booted_since(guests[1], before), 120, "the guest to be rebooted")


def test_a_host_that_lost_its_power_brings_its_guests_back(lab: Lab, guests: list[str]) -> None:
    before = lab.boot(guests[1])
    lab.laboratory.hosts["h2"].kill()
    until(lambda: not lab.answers(guests[1]), 30, "the guest to be gone")
    assert lab.answers(guests[0])
    lab.laboratory.hosts["h2"].start()
    lab.wait_for_ssh(guests[1], 120)
    assert lab.boot(guests[1]) != before
    assert lab.look(guests[1])["State"]["Name"] == "running"


@pytest.fixture(scope="module")
def third(lab: Lab) -> None:
    """One more host, in the zone of the first one."""
    lab.laboratory.add_host(3)
    until(lambda: "volume.h3" in lab.laboratory.alive(), 60, "the new host to be heard")


@pytest.fixture(scope="module")
def volume(lab: Lab, guests: list[str], third: None) -> str:
    """In the zone of the first guest, on another host than that; attached, with four MiB written and synced."""
    id = str(lab.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"])
    lab.ec2.get_waiter("volume_available").wait(VolumeIds=[id], WaiterConfig={"Delay": 1})
    lab.ec2.attach_volume(VolumeId=id, InstanceId=guests[0], Device="/dev/vdb")
    until(lambda: lab.volume(id)["Attachments"][0]["State"] == "attached", 30, "the volume to be attached")
    lab.shell(guests[0], "head -c 4194304 /dev/urandom >/root/first; dd if=/root/first of=/dev/vdb bs=1M; sync")
    return id


def same(lab: Lab, guest: str, file: str, megabyte: int) -> bool:
    """Whether the volume has, at this place, what is in the guest's file; read anew, not out of the guest's memory."""
    read = f"dd if=/dev/vdb bs=1M skip={megabyte} count=4 | md5sum; md5sum <{file}"
    lines = lab.shell(guest, f"echo 3 >/proc/sys/vm/drop_caches; {read}").split("\n")
    return lines[0] == lines[1]


def test_a_volume_of_another_host_outlives_its_export_daemon_and_its_host(
    lab: Lab, guests: list[str], volume: str
) -> None:
    (found,) = [one for one in json.loads(lab.laboratory.ask("volume", "list", "--json")) if one["id"] == volume]
    assert (found["host"], found["exported"]) == ("h3", True)
    before = lab.boot(guests[0])
    assert same(lab, guests[0], "/root/first", 0)
    os.kill(export_daemon("h3"), signal.SIGKILL)
    second = "head -c 4194304 /dev/urandom >/root/second; dd if=/root/second of=/dev/vdb bs=1M seek=8; sync"
    lab.shell(guests[0], second)
    assert same(lab, guests[0], "/root/first", 0)
    host = lab.laboratory.hosts["h3"]
    host.kill()
    host.start()
    until(lambda: "volume.h3" in lab.laboratory.alive(), 60, "the host to be back")
    until(lambda: is_read(lab, guests[0]), 180, "the guest to read the volume again")
    assert same(lab, guests[0], "/root/first", 0)
    assert same(lab, guests[0], "/root/second", 8)
    assert lab.boot(guests[0]) == before


def is_read(lab: Lab, guest: str) -> bool:
    """Whether the volume is read within some seconds: TCP may take as long again as its server was away."""
    try:
        return same(lab, guest, "/root/first", 0)
    except Failure:
        return False


def test_a_volume_whose_host_is_back_at_another_address_is_found_there(
    lab: Lab, guests: list[str], volume: str
) -> None:
    before, host = lab.boot(guests[0]), lab.laboratory.hosts["h3"]
    host.kill()
    lab.laboratory.readdress("h3", 33)
    host.start()
    until(lambda: "volume.h3" in lab.laboratory.alive(), 60, "the host to be back")
    until(lambda: is_read(lab, guests[0]), 180, "the guest to read the volume again")
    assert same(lab, guests[0], "/root/second", 8)
    assert lab.boot(guests[0]) == before


def test_force_takes_a_volume_from_a_host_that_is_cut_off_and_leaves_its_guest_alone(
    lab: Lab, guests: list[str], volume: str
) -> None:
    lab.laboratory.hosts["h1"].cut()
    try:
        until(lambda: "compute.h1" not in lab.laboratory.alive(), 60, "the host to be missed")
        lab.ec2.detach_volume(VolumeId=volume, Force=True)
        until(lambda: lab.volume(volume)["State"] == "available", 60, "the volume to be free")
    finally:
        lab.laboratory.hosts["h1"].heal()
    until(lambda: "compute.h1" in lab.laboratory.alive(), 60, "the host to be heard again")
    lab.ec2.delete_volume(VolumeId=volume)
    lab.wait_for_ssh(guests[0])
    until(lambda: "vdb" not in lab.shell(guests[0], "cat /proc/partitions"), 60, "the guest to let go of the disk")


def on_disk(lab: Lab, guest: str) -> str:
    """A digest of the first four MiB of its disk, read anew: the tiny image lives in memory and leaves it alone."""
    return lab.shell(guest, "echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M count=4 | md5sum")


def test_a_guest_keeps_its_connections_while_it_moves(lab: Lab, guests: list[str], volume: str) -> None:
    before, boot = lab.look(guests[0]), lab.boot(guests[0])
    lab.shell(guests[0], "dd if=/root/first of=/dev/vda bs=1M; sync")
    kept, address = on_disk(lab, guests[0]), lab.look(guests[1])["PrivateIpAddress"]
    with lab.listening(guests[0]) as heard:
        lab.laboratory.ask("instance", "migrate", guests[0], "--to", "h3")
        moved = len(heard)
        until(lambda: len(heard) > moved + 10, 30, "the connection to go on")
    pauses = [later - earlier for earlier, later in itertools.pairwise(heard)]
    assert max(pauses) < 20, "TCP itself may wait as long again as nothing came through"
    assert on_disk(lab, guests[0]) == kept
    assert lab.boot(guests[0]) == boot
    for same in ("PrivateIpAddress", "PublicIpAddress", "LaunchTime"):
        assert lab.look(guests[0])[same] == before[same]
    assert "2 packets received" in lab.shell(guests[0], f"ping -c 2 -W 5 {address}")
    left = lab.laboratory.hosts["h1"].state / "volumes"
    until(lambda: not list(left.glob("vol-*")), 30, "its disk to be gone where it was")


def test_a_guest_moves_by_a_stop_with_its_disk_and_addresses(lab: Lab, guests: list[str]) -> None:
    before, boot = lab.look(guests[0]), lab.boot(guests[0])
    # the tiny image lives in memory: its disk is there for whoever wants to write to it
    kept = lab.shell(
        guests[0], "dd if=/dev/urandom of=/dev/vda bs=1M count=4; sync; dd if=/dev/vda bs=1M count=4 | md5sum"
    )
    lab.laboratory.ask("instance", "migrate", guests[0], "--to", "h1", "--cold")
    until(lambda: lab.has_booted_since(guests[0], boot), 120, "the guest to be there again")
    left = lab.laboratory.hosts["h3"].state / "volumes"
    until(lambda: not list(left.glob("vol-*")), 30, "its disk to be gone where it was")
    assert lab.shell(guests[0], "dd if=/dev/vda bs=1M count=4 | md5sum") == kept
    for same in ("PrivateIpAddress", "PublicIpAddress"):
        assert lab.look(guests[0])[same] == before[same]
    assert "2 packets received" in lab.shell(guests[0], f"ping -c 2 -W 5 {lab.look(guests[1])['PrivateIpAddress']}")


def test_an_image_of_a_guest_runs_on_another_host(lab: Lab, guests: list[str]) -> None:
    """Its disk is encrypted, and so is what is copied."""
    kept = on_disk(lab, guests[0])
    image = lab.ec2.create_image(InstanceId=guests[0], Name="golden", NoReboot=True)["ImageId"]
    until(lambda: lab.ec2.describe_images(ImageIds=[image])["Images"][0]["State"] == "available", 30, "the image")
    id = lab.run("us-east-1b", image=image)
    lab.wait(id, "running")
    lab.wait_for_ssh(id)
    assert on_disk(lab, id) == kept
    there = lab.laboratory.hosts["h2"].state / "volumes"
    assert len(list(there.glob("snap-*.qcow2"))) == 1
    lab.ec2.terminate_instances(InstanceIds=[id])
    lab.ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    places = [host.state / "volumes" for host in lab.laboratory.hosts.values()]
    until(lambda: not any(list(place.glob("snap-*")) for place in places), 60, "the snapshot to be gone")


AWS, RABBITMQ_TLS = 8773, 5671


def test_between_hosts_all_of_that_went_by_tls_but_what_is_signed_or_sealed(lab: Lab, guests: list[str]) -> None:
    """The endpoint is asked for sealed tickets, and PostgreSQL is on the controller, and not asked from elsewhere."""
    assert lab.beside.ports() == {AWS, RABBITMQ_TLS, EXPORT_TLS_PORT, PASSAGE_PORT, IMAGE_PORT}


def test_nothing_is_left_of_all_that(lab: Lab, guests: list[str]) -> None:
    lab.ec2.terminate_instances(InstanceIds=guests)
    for id in guests:
        lab.wait(id, "terminated")
    places = [host.state / "volumes" for host in lab.laboratory.hosts.values()]
    assert [path.name for place in places for path in place.glob("**/*.qcow2")] == []


@pytest.fixture
def shared(lab: Lab, third: None) -> list[str]:
    """The hosts of the first zone have the same directory of volumes, and stop their guests in time."""
    directory = lab.laboratory.directory / "shared"
    directory.mkdir()
    directory.chmod(0o777)  # QEMU is not root there
    hosts = [lab.laboratory.hosts[name] for name in ("h1", "h3")]
    for host in hosts:
        settings = host.file.read_text().replace('volume_dir = ""', f'volume_dir = "{directory}"')
        host.file.write_text(settings.replace("fence_seconds = 0.0", f"fence_seconds = {FENCE}"))
        host.kill_cumulet()
    until(lambda: all((host.state / "volume-store").exists() for host in hosts), 60, "the hosts to be back")
    return [host.name for host in hosts]


FENCE = 10.0


def test_what_ran_on_a_host_that_is_cut_off_goes_on_at_another_one_and_only_there(lab: Lab, shared: list[str]) -> None:
    id = lab.run("us-east-1a")
    lab.wait(id, "running")
    lab.wait_for_ssh(id)
    lab.shell(id, "head -c 4194304 /dev/urandom | dd of=/dev/vda bs=1M iflag=fullblock conv=fsync")
    kept, boot, before = on_disk(lab, id), lab.boot(id), lab.look(id)
    (lost,) = [name for name in shared if guests_of(name)]
    (other,) = [name for name in shared if name != lost]
    host = lab.laboratory.hosts[lost]
    host.cut()
    try:
        until(lambda: bool(guests_of(other)), 60, "the guest to be started elsewhere")
        assert not guests_of(lost), "it goes on where it was, with the same disk"
        until(lambda: lab.has_booted_since(id, boot), 60, "the guest to answer")
    finally:
        host.heal()
    assert on_disk(lab, id) == kept
    for same in ("PrivateIpAddress", "PublicIpAddress", "LaunchTime"):
        assert lab.look(id)[same] == before[same]
    until(lambda: f"compute.{lost}" in lab.laboratory.alive(), 60, "the host to be heard again")
    lab.ec2.terminate_instances(InstanceIds=[id])
    lab.wait(id, "terminated")
    assert list((lab.laboratory.directory / "shared").glob("vol-*")) == []
