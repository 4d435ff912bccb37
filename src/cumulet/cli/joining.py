"""`cumulet host add`, `cumulet host remove` and `cumulet join`: how a machine becomes a host of a cloud, and ceases to.

What a ticket is says `administration.joining`.
"""

from __future__ import annotations

import json as jsons
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import say
from cumulet.lib.config import AGENTS, Config
from cumulet.lib.errors import Failure

CONFIGURATION = Path("/etc/cumulet/cumulet.toml")
SECONDS = 30.0


@click.command(epilog="Example: cumulet host add h2 --zone us-east-1b")
@click.argument("name")
@click.option("--roles", default=",".join(AGENTS), show_default=True, help="What runs there, separated by commas.")
@click.option("--zone", default="", help="Availability zone of the host; the first one by default.")
@click.option("--url", default="", help="Where the host reaches the AWS endpoint; by default where that listens.")
@click.option("--bus", default="", metavar="HOST:PORT", help="Where the host reaches RabbitMQ; by default as we do.")
@click.option(
    "--minutes", type=click.FloatRange(0.1, 1440), default=15.0, show_default=True, help="Life of the ticket."
)
@as_json
@any_cloud
def add(cloud: Cloud, name: str, roles: str, url: str, minutes: float, json: bool, **where: str) -> None:
    """Let a machine become a host: prints the one command to run there."""
    given = {"name": name, "roles": roles.split(","), "url": url or cloud.endpoint, "minutes": minutes}
    made = asking.ask(cloud, "AddHost", **given, **where)
    line = f"cumulet join {made['url']} {made['secret_ticket']}"
    say(made, json, f"Within {minutes:g} minutes, as root on {name}:\n\n    {line}\n")


@click.command(epilog="Example: cumulet host remove h2")
@click.argument("name")
@as_json
@any_cloud
def remove(cloud: Cloud, name: str, json: bool) -> None:
    """Shut a host out: its user of the bus is gone, and it is forgotten. It must have no instances any more."""
    say(asking.ask(cloud, "RemoveHost", name=name), json, f"{name} is no host of this cloud any more")


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
    from cumulet.administration.joining import AUTHORITY
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
