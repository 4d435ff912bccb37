"""VPCs joined by VLANs, on the distribution's kernel: two machines with a trunk between them, and the contract (slow).

This machine's kernel may have no 802.1q; that of a guest, emulated, has.
"""

from __future__ import annotations

import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.emulated import Wire, has_files_server, run_in_guest
from support.joined_hosts import VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

TESTS = Path(__file__).resolve().parents[1]
SUPPORT = TESTS / "support"
LONGEST = 600.0
SCRIPT = """\
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1 {variable}=1
cd {tests}
{python} -u -P {program} {number}
"""
CHOSEN = "changes_nothing or crash_anywhere or gets_a_vlan or address_changed"
OPTIONS = [
    "-x",
    "-p",
    "no:cacheprovider",
    "--color=no",
    "--timeout=500",
    "--basetemp=/run/work",
    "--durations=5",
    "-vv",
]
CONTRACT = f"""\
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1 {VARIABLE}=1
ip link set lo up
cd {TESTS.parent}
{sys.executable} -m pytest {" ".join(OPTIONS)}"""
MODULES = ["virtio_net", "8021q", "veth", "tun", "nf_tables", "nft_ct", "nft_nat", "nft_masq", "nft_chain_nat"]
MODULES += ["nft_fib_inet", "nf_conntrack_netlink"]


def test_two_machines_are_joined_by_a_vlan_of_each_vpc_on_their_trunk(tiny_image: Path) -> None:
    if not has_files_server():
        pytest.skip("it needs virtiofsd: apt-get install qemu-system-common (or virtiofsd)")
    first, second = free_ports()
    ends = [Wire("52:54:00:00:00:01", first, second), Wire("52:54:00:00:00:02", second, first)]
    program = SUPPORT / "trunk_host.py"
    facts = {"variable": VARIABLE, "tests": SUPPORT.parent, "python": sys.executable, "program": program}

    def said(number: int) -> str:
        script = SCRIPT.format(**facts, number=number)
        try:
            return run_in_guest(script, tiny=tiny_image, modules=MODULES, seconds=LONGEST, wire=ends[number - 1])
        except AssertionError as e:
            return str(e)

    with ThreadPoolExecutor(2) as pool:
        texts = list(pool.map(said, (1, 2)))
    assert all("both: all is as before" in text for text in texts), "\n\n".join(texts)


def test_the_contract_of_tunnels_holds_for_vlans(tiny_image: Path) -> None:
    """Hosts in namespaces of one guest, the underlay's bridge being the trunk: what two machines have not tried."""
    if not has_files_server():
        pytest.skip("it needs virtiofsd: apt-get install qemu-system-common (or virtiofsd)")
    said = within_a_guest(tiny_image, f'-k "{CHOSEN}" {TESTS}/contract/test_network_tunnel.py', LONGEST)
    assert re.search(r"\b\d+ passed", said)
    assert "failed" not in said


@pytest.mark.timeout(2 * LONGEST + 100)
def test_what_is_promised_of_hosts_with_vxlan_holds_with_vlans(tiny_image: Path) -> None:
    """All but three tests: two forge datagrams of a tunnel, and what fits to a guest is what fits outside."""
    if not has_files_server():
        pytest.skip("it needs virtiofsd: apt-get install qemu-system-common (or virtiofsd)")
    said = within_a_guest(tiny_image, f"{TESTS}/contract/test_network_hosts.py", 2 * LONGEST)
    assert re.search(r"\b\d+ passed, 3 skipped", said)
    assert "failed" not in said


def within_a_guest(tiny: Path, chosen: str, seconds: float) -> str:
    modules = [*MODULES, "bridge", "vxlan"]
    return run_in_guest(f"{CONTRACT} {chosen}\n", tiny=tiny, modules=modules, seconds=seconds)


def free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
