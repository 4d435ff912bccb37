"""What a guest is given: its address by DHCP, names by DNS, and its metadata; by the clients that guests have."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from support.guest import FakeGuest
from support.netns import SETTINGS, Host, Network, Vpc, allow

from cumulet.drivers.specs import InterfaceSpec

VPC = Vpc()


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def network(host: Host) -> Network:
    return Network(host)


def test_a_real_client_is_offered_what_a_guest_needs(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, VPC.interface(1, mtu=1400), addressed=False)
    assert guest.dhcp() == {
        "ip": "10.0.0.11",
        "mask": "24",
        "router": "10.0.0.1",
        "dns": "10.0.0.1",
        "mtu": "1400",
        "hostname": "ip-10-0-0-11",
        "domain": "ec2.internal",
        "lease": "86400",
    }
    assert guest.ping("10.0.0.1")


def test_guests_in_two_subnets_of_a_vpc_get_each_its_own(host: Host, network: Network) -> None:
    wide = VPC.interface(2, subnet_cidr="10.0.16.0/20", ip="10.0.16.9")
    first = FakeGuest.started(host, network, VPC.interface(1), addressed=False)
    second = FakeGuest.started(host, network, wide, addressed=False)
    network.ensure(VPC.group(allow("icmp")))
    assert [first.dhcp()[key] for key in ("ip", "mask", "router")] == ["10.0.0.11", "24", "10.0.0.1"]
    assert [second.dhcp()[key] for key in ("ip", "mask", "router")] == ["10.0.16.9", "20", "10.0.16.1"]
    assert first.ping(wide.ip)


def test_a_guest_that_was_removed_is_offered_nothing_any_more(host: Host, network: Network) -> None:
    network.ensure(VPC.interface(2))
    guest = FakeGuest.started(host, network, VPC.interface(1), addressed=False)
    assert guest.dhcp()
    network.remove(guest.spec.id)
    newcomer = FakeGuest.started(host, network, VPC.interface(3, mac=guest.spec.mac), addressed=False)
    assert newcomer.dhcp()["ip"] == "10.0.0.13"


def test_names_of_private_addresses_are_answered(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, VPC.interface(1))
    said = guest.run("busybox", "nslookup", "ip-10-0-0-77.ec2.internal", guest.gateway)
    assert "10.0.0.77" in said
    assert "ip-10-0-0-78.ec2.internal" in guest.run("busybox", "nslookup", "10.0.0.78", guest.gateway)


def test_without_servers_to_ask_no_dns_is_offered(host: Host) -> None:
    network = Network(host, replace(SETTINGS, dns_servers=[]))
    guest = FakeGuest.started(host, network, VPC.interface(1), addressed=False)
    assert guest.dhcp()["dns"] == ""
    assert guest.connect(guest.gateway, 53, 0.3) == "timeout"


def with_metadata(number: int, vpc: Vpc = VPC, **facts: object) -> InterfaceSpec:
    """An interface whose guest is told this."""
    interface = vpc.interface(number)
    assert interface.metadata is not None
    return vpc.interface(number, metadata=msgspec.structs.replace(interface.metadata, **facts))


def test_each_guest_is_told_of_itself_whatever_it_says_of_itself(host: Host, network: Network) -> None:
    other = Vpc(2)
    guests = [
        FakeGuest.started(host, network, with_metadata(number, vpc, user_data=base64.b64encode(secret).decode()))
        for number, vpc, secret in ((1, VPC, b"one"), (2, VPC, b"two"), (1, other, b"three"))
    ]
    lie = {"X-Forwarded-For": "10.0.0.12", "Host": "10.0.0.12", "X-Instance-Id": "i-2", "Forwarded": "for=10.0.0.12"}
    assert [guest.get("/latest/user-data", headers=lie)[2] for guest in guests] == ["one", "two", "three"]


def test_curl_and_tokens_work_in_a_guest(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, with_metadata(1, http_tokens="required"))
    curl = ["curl", "-s", "--max-time", "3"]
    assert "401" in guest.run(*curl, "http://169.254.169.254/latest/meta-data/")
    ask = ["-X", "PUT", "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60", "http://169.254.169.254/latest/api/token"]
    token = guest.run(*curl, *ask)
    with_it = ["-H", f"X-aws-ec2-metadata-token: {token}", "http://169.254.169.254/latest/meta-data/local-ipv4"]
    assert guest.run(*curl, *with_it) == "10.0.0.11"


def test_the_token_travels_no_further_than_the_hop_limit(host: Host, network: Network) -> None:
    """Seen on the wire: the packet with the token has that time to live."""
    for limit in (1, 3):
        spec = with_metadata(1, hop_limit=limit)
        network.ensure(spec)
        guest = FakeGuest.started(host, network, spec)
        _, _, token = guest.get("/latest/api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        packets = [frame for frame in guest.heard(0) if token.encode() in frame]
        assert [packet[14 + 8] for packet in packets] == [limit]
        guest.close()


def test_metadata_changes_under_a_running_guest(host: Host, network: Network) -> None:
    guest = FakeGuest.started(host, network, VPC.interface(1))
    assert guest.get("/latest/meta-data/public-ipv4")[0] == 404
    network.ensure(VPC.interface(1, public_ip="198.51.100.70"))
    assert guest.get("/latest/meta-data/public-ipv4")[2] == "198.51.100.70"
    network.ensure(with_metadata(1, http_endpoint=False))
    assert guest.get("/latest/meta-data/")[0] == 403
