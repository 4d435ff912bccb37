"""`cumulet host add`, `cumulet host remove` and `cumulet join`: how a machine becomes a host of a cloud, and ceases to.

The ticket that `host add` prints is two secrets: the name under which the api role keeps the host's configuration
until it is fetched once, and the key that it is sealed with. The key crosses no network and is kept nowhere, so it
does not matter that the api may be asked without TLS.
"""

from __future__ import annotations

import ipaddress
import json as jsons
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from cumulet.cli.options import database, settings
from cumulet.lib.config import AGENTS, Config
from cumulet.lib.errors import Failure

CONFIGURATION = Path("/etc/cumulet/cumulet.toml")
AUTHORITY = "bus-authority.pem"
SHARED = (
    "region",
    "public_pool",
    "transit_cidr",
    "dns_servers",
    "image_dir",
    "image_max_gib",
    "volume_dir",
    "fence_seconds",
    "log_level",
)
"""Settings that a new host has as the control plane has them."""
SECONDS = 30.0


@click.command(epilog="Example: cumulet host add h2 --zone us-east-1b")
@click.argument("name")
@click.option("--roles", default=",".join(AGENTS), show_default=True, help="What runs there, separated by commas.")
@click.option("--zone", help="Availability zone of the host; the first one by default.")
@click.option("--url", help="Where the host reaches the AWS endpoint; by default where that listens.")
@click.option("--bus", metavar="HOST:PORT", help="Where the host reaches RabbitMQ; by default where we do.")
@click.option(
    "--minutes", type=click.FloatRange(0.1, 1440), default=15.0, show_default=True, help="Life of the ticket."
)
@settings
def add(
    config: Config, name: str, roles: str, zone: str | None, url: str | None, bus: str | None, minutes: float
) -> None:
    """Let a machine become a host: prints the one command to run there."""
    from cumulet.lib import sealed
    from cumulet.model import join_ticket

    place = url or _reachable(config)
    document = _document(config, name, roles.split(","), zone or config.zone_names()[0], bus)
    key = sealed.new_key()
    with database(config) as opened, opened.write() as tx:
        ticket = join_ticket.create(tx, name, sealed.seal(key, jsons.dumps(document).encode()), minutes * 60)
    click.echo(f"Within {minutes:g} minutes, as root on {name}:\n\n    cumulet join {place} {ticket}.{key}\n")


@click.command(epilog="Example: cumulet host remove h2")
@click.argument("name")
@settings
def remove(config: Config, name: str) -> None:
    """Shut a host out: its user of the bus is gone, and it is forgotten. It must have no instances any more."""
    from cumulet.model import host, instance, join_ticket

    broker = _broker(config)
    with database(config) as opened:
        with opened.write() as tx:
            if left := [row.id for row in instance.on_host(tx, name)]:
                raise Failure(f"{name} still has {', '.join(left)}: terminate them first")
            join_ticket.drop(tx, name)
        broker.remove_user(_user(name))  # from now on it is not heard any more
        with opened.write() as tx:
            host.forget(tx, name)
    click.echo(f"{name} is no host of this cloud any more")


@click.command(epilog="Example: cumulet join http://10.0.0.1:8773 TICKET --set public_interface=eth1")
@click.argument("url")
@click.argument("ticket")
@click.option("--config", "file", type=click.Path(path_type=Path), default=CONFIGURATION, show_default=True)
@click.option("--state-dir", type=click.Path(path_type=Path), help="Directory of everything that is kept.")
@click.option("--set", "extra", multiple=True, metavar="KEY=VALUE", help="A setting of this host alone.")
@click.option("--serve/--no-serve", "go_on", default=True, help="Go on with `cumulet up`, or leave that to systemd.")
def join(url: str, ticket: str, file: Path, state_dir: Path | None, extra: tuple[str, ...], go_on: bool) -> None:
    """Make this machine a host, with the ticket of `cumulet host add`."""
    id, _, key = ticket.partition(".")
    if not id or not key:
        raise Failure("the ticket is not whole: it is the last word of what `cumulet host add` printed")
    document = _fetch(url.rstrip("/"), id, key)
    own = {"state_dir": str(state_dir.absolute())} if state_dir else {}
    _install(file, document, own | dict(_setting(one) for one in extra))
    click.echo(f"the configuration is in {file}")
    config = _checked(file)
    if go_on:
        from cumulet.cli.up import serve

        serve(config)
    else:
        click.echo(f"to serve: cumulet up --config {file}")


def _reachable(config: Config) -> str:
    host, port = config.address()
    if _is_only_here(host):
        raise Failure(
            f"the AWS endpoint listens at {config.listen}, where another machine does not reach it: give its address "
            "as --url, or listen elsewhere (the setting listen)"
        )
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _is_only_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def _document(config: Config, name: str, roles: list[str], zone: str, bus: str | None) -> dict[str, Any]:
    """The host's settings, and the files that they name; makes its user of the bus."""
    unknown = sorted(set(roles) - set(AGENTS))
    if unknown:
        raise Failure(f"a host has no role {', '.join(unknown)}; its roles are {', '.join(AGENTS)}")
    if zone not in config.zone_names():
        raise Failure(f"there is no zone {zone}; there are: {', '.join(config.zone_names())}")
    if not config.bus_url:
        raise Failure(
            "the setting bus_url is empty: this cloud is one process; other hosts need RabbitMQ (docs/hosts.md)"
        )
    if bus is None and _is_only_here(urlsplit(config.bus_url).hostname or ""):
        raise Failure("the setting bus_url names an address that other machines do not reach; give another as --bus")
    password = _broker(config).add_host(name)
    values: dict[str, Any] = {key: getattr(config, key) for key in SHARED}
    values |= {"host_name": name, "roles": roles, "zones": [zone], "bus_url": _bus_url(config, bus, name, password)}
    files = {AUTHORITY: Path(config.bus_ca_file).read_text()} if config.bus_ca_file else {}
    return {"settings": values, "files": files}


def _bus_url(config: Config, place: str | None, name: str, password: str) -> str:
    parts = urlsplit(config.bus_url)
    return parts._replace(netloc=f"{_user(name)}:{password}@{place or parts.netloc.rpartition('@')[2]}").geturl()


def _user(name: str) -> str:
    from cumulet.bus.names import host_user

    return host_user(name)


def _broker(config: Config) -> Any:
    from cumulet.bus.broker import Broker

    if not config.bus_admin_url:
        raise Failure(
            "the setting bus_admin_url is empty; it is RabbitMQ's management API, "
            "http://ADMINISTRATOR:PASSWORD@HOST:15672"
        )
    vhost = urlsplit(config.bus_url).path.removeprefix("/") or "/"
    return Broker(config.bus_admin_url, vhost, config.bus_ca_file)


def _fetch(url: str, id: str, key: str) -> dict[str, Any]:
    from cumulet.lib import sealed

    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/_cumulet/join/{id}", timeout=SECONDS) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as e:
        if e.code == 404:
            raise Failure("this ticket is not good (any more): it is used once, and soon; make another") from None
        raise Failure(f"{url} answered {e.code} {e.reason}") from None
    except OSError as e:
        raise Failure(f"asking the cloud at {url}: {getattr(e, 'reason', e)}") from None
    document: dict[str, Any] = jsons.loads(sealed.unseal(key, text))
    return document


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key not in Config.__struct_fields__:
        raise Failure(f"--set {text}: it is KEY=VALUE with a key that `cumulet config` lists")
    return key, value.split(",") if isinstance(getattr(Config(), key), list) else value


def _install(file: Path, document: dict[str, Any], own: dict[str, Any]) -> None:
    """Write the configuration and its files, for root's eyes only: there is a password in it."""
    from cumulet.cli.running import write

    values = {**document["settings"], **own}
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        for name, text in document["files"].items():
            write(file.parent / name, text)
        if AUTHORITY in document["files"]:
            values["bus_ca_file"] = str((file.parent / AUTHORITY).absolute())
        lines = [f"{key} = {jsons.dumps(value)}" for key, value in sorted(values.items())]
        write(file, "\n".join(lines) + "\n", mode=0o600)
    except OSError as e:
        raise Failure(f"writing {e.filename}: {e.strerror}; the ticket is used up, make another") from e


def _checked(file: Path) -> Config:
    """The configuration as it is now; ends with status 1 and a table where this machine cannot serve it."""
    from cumulet.cli.doctor import problems
    from cumulet.cli.options import load

    config = load(file)[0]
    if problems(config):
        click.echo(f"\nrepair this, and then: cumulet up --config {file}", err=True)
        raise SystemExit(1)
    return config
