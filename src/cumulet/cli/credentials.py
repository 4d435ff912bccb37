"""`cumulet account credentials`: a zip with all that a user's clients want, those of 2012 too."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import click

from cumulet.cli import running
from cumulet.cli.access import exports
from cumulet.cli.options import settings
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure

NOVARC = """\
# Cumulet: source this file, and the clients of EC2 and S3 use the account {account}.
NOVARC=$(readlink -f "${{BASH_SOURCE:-$0}}" 2>/dev/null)
NOVA_KEY_DIR=${{NOVARC%/*}}
export EC2_ACCESS_KEY="{key}"
export EC2_SECRET_KEY="{secret}"
export EC2_URL="{url}"
export S3_URL="{url}"
export EC2_USER_ID="{account_id}"
export EC2_PRIVATE_KEY="$NOVA_KEY_DIR/pk.pem"
export EC2_CERT="$NOVA_KEY_DIR/cert.pem"
export NOVA_CERT="$NOVA_KEY_DIR/cacert.pem"
export EUCALYPTUS_CERT="$NOVA_CERT"
export AWS_ACCESS_KEY_ID="{key}"
export AWS_SECRET_ACCESS_KEY="{secret}"
export AWS_REGION="{region}"
export AWS_DEFAULT_REGION="{region}"
export AWS_ENDPOINT_URL="{url}"
alias ec2-bundle-image="ec2-bundle-image -c $EC2_CERT -k $EC2_PRIVATE_KEY -u $EC2_USER_ID --ec2cert $NOVA_CERT"
alias ec2-upload-bundle="ec2-upload-bundle -a $EC2_ACCESS_KEY -s $EC2_SECRET_KEY --url $S3_URL --ec2cert $NOVA_CERT"
"""
CREDENTIALS = "[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
CONFIG = "[default]\nregion = {region}\nendpoint_url = {url}\n"


@click.command("credentials", epilog="Example: cumulet account credentials bob bob.zip")
@click.argument("account")
@click.argument("archive", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, writable=True))
@click.option("--user", default="", help="For this user of the account, not for its root.")
@settings
def credentials(config: Config, account: str, archive: Path, user: str) -> None:
    """Write a zip with novarc and the like for clients.

    It has novarc, AWS's config and credentials, a private key, its X.509 certificate, and the authority's.
    """
    host, port = config.address()
    url = running.url(config.state_dir) or f"http://{f'[{host}]' if ':' in host else host}:{port}"
    content = packed(config, account, url, user)
    archive.touch(mode=0o600)
    archive.write_bytes(content)
    click.echo(f"{archive} has the keys of {user or account}: unzip it in a directory of its own, and source novarc")


@click.command("revoke", epilog="Example: cumulet account revoke 1f3a")
@click.argument("serial")
@settings
def revoke(config: Config, serial: str) -> None:
    """Revoke a certificate of such a zip.

    It is named by its serial number; the new list of all that are revoked is printed.
    """
    import time

    from cumulet.cli.options import database
    from cumulet.lib.authority import Authority
    from cumulet.model import certificate

    try:
        number = int(serial.replace(":", ""), 16)
    except ValueError:
        raise Failure(f"{serial} is no serial number: openssl x509 -in cert.pem -noout -serial shows it") from None
    revoked = Authority(config.state_dir / "ca").revoke(number, time.time())
    with database(config) as opened, opened.write() as tx:
        certificate.revoke(tx, number)
    click.echo(revoked.decode(), nl=False)


def packed(config: Config, account: str, url: str, user: str = "") -> bytes:
    """The zip; raises `Failure` where there is no such account or user."""
    import time

    from cumulet.cli.options import database
    from cumulet.lib.authority import Authority
    from cumulet.model import account as accounts
    from cumulet.model import certificate

    keys = exports(config, url, account, user)
    authority = Authority(config.state_dir / "ca")
    issued = authority.issue(user or account, time.time())
    with database(config) as opened, opened.write() as tx:
        row = accounts.named(tx, account)
        assert row is not None
        account_id = row.id
        certificate.add(tx, account_id, issued.serial, issued.certificate)
    values = {"account": account, "account_id": account_id, "url": url, "region": keys["AWS_REGION"]}
    values |= {"key": keys["AWS_ACCESS_KEY_ID"], "secret": keys["AWS_SECRET_ACCESS_KEY"]}
    files = {
        "novarc": NOVARC.format(**values).encode(),
        "config": CONFIG.format(**values).encode(),
        "credentials": CREDENTIALS.format(**values).encode(),
        "pk.pem": issued.key,
        "cert.pem": issued.certificate,
        "cacert.pem": authority.certificate(),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, time.gmtime()[:6])
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
