"""Several hosts that are joined, and guests on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.guest import FakeGuest
from support.joined_hosts import JoinedHost, Start, joined

from cumulet.drivers.specs import InterfaceSpec


@pytest.fixture
def hosts() -> Iterator[list[JoinedHost]]:
    """Three hosts."""
    with joined(3) as (_, made):
        yield made


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a guest on a host."""
    with ExitStack() as stack:

        def started(host: JoinedHost, spec: InterfaceSpec) -> FakeGuest:
            guest = host.guest(spec)
            stack.callback(guest.close)
            return guest

        yield started
