"""How a machine becomes a host of a cloud, and ceases to: its ticket, its configuration, and its user of the bus.

A ticket is two secrets: the name under which the api role keeps the host's configuration until it is fetched once, and
the key that it is sealed with. The key is kept nowhere, and goes to the operator only, so it does not matter that the
new host asks the api without TLS.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cumulet.administration.desk import Desk, Named
from cumulet.bus.broker import Broker
from cumulet.bus.names import host_user
from cumulet.lib import sealed
from cumulet.lib.config import AGENTS, Config
from cumulet.lib.errors import Failure
from cumulet.model import host, image_copy, instance, join_ticket, replica

AUTHORITY = "bus-authority.pem"
SHARED = (
    "region",
    "public_pool",
    "transit_cidr",
    "dns_servers",
    "vlan_interface",
    "image_dir",
    "image_max_gib",
    "volume_dir",
    "volume_export",
    "rbd_pool",
    "rbd_user",
    "rbd_conf",
    "rbd_keyring",
    "fence_seconds",
    "log_level",
)
"""Settings that a new host has as the control plane has them."""
LONGEST_MINUTES = 1440.0


class NewHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine that may become a host, within so many minutes: its roles (none: all of a host), its zone (empty: the
    first one), and the addresses of the AWS endpoint and of RabbitMQ as it reaches them (empty: as this process)."""

    name: str
    roles: list[str] = []
    zone: str = ""
    url: str = ""
    bus: str = ""
    minutes: float = 15.0


def add(desk: Desk, wanted: NewHost) -> dict[str, Any]:
    """The url that the host asks, and its secret_ticket; raises `Failure`."""
    if not 0 < wanted.minutes <= LONGEST_MINUTES:
        raise Failure(f"a ticket is good for up to {LONGEST_MINUTES:g} minutes, not {wanted.minutes:g}")
    url = wanted.url or _reachable(desk.config)
    document = _document(desk.config, wanted)
    key = sealed.new_key()
    with desk.database.write() as tx:
        kept = sealed.seal(key, json.dumps(document).encode())
        ticket = join_ticket.create(tx, wanted.name, kept, wanted.minutes * 60)
    return {"url": url, "secret_ticket": f"{ticket}.{key}"}


def remove(desk: Desk, wanted: Named) -> dict[str, Any]:
    """Shut a host out that has no instances any more; raises `Failure`."""
    name = wanted.name
    broker = _broker(desk.config)
    with desk.database.write() as tx:
        if left := [row.id for row in instance.on_host(tx, name)]:
            raise Failure(f"{name} still has {', '.join(left)}: terminate them first")
        join_ticket.drop(tx, name)
    broker.remove_user(host_user(name))  # from now on it is not heard any more
    with desk.database.write() as tx:
        host.forget(tx, name)
        image_copy.forget_host(tx, name)
        replica.forget_host(tx, name)
    return {"name": name}


def _reachable(config: Config) -> str:
    address, port = config.address()
    if _is_only_here(address):
        raise Failure(
            f"the AWS endpoint listens at {config.listen}, where another machine does not reach it: give its address "
            "as --url, or listen elsewhere (the setting listen)"
        )
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def _is_only_here(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return address.is_loopback or address.is_unspecified


def _document(config: Config, wanted: NewHost) -> dict[str, Any]:
    """The host's settings, and the files that they name; makes its user of the bus."""
    name, roles, bus = wanted.name, wanted.roles or list(AGENTS), wanted.bus
    zone = wanted.zone or config.zone_names()[0]
    unknown = sorted(set(roles) - set(AGENTS))
    if unknown:
        raise Failure(f"a host has no role {', '.join(unknown)}; its roles are {', '.join(AGENTS)}")
    if zone not in config.zone_names():
        raise Failure(f"there is no zone {zone}; there are: {', '.join(config.zone_names())}")
    if not config.bus_url:
        raise Failure(
            "the setting bus_url is empty: this cloud is one process; other hosts need RabbitMQ (docs/hosts.md)"
        )
    if not bus and _is_only_here(urlsplit(config.bus_url).hostname or ""):
        raise Failure("the setting bus_url names an address that other machines do not reach; give another as --bus")
    password = _broker(config).add_host(name)
    values: dict[str, Any] = {key: getattr(config, key) for key in SHARED}
    values |= {"host_name": name, "roles": roles, "zones": [zone], "bus_url": _bus_url(config, bus, name, password)}
    files = {AUTHORITY: Path(config.bus_ca_file).read_text()} if config.bus_ca_file else {}
    return {"settings": values, "files": files}


def _bus_url(config: Config, place: str, name: str, password: str) -> str:
    parts = urlsplit(config.bus_url)
    return parts._replace(netloc=f"{host_user(name)}:{password}@{place or parts.netloc.rpartition('@')[2]}").geturl()


def _broker(config: Config) -> Broker:
    if not config.bus_admin_url:
        raise Failure(
            "the setting bus_admin_url is empty; it is RabbitMQ's management API, "
            "http://ADMINISTRATOR:PASSWORD@HOST:15672"
        )
    vhost = urlsplit(config.bus_url).path.removeprefix("/") or "/"
    return Broker(config.bus_admin_url, vhost, config.bus_ca_file)
