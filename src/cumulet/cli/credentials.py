"""`cumulet account credentials`, `revoke` and `rotate-key`: what clients sign with, and what the cloud seals with."""

from __future__ import annotations

from pathlib import Path

import click

from cumulet.cli import asking, running
from cumulet.cli.options import Cloud, any_cloud, as_json
from cumulet.cli.output import progress, say


@click.command("credentials", epilog="Example: cumulet account credentials bob bob.zip")
@click.argument("account")
@click.argument("archive", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, writable=True))
@click.option("--user", default="", help="For this user of the account, not for its root.")
@as_json
@any_cloud
def credentials(cloud: Cloud, account: str, archive: Path, user: str, json: bool) -> None:
    """Write a zip with novarc and the like for clients.

    It has novarc, AWS's config and credentials, a private key, its X.509 certificate, and the authority's.
    """
    import base64

    asked = asking.whom(cloud)
    url = asked[0] if asked is not None else running.would_be_at(cloud.config)
    made = asking.ask(cloud, "CreateCredentials", account=account, user=user, url=url)
    archive.touch(mode=0o600)
    archive.write_bytes(base64.b64decode(made["secret_archive"]))
    text = f"{archive} has the keys of {user or account}: unzip it in a directory of its own, and source novarc"
    say({"file": str(archive), "account": account, "user": user}, json, text)


@click.command("revoke", epilog="Example: cumulet account revoke 1f3a")
@click.argument("serial")
@as_json
@any_cloud
def revoke(cloud: Cloud, serial: str, json: bool) -> None:
    """Revoke a certificate of such a zip.

    It is named by its serial number; the new list of all that are revoked is printed.
    """
    found = asking.ask(cloud, "RevokeCertificate", serial=serial)
    say(found, json, found["revoked"].rstrip("\n"))


@click.command("rotate-key", epilog="Example: cumulet account rotate-key")
@as_json
@any_cloud
def rotate_key(cloud: Cloud, json: bool) -> None:
    """Make a new key for secrets, and seal all again. The cloud may run meanwhile. Temporary credentials end."""
    with progress("sealing the secrets with a new key"):
        found = asking.ask(cloud, "RotateKey")
    say(found, json, f"{found['sealed']} secrets are sealed with the new key")
