"""What a host serves to other hosts, at one address: each at a port of its own."""

from __future__ import annotations

from cumulet.drivers.network.settings import TUNNEL_PORT
from cumulet.drivers.specs import EXPORT_PORT, EXPORT_TLS_PORT, ISCSI_PORT, PASSAGE_PORT
from cumulet.lib.image_link import IMAGE_PORT


def test_nothing_that_a_host_serves_takes_the_port_of_something_else() -> None:
    ports = [EXPORT_PORT, EXPORT_TLS_PORT, ISCSI_PORT, PASSAGE_PORT, IMAGE_PORT, TUNNEL_PORT]
    assert sorted(ports) == sorted(set(ports))
