"""The libvirt hypervisor with real guests: starting, rebooting, stopping, and every way in which a guest ends."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.guests import Guests, boot_record
from support.libvirtd import bounded

from cumulet.drivers.contract import Driver, Seen
from cumulet.drivers.specs import ImageFileSpec, NicSpec, VolumeSpec, tap_name
from cumulet.lib.command import run
from cumulet.lib.errors import Failure
from cumulet.lib.private_host import start_libvirtd, stop_libvirtd

pytestmark = pytest.mark.private_host


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory, tiny_image: Path) -> Iterator[Guests]:
    found = Guests(tmp_path_factory.mktemp("host"), tiny_image)
    yield found
    found.close()


@pytest.fixture
def id(guests: Guests) -> Iterator[str]:
    made = f"i-0{uuid.uuid4().hex[:16]}"
    yield made
    guests.remove(made)


def test_it_is_a_driver(guests: Guests) -> None:
    assert isinstance(guests.hypervisor, Driver)


def test_a_guest_starts_once_however_often_it_is_asked_for(guests: Guests, id: str) -> None:
    guests.ensure(id)
    process = guests.qemu(id)
    guests.ensure(id)
    assert guests.qemu(id) == process
    assert guests.hypervisor.look(id) == Seen(id=id, state="running", generation=1)
    assert guests.hypervisor.look(id) in guests.hypervisor.observe()


def test_removing_a_running_guest_leaves_nothing(guests: Guests, id: str) -> None:
    guests.ensure(id)
    process = guests.qemu(id)
    guests.hypervisor.remove(id)
    guests.hypervisor.remove(id)
    assert not Path(f"/proc/{process}").exists()
    assert guests.hypervisor.look(id) is None
    assert id not in run(["virsh", "list", "--all", "--name"]).stdout
    assert list(guests.directories.consoles.glob(f"{id}*")) == []


def test_a_guest_is_paused_until_its_tap_is_moved(guests: Guests, id: str) -> None:
    nic = NicSpec(interface="eni-0123456789abcdef0", mac="02:00:00:00:00:01")
    tap = tap_name(nic.interface)
    with pytest.raises(Failure, match=f"{tap} is not there yet"):
        guests.ensure(id, nics=[nic])
    run(["ip", "tuntap", "add", tap, "mode", "tap"])
    run(["ip", "netns", "add", "elsewhere"])
    guests.ensure(id, nics=[nic])
    guests.ensure(id, nics=[nic])
    assert guests.state(id) == "paused"
    run(["ip", "link", "set", tap, "netns", "elsewhere"])
    guests.ensure(id, nics=[nic])
    assert guests.state(id) == "running"


def test_a_guest_that_starts_is_not_asked_for_each_feature_of_its_processor(guests: Guests, id: str) -> None:
    """While it is paused, QEMU writes what it answers to libvirt: 5,300 calls of the system where it is asked some 30
    times, 196,000 where it is asked 400 times (docs/decisions/0042)."""
    nic = NicSpec(interface="eni-0123456789abcdef1", mac="02:00:00:00:00:01")
    run(["ip", "tuntap", "add", tap_name(nic.interface), "mode", "tap"])
    guests.ensure(id, nics=[nic])
    done = dict(line.split(": ") for line in Path(f"/proc/{guests.qemu(id)}/io").read_text().splitlines())
    assert guests.state(id) == "paused"
    assert int(done["syscw"]) < 50_000


def test_the_console_and_the_screen_can_be_reached(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.wait_until_booted(id)
    assert guests.says(id, b"log in by SSH")
    screen = guests.hypervisor.vnc_socket(id)
    assert screen is not None
    assert screen.is_socket()


def test_a_newer_generation_restarts_a_guest_by_its_power_button(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.wait_until_booted(id)
    process = guests.qemu(id)
    for _ in bounded(30):
        guests.ensure(id, generation=2, force_after=time.time() + 60)
        if guests.hypervisor.look(id) == Seen(id=id, state="running", generation=2):
            break
    assert guests.qemu(id) != process
    assert b"the power button was pressed" in guests.hypervisor.console(id)


def test_a_guest_is_stopped_by_its_power_button_and_started_by_a_newer_generation(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.wait_until_booted(id)
    before = time.monotonic()
    guests.ensure(id, power="off", force_after=time.time() + 60)
    assert time.monotonic() - before < 5
    guests.wait_for(id, Seen(id=id, state="off", generation=1))
    assert b"the power button was pressed" in guests.hypervisor.console(id)
    guests.ensure(id, generation=2)
    assert guests.hypervisor.look(id) == Seen(id=id, state="running", generation=2)


def test_a_guest_that_does_not_listen_is_stopped_by_force(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.ensure(id, power="off", force_after=time.time() + 1)
    assert guests.state(id) == "running"
    time.sleep(1)
    guests.ensure(id, power="off", force_after=time.time() - 0.1)
    assert guests.hypervisor.look(id) == Seen(id=id, state="off", generation=1)


def test_a_guest_that_restarts_by_itself_is_the_same_start(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.wait_until_booted(id)
    process = guests.qemu(id)
    run(["virsh", "send-key", id, "KEY_LEFTCTRL", "KEY_LEFTALT", "KEY_DELETE"])
    guests.wait_until_booted(id, times=2)
    guests.ensure(id)
    assert guests.qemu(id) == process
    assert guests.hypervisor.look(id) == Seen(id=id, state="running", generation=1)


def test_a_guest_that_shuts_itself_down_stays_off(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.wait_until_booted(id)
    guests.changed.clear()
    run(["virsh", "shutdown", id, "--mode", "acpi"])
    guests.wait_for(id, Seen(id=id, state="off", generation=1, ended="shutdown"))
    assert guests.is_told_of(id)
    guests.ensure(id)
    assert guests.state(id) == "off"
    guests.ensure(id, generation=2)
    assert guests.state(id) == "running"


def test_a_killed_qemu_is_a_crash(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.changed.clear()
    os.kill(guests.qemu(id), signal.SIGKILL)
    assert guests.is_told_of(id)
    guests.wait_for(id, Seen(id=id, state="off", generation=1, ended="crashed"))
    guests.ensure(id)
    assert guests.state(id) == "off"


def test_a_guest_comes_back_after_a_reboot_of_the_host(guests: Guests, id: str) -> None:
    guests.ensure(id)
    stop_libvirtd()
    os.kill(guests.qemu(id), signal.SIGKILL)
    guests.boot_id.write_text(str(uuid.uuid4()))
    start_libvirtd()
    guests.wait_for(id, Seen(id=id, state="off", generation=1, ended="lost"))
    guests.ensure(id)
    assert guests.hypervisor.look(id) == Seen(id=id, state="running", generation=1)


def test_a_stopped_guest_stays_off_after_a_reboot_of_the_host(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.ensure(id, power="off")
    guests.boot_id.write_text(str(uuid.uuid4()))
    guests.ensure(id, power="off")
    assert guests.hypervisor.look(id) == Seen(id=id, state="off", generation=1)


def test_a_guest_that_runs_lives_through_a_restart_of_libvirtd(guests: Guests, id: str) -> None:
    guests.ensure(id)
    process = guests.qemu(id)
    stop_libvirtd()
    with pytest.raises(Failure, match="does not answer: start"):
        guests.ensure(id)
    start_libvirtd()
    guests.ensure(id)
    assert guests.qemu(id) == process
    assert guests.hypervisor.look(id) == Seen(id=id, state="running", generation=1)


def test_why_a_guest_is_off_is_known_after_a_restart_of_libvirtd(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.wait_until_booted(id)
    run(["virsh", "shutdown", id, "--mode", "acpi"])
    guests.wait_for(id, Seen(id=id, state="off", generation=1, ended="shutdown"))
    stop_libvirtd()
    start_libvirtd()
    guests.wait_for(id, Seen(id=id, state="off", generation=1, ended="shutdown"))


def test_a_guest_that_shuts_down_while_libvirtd_is_away_is_told_of_afterwards(guests: Guests, id: str) -> None:
    guests.ensure(id)
    guests.wait_until_booted(id)
    run(["virsh", "shutdown", id, "--mode", "acpi"])
    stop_libvirtd(number=signal.SIGKILL)
    assert guests.says(id, b"the power button was pressed")
    time.sleep(2)
    guests.changed.clear()
    start_libvirtd()
    assert guests.is_told_of(id)
    guests.wait_for(id, Seen(id=id, state="off", generation=1, ended="shutdown"))


def test_domains_of_others_are_neither_listed_nor_touched(guests: Guests, id: str, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.xml"
    foreign.write_text(
        "<domain type='qemu'><name>foreign</name><memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    )
    run(["virsh", "create", foreign])
    guests.ensure(id)
    assert [seen.id for seen in guests.hypervisor.observe()] == [id]
    assert guests.hypervisor.look("foreign") is None
    guests.hypervisor.remove("foreign")
    assert run(["virsh", "domstate", "foreign"]).stdout.strip() == "running"
    run(["virsh", "destroy", "foreign"])


def test_a_guest_whose_volume_is_missing_starts_when_it_is_back(guests: Guests, id: str) -> None:
    file = guests.make_volume("vol-0123456789abcdef1")
    away = file.rename(file.with_suffix(".away"))
    with pytest.raises(Failure, match=file.name):
        guests.ensure(id, volume="vol-0123456789abcdef1")
    assert guests.hypervisor.look(id) == Seen(id=id, state="off", generation=1)
    away.rename(file)
    guests.ensure(id, volume="vol-0123456789abcdef1")
    assert guests.state(id) == "running"


def test_a_guest_with_uefi_gets_its_firmware_and_leaves_no_variables(guests: Guests, id: str) -> None:
    guests.ensure(id, boot="uefi", kernel_image=None)
    assert guests.says(id, b"BdsDxe")
    assert list(Path("/var/lib/libvirt/qemu/nvram").glob(f"{id}*"))
    guests.hypervisor.remove(id)
    assert list(Path("/var/lib/libvirt/qemu/nvram").glob(f"{id}*")) == []


def test_a_guest_boots_by_bios_from_a_volume_of_an_image(guests: Guests, id: str, tmp_path: Path) -> None:
    image = "imf-00000000000000002"
    source = tmp_path / "disk"
    source.write_bytes(boot_record(b"booted from disk\r\n"))
    guests.images.ensure(ImageFileSpec(id=image, source=str(source), format="raw"))
    volume = "vol-0123456789abcdef2"
    guests.volumes.ensure(VolumeSpec(id=volume, size_gib=2, image_file=image))
    guests.ensure(id, volume=volume, boot="bios", kernel_image=None)
    assert guests.says(id, b"booted from disk")
