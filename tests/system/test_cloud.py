"""Real guests from the API to the shell: what a user sees, and what a restart must not disturb."""

from __future__ import annotations

import json
import re
import signal
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from support.real_cloud import RealCloud

from cumulet.demo.inventory import inventory
from cumulet.demo.process import client, until
from cumulet.lib.command import run
from cumulet.lib.private_host import start_libvirtd, stop_libvirtd

pytestmark = pytest.mark.private_host


@pytest.fixture(scope="module")
def cloud(tiny_image: Path) -> Iterator[RealCloud]:
    made = RealCloud(tiny_image)
    yield made
    made.process.stop()


def give_a_role(cloud: RealCloud, name: str) -> None:
    """An instance profile with a role of the same name."""
    iam = client(cloud.admin.environ, "iam")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def test_a_guest_boots_with_key_and_user_data_and_reaches_the_world(cloud: RealCloud) -> None:
    give_a_role(cloud, "app")
    id = cloud.admin.run(UserData="#!/bin/sh\necho made by user data > /tmp/made", IamInstanceProfile={"Name": "app"})
    cloud.admin.wait_for_ssh(id)
    assert cloud.admin.ssh(id, "imds /latest/meta-data/instance-id").strip() == id
    assert cloud.admin.ssh(id, "whoami", user="cumulet").strip() == "cumulet"
    until(lambda: "made by user data" in cloud.admin.ssh(id, "cat /tmp/made || true"), 10, "user data to be run")
    held = json.loads(cloud.admin.ssh(id, "imds /latest/meta-data/iam/security-credentials/app"))
    keys = {"aws_access_key_id": held["AccessKeyId"], "aws_secret_access_key": held["SecretAccessKey"]}
    inside = boto3.client(
        "sts",
        endpoint_url=cloud.admin.environ["AWS_ENDPOINT_URL"],
        region_name=cloud.admin.environ["AWS_DEFAULT_REGION"],
        aws_session_token=held["Token"],
        **keys,
    )
    assert inside.get_caller_identity()["Arn"].endswith(f":assumed-role/app/{id}")
    cloud.admin.ssh(id, "ping -c 1 -W 5 192.0.2.2")
    until(lambda: "ready" in cloud.admin.ec2.get_console_output(InstanceId=id).get("Output", ""), 10, "the console")
    cloud.admin.terminate(id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restarting_cumulet_does_not_touch_a_guest(cloud: RealCloud, number: int) -> None:
    id = cloud.admin.run()
    cloud.admin.wait_for_ssh(id)
    boot = cloud.admin.ssh(id, "cat /proc/sys/kernel/random/boot_id")
    address = cloud.admin.look(id)["PublicIpAddress"]
    cloud.process.stop(number)
    run(["ip", "netns", "exec", "world", "ping", "-c", "1", "-W", "5", address])
    cloud.process.start()
    assert cloud.admin.ssh(id, "cat /proc/sys/kernel/random/boot_id") == boot
    assert cloud.admin.ssh(id, "imds /latest/meta-data/instance-id").strip() == id
    assert cloud.admin.look(id)["State"]["Name"] == "running"
    cloud.admin.terminate(id)


@pytest.mark.parametrize(("behaviour", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_guest_that_shuts_itself_down_is_shown_so(cloud: RealCloud, behaviour: str, state: str) -> None:
    id = cloud.admin.run(InstanceInitiatedShutdownBehavior=behaviour)
    cloud.admin.wait_for_ssh(id)
    cloud.admin.ssh(id, "poweroff")
    until(lambda: run(["virsh", "domstate", id], check=False).stdout.strip() != "running", 20, "the guest to go")
    cloud.admin.wait(id, state, seconds=5)
    cloud.admin.terminate(id)


def test_a_closed_port_opens_on_a_running_guest_within_a_second(cloud: RealCloud) -> None:
    id = cloud.admin.run()
    cloud.admin.wait_for_ssh(id)
    cloud.admin.ssh(id, "nc -l -p 8080 -e /bin/hostname >/dev/null 2>&1 &")
    address = cloud.admin.look(id)["PublicIpAddress"]
    probe = ["ip", "netns", "exec", "world", "timeout", "1", "bash", "-c", f"cat </dev/tcp/{address}/8080"]
    assert run(probe, check=False).returncode != 0
    cloud.admin.open("tcp", 8080, 8080)
    until(lambda: run(probe, check=False).returncode == 0, 3, "the port to be open")
    cloud.admin.terminate(id)


def test_two_accounts_with_the_same_range_neither_see_nor_reach_each_other(cloud: RealCloud) -> None:
    other = cloud.tenant("other")
    mine, theirs = cloud.admin.run(PrivateIpAddress="172.31.0.10"), other.run(PrivateIpAddress="172.31.0.10")
    beside = other.run(PrivateIpAddress="172.31.0.11")
    cloud.admin.wait_for_ssh(mine)
    other.wait_for_ssh(theirs)
    other.wait_for_ssh(beside)
    assert cloud.admin.ssh(mine, "imds /latest/meta-data/instance-id").strip() == mine
    assert other.ssh(theirs, "imds /latest/meta-data/instance-id").strip() == theirs
    assert "1 packets received" in other.ssh(theirs, "ping -c 1 -W 2 172.31.0.11")
    assert "0 packets received" in cloud.admin.ssh(mine, "ping -c 1 -W 2 172.31.0.11 || true")
    seen = [one["InstanceId"] for r in other.ec2.describe_instances()["Reservations"] for one in r["Instances"]]
    assert mine not in seen
    cloud.admin.terminate(mine)
    other.terminate(theirs, beside)


def test_a_published_tarball_boots_by_its_own_kernel(cloud: RealCloud, tiny_image: Path, tmp_path: Path) -> None:
    """As the tutorial of 2012 has it: credentials, a tarball in a bucket, and an instance of what was registered."""
    (tmp_path / "lucid.img").write_bytes(b"from the tarball".ljust(1 << 20, b"\0"))
    with tarfile.open(tmp_path / "lucid.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(tmp_path / "lucid.img", "lucid.img")
        archive.add(tiny_image / "kernel", "lucid-vmlinuz-virtual")
        archive.add(tiny_image / "initrd", "lucid-initrd-virtual")
    cloud.process.command("account", "credentials", "admin", str(tmp_path / "admin.zip"))
    with zipfile.ZipFile(tmp_path / "admin.zip") as papers:
        papers.extractall(tmp_path)
    files = {"--privatekey": "pk.pem", "--cert": "cert.pem", "--ec2cert": "cacert.pem"}
    named = [word for option, name in files.items() for word in (option, str(tmp_path / name))]
    said = cloud.process.command("image", "publish-tarball", str(tmp_path / "lucid.tar.gz"), "lucid", *named)
    ami, ari, aki = re.findall(r'="(a[mkr]i-\w+)"', said)
    ec2 = cloud.admin.ec2

    def states() -> list[str]:
        return [one["State"] for one in ec2.describe_images(ImageIds=[ami, ari, aki])["Images"]]

    until(lambda: states() == ["available"] * 3, 30, f"the images to be available: {states()}")
    id = cloud.admin.run(ImageId=ami)
    cloud.admin.wait_for_ssh(id)
    assert cloud.admin.ssh(id, "head -c 16 /dev/vda") == "from the tarball"
    assert cloud.admin.ssh(id, "imds /latest/meta-data/kernel-id").strip() == aki
    assert "root=/dev/vda" in cloud.admin.ssh(id, "cat /proc/cmdline")
    cloud.admin.terminate(id)


def test_libvirtd_away_is_said_and_comes_right_by_itself(cloud: RealCloud) -> None:
    stop_libvirtd()
    image = cloud.admin.ec2.describe_images()["Images"][0]["ImageId"]
    made = cloud.admin.ec2.run_instances(ImageId=image, InstanceType="m1.tiny", MinCount=1, MaxCount=1)
    id = made["Instances"][0]["InstanceId"]
    until(lambda: "libvirt" in cloud.admin.look(id).get("StateReason", {}).get("Message", ""), 20, "a reason")
    assert "libvirt" in cloud.process.command("explain", id)
    start_libvirtd()
    cloud.admin.wait(id, "running", seconds=60)
    cloud.admin.terminate(id)


def test_nothing_is_left_of_all_that(cloud: RealCloud) -> None:
    def left() -> list[str]:
        now = inventory()
        links = [name for name in now["links"] if name.startswith(("tk", "cv"))]
        spaces = sorted(now["network namespaces"] - {"world"})
        processes = [name for name in now["processes"] if "qemu-system" in name or "dnsmasq" in name]
        disks = [path.name for path in (cloud.process.state / "volumes").glob("vol-*")]
        return [*now["domains"], *links, *spaces, *processes, *disks]

    until(lambda: not left(), 20, f"nothing to be left: {left()}")
