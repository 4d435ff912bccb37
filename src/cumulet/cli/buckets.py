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
    columns = ["bucket", "account", "objects", "MiB", "unfinished MiB", "versioning", "log in", "requests"]
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
        str(one["requests"]),
    )


@bucket.command("metrics", epilog="Example: cumulet bucket metrics photos")
@click.argument("name", metavar="BUCKET", required=False)
@as_json
@any_cloud
def show_metrics(cloud: Cloud, name: str | None, json: bool) -> None:
    """Show how often buckets have been asked, and how much went in and out.

    A line for all requests to a bucket, and one for each of its metrics configurations. Milliseconds are the
    mean, to the first byte of an answer and to its last. Counts are half a minute old at most.
    """
    columns = ["bucket", "configuration", "requests", "GET", "PUT", "DELETE", "HEAD", "POST", "list", "4xx", "5xx"]
    columns += ["MiB in", "MiB out", "first ms", "total ms"]
    show(asking.ask(cloud, "ListBucketCounts", bucket=name), json, columns, _counts)


def _counts(one: dict[str, Any]) -> tuple[str, ...]:
    kinds = ("requests", "gets", "puts", "deletes", "heads", "posts", "lists", "client_errors", "server_errors")
    means = (f"{one[name] / max(1, one['requests']):.0f}" for name in ("first_byte_ms", "total_ms"))
    sizes = _mib(one["bytes_in"]), _mib(one["bytes_out"])
    return (one["bucket"], one["configuration"] or "(all)", *(str(one[name]) for name in kinds), *sizes, *means)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
