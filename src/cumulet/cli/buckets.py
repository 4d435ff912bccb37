"""`cumulet bucket`: the buckets of all accounts."""

from __future__ import annotations

from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import show


@click.group()
def bucket() -> None:
    """The buckets of all accounts."""


@bucket.command("list", epilog="Example: cumulet bucket list")
@as_json
@any_cloud
def list_buckets(cloud: Cloud, json: bool) -> None:
    """List the buckets: whose they are, and what is in them."""
    columns = ["bucket", "account", "objects", "MiB", "unfinished MiB", "versioning", "log in"]
    show(asking.ask(cloud, "ListBuckets"), json, columns, _row)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    objects = f"{one['objects']} of {one['most_objects']}" if one["most_objects"] else str(one["objects"])
    size = _mib(one["bytes"]) + (f" of {_mib(one['most_bytes'])}" if one["most_bytes"] else "")
    return (
        one["name"],
        one["account"],
        objects,
        size,
        _mib(one["unfinished_bytes"]),
        one["versioning"],
        one["log_bucket"],
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
