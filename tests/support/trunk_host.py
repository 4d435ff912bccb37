"""One of two hosts that are joined by a trunk alone: what is made, tried and taken away there.

Run as root on a machine (an emulated guest) whose eth0 is the trunk, with CUMULET_TEST_VLANS set. The argument is the
machine's number, 1 or 2: both do the same at the same time, and wait for each other by the trunk's own address.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
from support.guest import FakeGuest
from support.joined_hosts import RECEIVED, UNDERLAY_MTU, JoinedHost, count, icmp_request, let, reach
from support.netns import SETTINGS, Vpc, allow

from cumulet.drivers.contract import Seen
from cumulet.drivers.network import namespace
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

PORT, MEETING = 80, 7000
PATIENCE = 20.0
"""Seconds that an answer may take here, where everything is emulated."""
VPC, OTHER = Vpc(1), Vpc(2)
_SET_UP = """
ip link set lo up
ip link set eth0 name under0
ip address add 192.0.2.{number}/24 dev under0
ip link set under0 up
ip link add pub0 type veth peer name pub1
ip address add {public}/24 dev pub0
ip link set pub0 up
ip link set pub1 up
"""


class Machine(JoinedHost):
    """This machine as the host: nothing is between it and the commands."""

    def __enter__(self) -> Self:
        for directory in ("/run/netns", "/run/test"):
            Path(directory).mkdir(parents=True, exist_ok=True)
        for line in _SET_UP.format(number=self.number, public=self.public).strip().splitlines():
            run(line.split())
        return self

    def __exit__(self, *_: object) -> None:
        """The machine ends with its command."""

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(one) for one in arguments]

    def of_the_trunk(self) -> str:
        """What the operator has set of it."""
        (link,) = json.loads(self.run("ip", "-j", "-d", "address", "show", "dev", "under0"))
        return str({key: link[key] for key in ("ifname", "flags", "mtu", "address", "operstate", "promiscuity")})


class Meeting:
    """Where both machines wait for each other."""

    def __init__(self, number: int) -> None:
        if number == 1:
            listener = socket.create_server(("192.0.2.1", MEETING))
            listener.settimeout(120)
            self._file = listener.accept()[0].makefile("rw")
            return
        for _ in range(120):
            try:
                self._file = socket.create_connection(("192.0.2.1", MEETING), timeout=5).makefile("rw")
                break
            except OSError:
                time.sleep(1)

    def at(self, what: str) -> None:
        """Both are here."""
        self._file.write(f"{what}\n")
        self._file.flush()
        assert self._file.readline() == f"{what}\n"
        sys.stdout.write(f"both: {what}\n")


class Host:
    """A host with a guest in each of two VPCs whose ranges are the same, and what is tried on it."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.number = machine, machine.number
        self.other_host = JoinedHost(3 - machine.number)
        self.meeting = Meeting(machine.number)
        self.first = self.number == 1
        self.ips = "10.0.0.11", "10.0.0.12"
        self.mine, self.theirs = self.ips if self.first else reversed(self.ips)
        self.guests: list[FakeGuest] = []

    def make(self) -> None:
        self.machine.start()
        let([self.machine], *(vpc.group(allow("tcp", PORT), allow("icmp")) for vpc in (VPC, OTHER)))
        own, elsewhere = [1, 1] if self.first else [2, 3], [2, 3] if self.first else [1, 1]
        for vpc, number, there in zip((VPC, OTHER), own, elsewhere, strict=True):
            self.guests.append(self.machine.guest(vpc.interface(number)))
            self.machine.network.ensure(reach(vpc, (self.other_host, [vpc.interface(there)])))
        for guest in self.guests:
            guest.listen(PORT)
            guest.listen(PORT + 1)
        self.meeting.at("joined")

    def try_who_reaches_whom(self) -> None:
        mine, other = self.guests
        assert mine.ping(self.theirs, timeout=PATIENCE)
        assert mine.connect(self.theirs, PORT, timeout=PATIENCE) == f"from {self.mine}"
        assert mine.connect(self.theirs, PORT + 1, timeout=4) == "timeout", "the group lets nothing in there"
        wrong, right = ("10.0.0.12", "10.0.0.13") if self.first else ("10.0.0.12", "10.0.0.11")
        assert other.connect(right, PORT, timeout=PATIENCE).startswith("from")
        if self.first:
            assert not other.connect(wrong, PORT, timeout=4).startswith("from"), "that is a guest of the other VPC"
        for guest in (mine, other):
            neighbours = json.loads(guest.run("ip", "-j", "neigh"))
            assert {one["lladdr"] for one in neighbours if "lladdr" in one} == {"fe:00:0a:c2:00:01"}
        self.meeting.at("reached, and kept apart")

    def try_sizes(self) -> None:
        words = ["ping", "-c", "1", "-W", "20", "-M", "do", "-s", str(UNDERLAY_MTU - 28), self.theirs]
        assert "1 received" in str(self.guests[0].ask("run", arguments=words, check=False))
        names, values = self.machine.run("grep", "^Ip:", "/proc/net/snmp").splitlines()
        counted = dict(zip(names.split(), values.split(), strict=True))
        assert (counted["FragCreates"], counted["ReasmReqds"]) == ("0", "0")
        offered = self.guests[0].dhcp()
        assert (offered["ip"], offered["router"], offered["mtu"]) == (self.mine, "10.0.0.1", str(UNDERLAY_MTU))
        assert self.guests[0].get("/latest/meta-data/local-ipv4")[2] == self.mine
        self.meeting.at("1500 bytes, DHCP and metadata")

    def try_to_deceive(self) -> None:
        """Nothing forged and no broadcast of a guest leaves; who asks in the VLAN is not answered."""
        self.guests[0].heard()
        before = count(self.machine, RECEIVED, VPC)
        self.meeting.at("nobody has sent yet")
        own = bytes.fromhex(self.guests[0].spec.mac.replace(":", ""))
        forged = [icmp_request(source, self.ips[1]) for source in ("10.0.0.99", self.ips[1], "192.0.2.1")]
        broadcast, right = icmp_request(self.ips[0], "10.0.255.255"), icmp_request(self.ips[0], self.ips[1])
        if self.first:
            for packet in forged:
                self.guests[0].send(bytes.fromhex("fe000ac20001") + own + b"\x08\x00" + packet)
            self.guests[0].send(b"\xff" * 6 + own + b"\x08\x00" + broadcast)
            self.guests[0].send(bytes.fromhex("fe000ac20001") + own + b"\x08\x00" + right)
            time.sleep(3)
        self.meeting.at("forged")
        if not self.first:
            heard = self.guests[0].heard()
            assert [packet for packet in [*forged, broadcast] if any(packet[12:20] in frame for frame in heard)] == []
            assert any(right[12:20] in frame for frame in heard), "what was sent by the right name came"
            network = SETTINGS.namespace(VPC.id)
            assert namespace.within(network, lambda: ask_in_vlan(["10.0.0.1", "10.0.0.11", "169.254.169.254"])) == []
        self.meeting.at("asked")
        if self.first:
            assert count(self.machine, RECEIVED, VPC) > before, "the questions were heard"
        self.meeting.at("deceived nobody")

    def try_what_is_there(self) -> None:
        network = self.machine.network
        for vpc in (VPC, OTHER):
            shown = self.machine.inside(vpc, "ip", "-d", "link", "show", "vx")
            assert f"vlan protocol 802.1Q id {100 + vpc.number} " in shown
            assert Seen(id=vpc.id) in network.observe()
        self.machine.run("ip", "link", "add", "link", "under0", "name", "foreign", "type", "vlan", "id", "109")
        try:
            network.ensure(msgspec.structs.replace(reach(Vpc(9)), vlan=109))
            raise AssertionError("it has taken the VLAN of somebody else")
        except Failure as e:
            assert "something else on this host has it already" in str(e)
        network.remove(Vpc(9).id)
        self.machine.run("ip", "link", "delete", "foreign")
        network.kill()
        self.machine.start()
        self.machine.network.ensure(reach(VPC, (self.other_host, [VPC.interface(3 - self.number)])))
        assert self.guests[0].ping(self.theirs, timeout=PATIENCE)
        self.meeting.at("a driver that was killed knows it again")

    def take_away(self) -> None:
        if not self.first:
            self.machine.network.remove(VPC.id)
        self.meeting.at("removed on one host")
        assert not self.guests[0].ping(self.theirs, timeout=3)
        self.meeting.at("not reached")
        for vpc, guest in zip((VPC, OTHER), self.guests, strict=True):
            for id in (guest.spec.id, vpc.id, vpc.group_id):
                self.machine.network.remove(id)
            guest.close()


def ask_in_vlan(addresses: list[str]) -> list[str]:
    """The addresses that somebody answers for in the VPC's VLAN, by ARP."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as raw:
        raw.bind(("vx", 0x0806))
        raw.settimeout(3)
        own = raw.getsockname()[4]
        for address in addresses:
            question = bytes.fromhex("0001080006040001") + own + bytes([10, 0, 0, 200]) + bytes(6)
            raw.send(b"\xff" * 6 + own + b"\x08\x06" + question + socket.inet_aton(address))
        found = []
        try:
            while True:
                frame = raw.recv(2048)
                if frame[20:22] == b"\0\2":
                    found.append(socket.inet_ntoa(frame[28:32]))
        except TimeoutError:
            return found


def main() -> None:
    with Machine(int(sys.argv[1])) as machine:
        before, trunk = machine.inventory(), machine.of_the_trunk()
        host = Host(machine)
        host.make()
        host.try_who_reaches_whom()
        host.try_sizes()
        host.try_to_deceive()
        host.try_what_is_there()
        host.take_away()
        after = machine.inventory()
        left = {key: (before[key], after[key]) for key in before if before[key] != after[key] and key != "namespaces"}
        assert left == {}, left
        assert machine.of_the_trunk() == trunk
        host.meeting.at("all is as before")


if __name__ == "__main__":
    main()
