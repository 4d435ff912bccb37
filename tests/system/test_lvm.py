"""Volumes in LVM itself: what its contract suite does, in a guest whose kernel has the device mapper (slow)."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from support.emulated import has_files_server, run_in_guest
from support.volume_group import DISK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
SUITES = [CONTRACT / "test_volume_lvm.py", CONTRACT / "test_volume_locked.py"]
LONGEST = 1200.0
OPTIONS = ["-p", "no:cacheprovider", "--color=no", "--timeout=900", "--basetemp=/run/work/tests", "--durations=10"]
SCRIPT = f"""\
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/work TMPDIR=/run/work PYTHONDONTWRITEBYTECODE=1
export LVM_SYSTEM_DIR=/run/lvm-settings LVM_SUPPRESS_FD_WARNINGS=1 {DISK}=/dev/vda
mkdir /run/lvm-settings /run/work
cat > /run/lvm-settings/lvm.conf <<END
devices {{ obtain_device_list_from_udev=0 external_device_info_source="none" use_devicesfile=0 }}
activation {{ udev_sync=0 udev_rules=0 monitoring=0 }}
global {{ thin_check_executable="" use_lvmpolld=0 }}
backup {{ backup=0 archive=0 }}
END
mkfs.ext4 -q /dev/vdb
mount /dev/vdb /run/work
ip link set lo up
cd {CONTRACT.parents[1]}
{sys.executable} -m pytest {" ".join(map(str, [*OPTIONS, *SUITES]))}
"""
"""There is no udev in the guest: LVM makes the devices by itself."""


def test_volumes_are_kept_in_lvm_itself(tiny_image: Path) -> None:
    if shutil.which("lvcreate") is None or not has_files_server():
        pytest.skip("it needs LVM's commands and virtiofsd: apt-get install lvm2 qemu-system-common (or virtiofsd)")
    modules = ["ext4", "dm-mod", "dm-snapshot", "dm-thin-pool"]
    said = run_in_guest(SCRIPT, tiny=tiny_image, modules=modules, disks=[24, 4], seconds=LONGEST)
    assert re.search(r"\b\d\d passed, \d+ skipped", said)
