"""Zones have the ids that AWS gives to zones of these names, and others have names that nobody confuses."""

from __future__ import annotations

import pytest

from cumulet.lib.zones import zone_id


@pytest.mark.parametrize(
    ("region", "zone", "expected"),
    [
        ("us-east-1", "us-east-1a", "use1-az1"),
        ("eu-central-1", "eu-central-1c", "euc1-az3"),
        ("ap-southeast-2", "ap-southeast-2f", "apse2-az6"),
        ("us-gov-west-1", "us-gov-west-1b", "usgw1-az2"),
        ("cn-northwest-1", "cn-northwest-1a", "cnnw1-az1"),
        ("us-east-1", "north", "use1-north"),
        ("us-east-1", "nova", "use1-nova"),
        ("us-east-1", "us-east-2a", "use1-us-east-2a"),
        ("us-east-1", "us-east-1", "use1-us-east-1"),
        ("us-east-1", "us-east-1A", "use1-us-east-1A"),
        ("us-east-1", "us-east-1ab", "use1-us-east-1ab"),
        ("us-east-1", "a", "use1-a"),
        ("nova", "nova", "nova-nova"),
        ("RegionOne", "RegionOneb", "RegionOne-az2"),
        ("my-lab", "my-laba", "my-lab-az1"),
        ("us-east", "shelf 3", "us-east-shelf 3"),
    ],
)
def test_a_zone_has_its_id_by_its_name(region: str, zone: str, expected: str) -> None:
    assert zone_id(region, zone) == expected
