"""`cumulet image`: the images that the operator offers."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from cumulet.cli import asking, bundles
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import progress, say, show, show_json, show_table
from cumulet.lib.errors import Failure

TINY = "cumulet-tiny"
TINY_LOCATION = "cumulet/tiny"
STDIN = "-"


@click.group()
def image() -> None:
    """Images that instances can be launched from."""


@image.command("build-tiny", epilog="Example: cumulet image build-tiny")
@as_json
@any_cloud
def build_tiny(cloud: Cloud, json: bool) -> None:
    """Build the tiny guest from this system's packages. It is taken in as a public image.

    By the cloud that is here: its image service reads the files where they are.
    """
    from cumulet.cli import taking_in
    from cumulet.drivers.image import tiny

    config = cloud.config
    if asking.is_elsewhere(cloud):
        raise Failure(
            "the tiny image is built on a host of its cloud: run this there, or name the cloud here by --state-dir"
        )
    with progress("building the tiny image") as bar:
        source = tiny.build(config.state_dir / "tiny", progress=bar.say)
    asking.prepare(cloud)
    id = taking_in.taken_in_from(cloud, TINY_LOCATION, source)
    if id is None:
        values = {"name": TINY, "location": TINY_LOCATION, "description": "Linux, busybox, SSH: boots in a second"}
        values |= {"account": config.account, "source": str(source), "declared": "kernel"}
        id = asking.ask(cloud, "TakeInImage", **values, public=True, instead=True)["id"]
    _say(taking_in.wait(cloud, id), json)


@image.command("import", epilog="Example: cumulet image import debian-12.qcow2 --name debian-12 --public")
@click.argument("source", metavar="FILE|URL|-")
@click.option("--name", help="The image's name; by default the file's.")
@click.option("--description", default="", help="What it is.")
@click.option("--format", "declared", type=click.Choice(["qcow2", "raw"]), help="By default what the file is.")
@click.option("--sha256", metavar="HEX", help="What its SHA-256 must be, as its publisher says.")
@click.option("--sha512", metavar="HEX", help="What its SHA-512 must be.")
@click.option("--public", is_flag=True, help="For all accounts.")
@click.option("--account", "owner", help="Whose it is; the first account's by default.")
@as_json
@any_cloud
def import_image(
    cloud: Cloud,
    source: str,
    name: str | None,
    sha256: str | None,
    sha512: str | None,
    owner: str | None,
    json: bool,
    **how: Any,
) -> None:
    """Take in a disk image: a file, a URL or (-) stdin.

    It is qcow2 or raw. What no image service can read where it is, is sent to the cloud.
    """
    from cumulet.cli import taking_in

    config = cloud.config
    is_url = source.partition("://")[0] in ("http", "https")
    is_ours = is_url or source == STDIN
    if source == STDIN:
        if not name:
            raise Failure("what comes from the standard input needs a name: --name NAME")
        file = taking_in.received(sys.stdin.buffer, config.state_dir / "incoming")
    elif is_url:
        file = taking_in.download(source, config.state_dir / "incoming", config.import_ranges)
    else:
        file = taking_in.readable(source)
    for bits, expected in ((256, sha256), (512, sha512)):
        if expected:
            taking_in.check(file, bits, expected, source, ours=is_ours)
    named = name or Path(source.partition("?")[0]).stem
    whose = owner or config.account
    asking.prepare(cloud)
    values = {"account": whose, "name": named, "location": f"{whose}/{named}", **how}
    with contextlib.ExitStack() as stack:
        if taking_in.is_read_there(cloud):
            values["source"] = str(file)
        else:
            values |= stack.enter_context(taking_in.uploaded(cloud, file))
        found = taking_in.wait(cloud, asking.ask(cloud, "TakeInImage", **values)["id"])
    if is_ours and found["state"] != "pending":
        file.unlink(missing_ok=True)
    _say(found, json)


@image.command("list", epilog="Example: cumulet image list")
@as_json
@any_cloud
def list_images(cloud: Cloud, json: bool) -> None:
    """List all images, with the state of their files."""
    values = asking.ask(cloud, "ListImages")
    if json:
        show_json(values)
        return
    columns = ["id", "name", "account", "state", "public", "format", "GiB", "boot", "hosts", "reason"]
    rows = [
        (*(one[key] for key in ("id", "name", "account", "state")), "yes" if one["public"] else "no")
        + (one["format"], one["gib"], one["boot"], ", ".join(one["hosts"]), one["reason"])
        for one in values
    ]
    show_table(columns, rows)


@image.command("prefetch", epilog="Example: cumulet image prefetch ami-0123456789abcdef0 --host h2 --host h3")
@click.argument("id")
@click.option("--host", "hosts", multiple=True, help="Where; all hosts by default.")
@as_json
@any_cloud
def prefetch_image(cloud: Cloud, id: str, hosts: tuple[str, ...], json: bool) -> None:
    """Have hosts fetch and keep an image.

    A host fetches by itself what is launched there; this is for the first launch to be as quick as the others.
    """
    found = asking.ask(cloud, "PrefetchImage", name=id, hosts=list(hosts))
    if not found and not json:
        click.echo(f"{id} is there already")
        return
    show(found, json, ["host", "state", "stage"], lambda one: (one["host"], one["state"], one["stage"]))


@image.command("remove", epilog="Example: cumulet image remove ami-0123456789abcdef0")
@click.argument("id")
@as_json
@any_cloud
def remove_image(cloud: Cloud, id: str, json: bool) -> None:
    """Deregister an image, whoever it belongs to. What runs from it goes on; its file goes with the last use."""
    say(asking.ask(cloud, "RemoveImage", name=id), json)


for _command in (bundles.bundle, bundles.upload, bundles.register, bundles.publish_tarball):
    image.add_command(_command)


def _say(found: dict[str, Any], json: bool) -> None:
    """Say what has become of the image; raises `Failure` when it was refused."""
    if found["state"] == "failed":
        raise Failure(f"the image {found['name']} ({found['id']}) was refused: {found['reason']}")
    if json:
        show_json(found)
    elif found["state"] == "available":
        click.echo(f"{found['id']} {found['name']} is available")
    else:
        click.echo(f"{found['id']} {found['name']} will be taken in when the cloud runs (`cumulet up`)")
