"""Disasters under a whole cloud with real guests: said clearly, survived by the others, mended by themselves."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from support.disasters import Disk, Programs, reboot, scratch, small_disk
from support.guests import boot_record
from support.real_cloud import RealCloud, Tenant

from cumulet.demo.process import until
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

pytestmark = pytest.mark.private_host


class Site:
    """A cloud on a disk of its own, its volumes on another, and a guest that lives through all of it."""

    def __init__(self, cloud: RealCloud, state: Disk, volumes: Disk) -> None:
        self.cloud, self.state_disk, self.volume_disk = cloud, state, volumes
        self.admin = cloud.admin
        self.keeper = self.admin.run()
        self.admin.wait_for_ssh(self.keeper)

    def await_explanation(self, id: str, text: str) -> None:
        """Until `cumulet explain` says so: between two tries it says for a moment what is awaited."""
        until(lambda: text in self.cloud.process.command("explain", id), 20, f"{text!r} to be the explanation of {id}")

    def import_image(self, file: Path) -> None:
        """For all; where that has no end, what the database has of images and work is said."""
        try:
            self.cloud.process.command("image", "import", str(file), "--public")
        except Failure as e:
            with sqlite3.connect(self.cloud.process.state / "cumulet.db") as database:
                rows = [(time.time(), *database.execute(f"SELECT * FROM {table}")) for table in ("work", "image_file")]
            raise Failure(f"{rows}") from e

    def status(self, id: str) -> str:
        """Of the system, for a guest that runs."""
        found = self.admin.ec2.describe_instance_status(InstanceIds=[id])["InstanceStatuses"][0]
        status: str = found["SystemStatus"]["Status"]
        return status

    def console(self, id: str) -> str:
        said: str = self.admin.ec2.get_console_output(InstanceId=id).get("Output", "")
        return said

    def use_up_the_journal(self) -> None:
        """Write until a refusal says why: what SQLite's journal had grown to before, it can still be filled to."""
        full = r"Unavailable.*The disk of the database is full; the request was not done"
        with pytest.raises(ClientError, match=full):
            for number in range(2000):
                self.admin.ec2.create_security_group(GroupName=f"more {number}", Description="than fits")

    def volumes(self) -> set[str]:
        """Those that the host has."""
        return {file.stem for file in self.volume_disk.directory.iterdir()}


@pytest.fixture(scope="module")
def site(tiny_image: Path) -> Iterator[Site]:
    with small_disk(scratch("disk"), mib=1025) as state:
        # a disk of 1 GiB on which volumes of more in all are promised; nobody waits for a probe of KVM
        cloud = RealCloud(tiny_image, state.directory, disk_overcommit="100", emulation="tcg")
        directory = cloud.process.state / "volumes"
        directory.mkdir(exist_ok=True)
        with small_disk(directory, mib=16) as volumes:
            yield Site(cloud, state, volumes)
            cloud.process.stop()


def reason(tenant: Tenant, id: str) -> str:
    message: str = tenant.look(id).get("StateReason", {}).get("Message", "")
    return message


def await_reason(tenant: Tenant, id: str, text: str) -> None:
    until(lambda: text in reason(tenant, id), 20, f"{text!r} to be why {id} does not run")


def boot_of(tenant: Tenant, id: str) -> str:
    """A number that is another one after each start of the guest."""
    return tenant.ssh(id, "cat /proc/sys/kernel/random/boot_id")


def test_a_reboot_of_the_host_brings_back_the_guests_that_should_run(site: Site) -> None:
    stopped = site.admin.run()
    site.admin.ec2.stop_instances(InstanceIds=[stopped], Force=True)
    site.admin.wait(stopped, "stopped")
    before, boot = site.admin.look(site.keeper), boot_of(site.admin, site.keeper)
    reboot(site.cloud.process)
    site.admin.wait_for_ssh(site.keeper)
    assert boot_of(site.admin, site.keeper) != boot
    after = site.admin.look(site.keeper)
    for address in ("PrivateIpAddress", "PublicIpAddress"):
        assert after[address] == before[address]
    assert site.admin.ssh(site.keeper, "imds /latest/meta-data/instance-id").strip() == site.keeper
    site.admin.wait(site.keeper, "running", seconds=5)
    assert site.admin.look(stopped)["State"]["Name"] == "stopped"
    assert stopped not in run(["virsh", "list", "--name"]).stdout
    site.admin.ec2.start_instances(InstanceIds=[stopped])
    site.admin.wait(stopped, "running")
    site.admin.terminate(stopped)


def test_a_full_disk_is_said_and_holds_up_only_what_needs_room(site: Site) -> None:
    boot = boot_of(site.admin, site.keeper)
    with site.volume_disk.filled():
        late = site.admin.launch()
        await_reason(site.admin, late, "the disk is full: it needs 262144 bytes")
        site.await_explanation(late, "the disk is full")
        with site.state_disk.filled():
            site.use_up_the_journal()
            assert boot_of(site.admin, site.keeper) == boot
            doctor = site.cloud.process.attempt("doctor")
        assert doctor.returncode == 1
        assert f"{site.state_disk.directory}/cloud: No space left on device" in doctor.stdout
        assert f"make room in {site.volume_disk.directory}:" in doctor.stdout
    site.admin.wait(late, "running")
    site.admin.terminate(late)
    kept = site.admin.look(site.keeper)["BlockDeviceMappings"]
    assert site.volumes() == {disk["Ebs"]["VolumeId"] for disk in kept}


def test_a_guest_that_writes_to_a_full_disk_waits_for_room(site: Site) -> None:
    boot = boot_of(site.admin, site.keeper)
    with site.volume_disk.filled():
        site.admin.ssh(site.keeper, "dd if=/dev/urandom of=/dev/vda bs=1M count=8 conv=fsync >/tmp/dd 2>&1 &")
        until(lambda: "paused" in run(["virsh", "domstate", site.keeper]).stdout, 30, "the guest to wait")
        until(lambda: site.status(site.keeper) == "impaired", 20, "its status to say so")
        site.await_explanation(site.keeper, "waits until a disk of it can be written")
    until(lambda: "8+0 records out" in site.admin.ssh(site.keeper, "cat /tmp/dd"), 30, "all of it to be written")
    assert boot_of(site.admin, site.keeper) == boot
    until(lambda: site.status(site.keeper) == "ok", 20, "its status to be well")


def test_a_program_that_is_missing_is_named_and_all_comes_right_when_it_is_back(site: Site) -> None:
    boot = boot_of(site.admin, site.keeper)
    programs = Programs("nft", "dnsmasq", "qemu-system-x86_64")
    other = site.cloud.tenant("other")  # whose VPC needs them all
    run(["nft", "add table inet foreign; delete table inet foreign"])  # the host's rules are to be looked at again
    for name in ("nft", "dnsmasq", "qemu-system-x86_64"):
        programs.take_away(name)
    id = other.launch()
    for name in ("nft", "dnsmasq", "qemu-system-x86_64"):
        await_reason(other, id, f"{name}{'' if 'qemu' in name else ':'}")
        await_reason(other, id, "is not installed")
        site.await_explanation(id, name)
        programs.put_back(name)
    other.wait(id, "running")
    other.wait_for_ssh(id)
    assert boot_of(site.admin, site.keeper) == boot
    other.terminate(id)


def test_an_image_that_is_deleted_stops_no_guest_and_is_taken_in_again(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "sector.img"
    source.write_bytes(boot_record(b"booted from disk\r\n"))
    site.import_image(source)
    runs = site.admin.run(ImageId=site.admin.image("sector"))
    for image in (site.cloud.process.state / "images").iterdir():
        shutil.rmtree(image)
    away = source.rename(tmp_path / "away")
    source.write_bytes(boot_record(b"another disk\r\n"))
    late, tiny = site.admin.launch("sector"), site.admin.launch()
    site.admin.wait(tiny, "running")  # its files are where they came from
    await_reason(site.admin, late, "its image file")
    site.await_explanation(late, "is not what was taken in before")
    assert site.admin.look(runs)["State"]["Name"] == "running"
    away.rename(source)
    site.admin.wait(late, "running")
    until(lambda: "booted from disk" in site.console(late), 20, "the guest to boot")
    site.admin.terminate(runs, late, tiny)
