"""The command `cumulet`: each of its commands is a module, loaded when it is asked for."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from cumulet import __version__
from cumulet.lib.errors import CumuletError, with_cause


class Trouble(click.ClickException):
    """What this program says about itself, as one line."""

    def show(self, file: Any = None) -> None:
        click.echo(f"cumulet: {self.message}", file=file or sys.stderr)


class Commands(click.Group):
    """A group whose commands are named as MODULE:FUNCTION below `cumulet.cli`; only the one that is used is loaded."""

    def __init__(self, *arguments: Any, places: dict[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._places:
            return None
        module, _, function = self._places[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"cumulet.cli.{module}"), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as e:  # click knows the names of loaded commands only
            raise click.exceptions.NoSuchCommand(e.command_name, possibilities=self._places, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CumuletError as e:
            raise Trouble(with_cause(e)) from e
        except PermissionError as e:
            what = f"{e.filename} is not for this user" if e.filename else "this user may not do that"
            raise Trouble(f"{what}: run this as the user whose cloud it is") from e


HELP = {"help_option_names": ["-h", "--help"]}


@click.command(
    cls=Commands,
    context_settings=HELP,
    places={
        "up": "up:up",
        "down": "down:down",
        "status": "status:status",
        "env": "access:env",
        "doctor": "doctor:doctor",
        "image": "images:image",
        "account": "accounts:account",
        "user": "users:user",
        "role": "users:role",
        "quota": "quotas:quota",
        "placement": "placement:placement",
        "service": "services_list:service",
        "host": "hosts:host",
        "instance": "machines:instance",
        "type": "machines:type_",
        "zone": "machines:zone",
        "network": "networks:network",
        "pool": "networks:pool",
        "address": "networks:address",
        "interface": "networks:interface",
        "volume": "volumes_list:volume",
        "bucket": "buckets:bucket",
        "usage": "usage:usage",
        "join": "joining:join",
        "lab": "laboratory:lab",
        "explain": "explain:explain",
        "audit": "audit:audit",
        "config": "config_show:config",
        "db": "database:db",
        "shell": "shell:shell",
        "completion": "completion:completion",
    },
)
@click.option("--endpoint", metavar="URL", help="Ask the cloud at this URL; as the option of the same name behind.")
@click.version_option(__version__, prog_name="cumulet")
def cumulet(endpoint: str | None) -> None:
    """A private cloud: real virtual machines behind the EC2 API."""
