"""`cumulet explain`: why a thing is not as it should be."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import show_json, show_table


@click.command(epilog="Example: cumulet explain i-0123456789abcdef0")
@click.argument("id")
@as_json
@any_cloud
def explain(cloud: Cloud, id: str, json: bool) -> None:
    """Say why a thing is not as it should be. ID: of an instance, volume, interface, security group, VPC or image."""
    found = asking.ask(cloud, "GetExplanation", name=id)
    if json:
        show_json(found)
    else:
        show_table(["what", "value"], [(key.replace("_", " "), _shown(value)) for key, value in found.items()])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_shown(inner)}" for key, inner in value.items()) or "nothing"
    if isinstance(value, list):
        return "\n".join(_shown(inner) for inner in value) or "nothing"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
