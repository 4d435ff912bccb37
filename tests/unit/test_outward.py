"""Which addresses are of the outside world."""

from __future__ import annotations

import ipaddress
import urllib.error

import pytest

from cumulet.lib.outward import may_be_asked, opener

INWARD = """127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 224.0.0.1
255.255.255.255 ::1 :: fe80::1 fe80::1%eth0 fd00::1 ff02::1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::a00:1
2002:7f00:1::1"""


@pytest.mark.parametrize("address", INWARD.split())
def test_what_is_not_public_is_not_asked(address: str) -> None:
    assert not may_be_asked(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public_is_asked(address: str) -> None:
    assert may_be_asked(address)


def test_a_range_is_allowed_and_no_more() -> None:
    ranges = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert [may_be_asked(one, ranges) for one in ("10.1.1.1", "::ffff:10.1.1.1", "fd00::1")] == [True] * 3
    assert [may_be_asked(one, ranges) for one in ("11.0.0.1", "192.168.0.1", "fe80::1")] == [True, False, False]


URLS = ["http://localhost:1/", "https://localhost:1/", "http://127.1:1/", "http://2130706433:1/"]


@pytest.mark.parametrize("url", URLS)
def test_a_name_is_what_it_stands_for(url: str) -> None:
    with pytest.raises(urllib.error.URLError, match="is no public address"):
        opener([]).open(url, timeout=5)
