"""Real guests, inside a private host: from RunInstances to the hypervisor's start call and to SSH, beside bare QEMU."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import attaching
from bench.figures import Figure, median, percentile
from bench.processor import cpu_seconds, pss_mib
from cumulet.demo.process import CloudProcess, client, make_world
from cumulet.drivers.network.linux import LinuxNetwork
from cumulet.drivers.specs import GroupSpec, InterfaceSpec, MetadataSpec, RuleSpec, tap_name
from cumulet.lib.command import run
from cumulet.lib.config import Config
from cumulet.lib.private_host import SCRATCH_VARIABLE
from cumulet.parts import real_drivers

_BANNER = """
import socket, sys, time
end = time.time() + 60
while time.time() < end:
    try:
        with socket.create_connection((sys.argv[1], 22), timeout=0.1) as s:
            s.settimeout(2)
            if s.recv(4) == b"SSH-":
                print(time.time())
                sys.exit(0)
    except OSError:
        time.sleep(0.01)
sys.exit(1)
"""


def _port(number: int) -> str:
    """Eight to a slot, as libvirt has them."""
    place = f"bus=pcie.0,addr={2 + number // 8:#x}.{number % 8},port={16 + number},chassis={1 + number}"
    return f"pcie-root-port,id=port{number},{place}{',multifunction=on' if number % 8 == 0 else ''}"


_PORTS = [word for number in range(31) for word in ("-device", _port(number))]
"""As many as a guest of ours has, 26 of them free; as there, virtio's devices are behind ports."""
_BARE_IP = "198.51.100.250"


def main(image: Path, rounds: int, result: Path) -> None:
    make_world()
    state = Path(os.environ[SCRATCH_VARIABLE]) / "cloud"
    bare = _bares(image, state.parent / "before", rounds)
    cloud = CloudProcess(state)
    cloud.start()
    try:
        cloud.take_in_tiny(image)
        ec2 = client(cloud.environ())
        ec2.authorize_security_group_ingress(
            GroupName="default", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
        )
        key = state / "bench.pem"
        key.touch(mode=0o600)
        key.write_text(ec2.create_key_pair(KeyName="bench", KeyType="ed25519")["KeyMaterial"])
        footprint = _footprint(state)
        first = _run(ec2, image_of(ec2))  # the image is cached and the VPC is there, as on a host in use
        _banner(_public_address(ec2, first))
        launches = [_launch(ec2, state / "log") for _ in range(rounds)]
        volumes = attaching.measure(ec2, key, _public_address(ec2, first), first, rounds)
    finally:
        cloud.stop()
    bare += _bares(image, state.parent / "after", rounds)
    banner = median([seconds for _, seconds in launches])
    starts = [start for start, _ in launches]
    figures = [
        Figure("RunInstances to the hypervisor's start call, p50", median(starts), "ms", "< 60 ms", "real network"),
        Figure("RunInstances to the hypervisor's start call, p95", percentile(starts, 0.95), "ms", "< 120 ms"),
        Figure("RunInstances to the first SSH banner", banner, "s", "", "median"),
        Figure("bare qemu to the first SSH banner", median(bare), "s", "", "the same devices, before and after"),
        Figure("SSH banner: cumulet / bare qemu", banner / median(bare), "x", "<= 1.15 x", "of the medians"),
        *footprint,
        *volumes,
    ]
    result.write_text(json.dumps([asdict(figure) for figure in figures]))


def _launch(ec2: Any, log: Path) -> tuple[float, float]:
    """Milliseconds to the start call, seconds to the SSH banner."""
    image = image_of(ec2)
    begun = time.time()
    id = _run(ec2, image)
    banner = _banner(_public_address(ec2, id)) - begun
    start = started(id, log.read_text())
    terminate(ec2, id)
    return (start - begun) * 1000, banner


def started(id: str, log: str) -> float:
    """When the hypervisor was called to start it, seconds since 1970, as the log of its host says."""
    found = re.search(rf"^(\S+)Z INFO hypervisor starting instance={id}", log, re.M)
    assert found is not None, f"the log does not say when {id} was started"
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()


def terminate(ec2: Any, id: str) -> None:
    ec2.terminate_instances(InstanceIds=[id])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def image_of(ec2: Any) -> str:
    return str(ec2.describe_images()["Images"][0]["ImageId"])


def _run(ec2: Any, image: str) -> str:
    kind = {"ImageId": image, "InstanceType": "m1.tiny", "KeyName": "bench"}
    return str(ec2.run_instances(MinCount=1, MaxCount=1, **kind)["Instances"][0]["InstanceId"])


def _public_address(ec2: Any, id: str) -> str:
    for _ in range(500):
        instance = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
        if instance.get("PublicIpAddress"):
            return str(instance["PublicIpAddress"])
        time.sleep(0.02)
    raise RuntimeError(f"{id} has no public address")


def _banner(address: str) -> float:
    """When SSH answered there first, seconds since 1970, asked from the outside world."""
    return float(run(["ip", "netns", "exec", "world", sys.executable, "-c", _BANNER, address], timeout=90).stdout)


def _bares(image: Path, directory: Path, rounds: int) -> list[float]:
    """Not beside a cloud, which would take its network for a leftover."""
    return [_bare(image, directory, number) for number in range((rounds + 1) // 2)]


def _bare(image: Path, directory: Path, number: int) -> float:
    """Seconds from `qemu-system-x86_64` to the banner, on a tap of the same network driver."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    config = Config(state_dir=directory, public_interface="pub0", public_pool=["198.51.100.0/24"], emulation="tcg")
    network = real_drivers(config, lambda id: None)["network"].driver
    assert isinstance(network, LinuxNetwork)
    group, nic = _specs(number)
    network.ensure(group)
    network.ensure(nic)
    disk = directory / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1G"])
    begun = time.time()
    guest = subprocess.Popen(_qemu(image, disk, nic), stdout=subprocess.DEVNULL)
    try:
        _plug(network, nic)
        return _banner(_BARE_IP) - begun
    finally:
        guest.kill()
        guest.wait()
        network.remove(nic.id)
        network.remove(group.id)


def _plug(network: LinuxNetwork, nic: InterfaceSpec) -> None:
    for _ in range(500):
        network.ensure(nic)
        if not Path(f"/sys/class/net/{tap_name(nic.id)}").exists():
            return
        time.sleep(0.01)
    raise RuntimeError("QEMU does not hold its tap")


def _specs(number: int) -> tuple[GroupSpec, InterfaceSpec]:
    vpc, group = f"vpc-0000000000000000{number}", f"sg-0000000000000000{number}"
    everything = [RuleSpec(protocol="-1", cidr="0.0.0.0/0")]
    nic = InterfaceSpec(
        id=f"eni-0000000000000000{number}",
        vpc=vpc,
        vpc_cidr="172.31.0.0/16",
        subnet_cidr="172.31.0.0/20",
        mac="02:00:00:00:00:01",
        ip="172.31.0.10",
        groups=[group],
        public_ip=_BARE_IP,
        hostname="ip-172-31-0-10",
        metadata=MetadataSpec(
            instance_id="i-00000000000000000", account_id="1" * 12, public_key="ssh-ed25519 AAAA bench"
        ),
    )
    return GroupSpec(id=group, vpc=vpc, ingress=everything, egress=everything, members=[nic.ip]), nic


def _qemu(image: Path, disk: Path, nic: InterfaceSpec) -> list[str]:
    return [
        *["qemu-system-x86_64", "-machine", "q35,usb=off", "-accel", "tcg,tb-size=128", "-m", "512", "-smp", "1"],
        *["-cpu", "max", *_PORTS],
        *["-kernel", str(image / "kernel"), "-initrd", str(image / "initrd")],
        *["-append", "console=tty0 console=ttyS0 quiet no_timer_check net.ifnames=0"],
        *["-drive", f"file={disk},format=qcow2,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0,bus=port1"],
        *["-netdev", f"tap,id=n0,ifname={tap_name(nic.id)},script=no,downscript=no"],
        *["-device", f"virtio-net-pci,netdev=n0,mac={nic.mac},bus=port0", "-serial", f"file:{disk}.console"],
        *["-object", "rng-random,id=r0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=r0,bus=port3"],
        *["-device", "virtio-balloon-pci,bus=port2", "-vga", "std", "-vnc", f"unix:{disk}.vnc", "-nodefaults"],
    ]


def _footprint(state: Path) -> list[Figure]:
    cloud = int((state / "cumulet.pid").read_text().split()[0])
    time.sleep(3)
    before = cpu_seconds([cloud])
    time.sleep(10)
    share = (cpu_seconds([cloud]) - before) / 10 * 100
    return [
        Figure("idle, real drivers: memory (PSS)", pss_mib(cloud), "MiB", "< 150 MB", "cumulet's own process"),
        Figure("idle, real drivers: CPU", share, "% of a core", "< 1 %", "over 10 s"),
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
