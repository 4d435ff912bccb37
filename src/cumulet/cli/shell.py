"""`cumulet shell`: Python with the cloud's administrative actions and its AWS services at hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from cumulet.cli import asking
from cumulet.cli.options import Cloud, any_cloud
from cumulet.lib.errors import Failure

BANNER = """\
ask("ListHosts"): what an administrative action finds or makes; actions: each with what it takes;
client("ec2"): boto3's client for a service, with the same keys. `cumulet db shell` has the database."""


@click.command(epilog="Example: cumulet shell --script count.py")
@click.option("--script", type=click.Path(dir_okay=False, path_type=Path), help="Run this file instead.")
@any_cloud
def shell(cloud: Cloud, script: Path | None) -> None:
    """Open a Python shell that asks the cloud. Or run a script there."""
    from cumulet.administration.registry import ACTIONS

    asking.whom(cloud)
    actions = {name: list(action.takes.__struct_fields__) for name, action in ACTIONS.items()}
    talk(BANNER, {"ask": partial(asking.ask, cloud), "actions": actions, "client": partial(client, cloud)}, script)


def talk(banner: str, names: dict[str, Any], script: Path | None) -> None:
    """Python with these names: for whoever types, or for a script."""
    import code

    if script is not None and not script.is_file():
        raise Failure(f"there is no file {script}")
    if script is not None:
        exec(compile(script.read_text(), str(script), "exec"), names | {"__name__": "__main__"})
    else:
        code.interact(banner=banner, local=names, exitmsg="")


def client(cloud: Cloud, service: str) -> Any:
    """boto3's client for a service of the cloud, with the keys that it is asked with; raises `Failure`."""
    try:
        import boto3
    except ImportError:
        raise Failure("boto3 is not installed beside this program: ask(...) works without it") from None
    asked = asking.whom(cloud)
    if asked is None:
        raise Failure(f"no cloud runs for {cloud.config.state_dir}: `cumulet up` starts it")
    url, signer = asked
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=signer.region,
        aws_access_key_id=signer.key,
        aws_secret_access_key=signer.secret,
        aws_session_token=signer.token or None,
    )
