"""How a machine becomes a host by a ticket, asked for on any machine; RabbitMQ's management API is a stub here."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from msgspec.structs import replace
from support.launching import launched
from support.tested_cloud import TestedCloud

from cumulet.administration.desk import Desk
from cumulet.administration.gate import done_here
from cumulet.lib import sealed
from cumulet.lib.errors import Failure


@pytest.fixture
def broker() -> Iterator[tuple[str, list[str]]]:
    """The URL of what says yes to all, and what it was asked."""
    asked: list[str] = []

    class Yes(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            asked.append(f"{self.command} {self.path}")
            self.send_response(204)
            self.end_headers()

        do_PUT = do_DELETE = do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Yes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://admin:secret@127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def desk(cloud: TestedCloud, broker: tuple[str, list[str]]) -> Desk:
    settings = {"bus_url": "amqp://cumulet:x@10.0.0.1/cumulet", "bus_admin_url": broker[0], "volume_export": "nbd-tls"}
    return Desk(cloud.database, replace(cloud.config, **settings))


def test_a_ticket_gives_the_hosts_configuration_once(cloud: TestedCloud, desk: Desk) -> None:
    made = done_here(desk, "AddHost", {"name": "h7", "url": cloud.url, "roles": ["compute"], "zone": "us-east-1b"})
    assert made["url"] == cloud.url
    id, _, key = made["secret_ticket"].partition(".")
    with urllib.request.urlopen(f"{cloud.url}/_cumulet/join/{id}", timeout=30) as answer:
        document = json.loads(sealed.unseal(key, answer.read().decode()))
    assert document["settings"]["host_name"] == "h7"
    assert (document["settings"]["roles"], document["settings"]["zones"]) == (["compute"], ["us-east-1b"])
    assert document["settings"]["volume_export"] == "nbd-tls", "else its doctor does not look for certificates"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{cloud.url}/_cumulet/join/{id}", timeout=30)
    written = (next((cloud.config.audit_directory() / cloud.admin.id).iterdir())).read_text()
    assert '"eventName":"AddHost"' in written
    assert key not in written


def test_a_host_goes_when_it_has_no_instances(cloud: TestedCloud, desk: Desk, broker: tuple[str, list[str]]) -> None:
    id = launched(cloud, cloud.client())
    with pytest.raises(Failure, match=f"h1 still has {id}"):
        done_here(desk, "RemoveHost", {"name": "h1"})
    assert not any(asked.startswith("DELETE") for asked in broker[1])
    cloud.client().terminate_instances(InstanceIds=[id])
    cloud.settle()
    done_here(desk, "RemoveHost", {"name": "h1"})
    assert any(asked.startswith("DELETE") for asked in broker[1])
    assert done_here(desk, "ListHosts", {}) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"roles": ["scheduler"]}, "a host has no role scheduler"),
        ({"zone": "eu-west-1a"}, "there is no zone eu-west-1a"),
        ({"minutes": 0}, "a ticket is good for up to 1440 minutes, not 0"),
        ({"url": ""}, "where another machine does not reach it"),
    ],
)
def test_what_cannot_be_is_said(desk: Desk, cloud: TestedCloud, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(Failure, match=said):
        done_here(desk, "AddHost", {"name": "h7", "url": cloud.url, **wrong})
