"""`cumulet bucket`: the buckets of all accounts."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from cumulet.cli import asking, running
from cumulet.cli.options import Cloud, any_cloud, as_json, database, settings
from cumulet.cli.output import progress, show, show_json
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure


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


@bucket.command("copy-to-pool", epilog="Example: cumulet bucket copy-to-pool")
@as_json
@settings
def copy_to_pool(config: Config, json: bool) -> None:
    """Copy all objects from this host's directories to Ceph.

    To the pool that object_pool names. The cloud may be in use meanwhile: what comes after is copied the next
    time. Once more while it is stopped, and with object_driver = "rados" it is started with all of its objects.
    """
    if config.object_driver == "rados":
        raise Failure('the setting object_driver is rados already; it is to be "directory" until all is copied')
    _copy(config, msgspec.structs.replace(config, object_driver="rados"), json)


@bucket.command("copy-to-directories", epilog="Example: cumulet bucket copy-to-directories --directory /srv/a")
@click.option(
    "--directory",
    "directories",
    metavar="DIR",
    multiple=True,
    help="What object_dirs is going to be, one at a time; none: objects in the state directory.",
)
@click.option(
    "--copies", type=click.IntRange(min=1), default=1, show_default=True, help="What object_copies is going to be."
)
@as_json
@settings
def copy_to_directories(config: Config, directories: tuple[str, ...], copies: int, json: bool) -> None:
    """Copy all objects from Ceph to directories of this host.

    The way back of copy-to-pool, and the same: the cloud may be in use meanwhile. Once more while it is stopped,
    and with object_driver = "directory" it is started with all of its objects, by this host alone.
    """
    if config.object_driver == "directory":
        raise Failure('the setting object_driver is directory already; it is to be "rados" until all is copied')
    changed = {"object_driver": "directory", "object_dirs": list(directories), "object_copies": copies}
    _copy(config, msgspec.structs.replace(config, **changed), json)


def _copy(config: Config, wanted: Config, json: bool) -> None:
    """All objects, from where they are kept to where they are going to be."""
    from cumulet.control.object_moving import copy_all
    from cumulet.services import blobs_of

    counts = {"copied": 0, "there": 0, "lost": 0}
    with database(config) as opened:
        source, target = blobs_of(config, opened), blobs_of(wanted, opened)
        with progress("copying") as bar:
            for _, outcome in copy_all(opened, source, target):
                counts[outcome] += 1
                bar.say(f"copying: {sum(counts.values())} objects")
    if json:
        show_json(counts)
        return
    click.echo(f"{counts['copied']} copied, {counts['there']} were there, {counts['lost']} have no good copy")
    if running.pid(config.state_dir) is not None:
        click.echo("The cloud is up: copy once more when it is stopped.", err=True)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
