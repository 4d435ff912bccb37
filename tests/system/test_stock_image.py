"""A stock Debian boots by BIOS and by UEFI, and its cloud-init takes all that it wants from us as from EC2 (slow)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real_cloud import RealCloud, Tenant

from cumulet.demo.process import until
from cumulet.lib.errors import Failure

pytestmark = [pytest.mark.private_host, pytest.mark.slow, pytest.mark.timeout(1500)]

BOOTS = {"bios": "debian-12", "uefi": "debian-12-uefi"}
LONGEST = 900.0
"""Seconds from the launch until cloud-init has done all, emulated and beside another one."""
ROOT_GIB = 8
USER_DATA = "#!/bin/sh\nid --user --name > /var/made-by-user-data\n"


class Guest:
    """One that is booting, and what its default user says to commands."""

    def __init__(self, tenant: Tenant, image: str) -> None:
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": ROOT_GIB}}
        self.tenant = tenant
        self.id = tenant.launch(image, InstanceType="m1.small", UserData=USER_DATA, BlockDeviceMappings=[disk])

    def says(self, command: str) -> str:
        return self.tenant.ssh(self.id, command, user="debian").strip()

    def has_booted(self) -> bool:
        """Whether cloud-init has come to its end, well or not."""
        try:
            return self.says("test -e /run/cloud-init/result.json && echo yes || true") == "yes"
        except (Failure, KeyError):  # no SSH, or no public address yet
            return False

    def console(self) -> str:
        said: str = self.tenant.ec2.get_console_output(InstanceId=self.id).get("Output", "")
        return said


@pytest.fixture(scope="module")
def guests(tiny_image: Path, stock_image: Path) -> Iterator[dict[str, Guest]]:
    """Both boot at once."""
    cloud = RealCloud(tiny_image)
    cloud.process.command("image", "import", str(stock_image), "--name", "debian-12", "--format", "qcow2")
    cloud.admin.ec2.register_image(Name="debian-12-uefi", ImageLocation="admin/debian-12", BootMode="uefi")
    yield {boot: Guest(cloud.admin, image) for boot, image in BOOTS.items()}
    cloud.process.stop()


@pytest.mark.parametrize("boot", BOOTS)
def test_a_stock_image_boots_and_is_configured_as_on_ec2(guests: dict[str, Guest], boot: str) -> None:
    guest, tenant = guests[boot], guests[boot].tenant
    until(guest.has_booted, LONGEST, f"{boot}: cloud-init to end; the console ends with: {guest.console()[-1500:]}")
    assert guest.says("test -d /sys/firmware/efi && echo uefi || echo bios") == boot
    result = json.loads(guest.says("cat /run/cloud-init/result.json"))["v1"]
    assert (result["datasource"], result["errors"]) == ("DataSourceEc2Local", [])
    assert guest.says("cat /run/cloud-init/cloud-id") == "aws"
    assert guest.says("sudo cloud-init query ds.meta_data.instance_id") == guest.id
    assert guest.says("sudo grep -e WARNING -e Traceback /var/log/cloud-init.log || true") == ""
    instance = tenant.look(guest.id)
    assert guest.says("hostname") == "ip-" + instance["PrivateIpAddress"].replace(".", "-")
    assert guest.says("cat /var/made-by-user-data") == "root"
    assert int(guest.says("df --block-size=1M --output=size / | tail -1")) > (ROOT_GIB - 1) * 1024
    said = guest.console()
    assert "Cloud-init v." in said
    assert f"{guest.says('hostname')} login:" in said
    guest.says("sudo systemctl poweroff || true")
    tenant.wait(guest.id, "stopped", seconds=120)
    tenant.terminate(guest.id)
