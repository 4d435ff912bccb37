"""Which service a request is for."""

from __future__ import annotations

import pytest

from cumulet.wire.claim import Claim
from cumulet.wire.request import Request
from cumulet.wire.service import service_of, signing_name


def found(scope: str = "", action: str = "", version: str = "", host: str = "localhost:8773") -> str:
    claim = Claim(access_key="AKIA", version="v4", service=scope) if scope else None
    form = [(name, value) for name, value in (("Action", action), ("Version", version)) if value]
    return service_of(Request.of("POST", "/", "", [("Host", host)]), claim, form)


@pytest.mark.parametrize(
    ("said", "service"),
    [
        ({"scope": "sts", "action": "RunInstances", "host": "ec2.localhost"}, "sts"),
        ({"scope": "s3"}, "s3"),
        ({"scope": "monitoring", "action": "GetCallerIdentity"}, "sts"),
        ({"action": "GetCallerIdentity", "version": "2011-06-15", "host": "ec2.localhost"}, "sts"),
        ({"action": "DescribeInstances", "version": "2010-08-31", "host": "sts.localhost"}, "ec2"),
        ({"action": "MakeTea", "host": "sts.us-east-1.amazonaws.com"}, "sts"),
        ({"host": "Bucket.S3.localhost:8773"}, "s3"),
        ({"host": "[::1]:8773"}, "ec2"),
        ({}, "ec2"),
    ],
)
def test_the_scope_says_it_then_the_action_then_the_host(said: dict[str, str], service: str) -> None:
    assert found(**said) == service


def test_a_service_has_a_name_in_the_scope() -> None:
    assert [signing_name(service) for service in ("ec2", "sts", "s3")] == ["ec2", "sts", "s3"]
