"""A zip with all that a user's clients want, those of 2012 too; and the cloud's keys and certificates."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from typing import Any

import msgspec

from cumulet.administration import named
from cumulet.administration.desk import Desk, Nothing
from cumulet.lib.authority import Authority
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.model import Tx, account, certificate, entity, secret
from cumulet.model.database import Row

LONGEST_REQUEST = 2.0
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


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For whom: an account's root, or its user; `url` is that of the AWS endpoint as its clients reach it."""

    account: str
    url: str
    user: str = ""


class Whose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account's root, or its user; without an account: the first."""

    account: str = ""
    user: str = ""


class Serial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate by its serial number in hexadecimal digits."""

    serial: str


def key_of(tx: Tx, name: str, user: str = "") -> tuple[Row, Row, str]:
    """An account, an active access key of its root or user, and the key's secret; raises `Failure`."""
    found = named(tx, name)
    who = entity.named(tx, found.id, "user", user) if user else None
    if user and who is None:
        raise Failure(f"the account {found.name} has no user {user}: `cumulet user list {found.name}`")
    keys = [key for key in account.keys(tx, found.id, who.id if who is not None else "") if key.active]
    if not keys:
        whose = f"the user {user} of {found.name}" if user else f"the account {found.name}"
        raise Failure(f"{whose} has no active access key")
    return found, keys[0], account.secret(tx, keys[0])


def access_key(tx: Tx, config: Config, wanted: Whose) -> dict[str, Any]:
    """An access_key that is active, its secret_key, and the region that it signs for; raises `Failure`."""
    _, key, its_secret = key_of(tx, wanted.account or config.account, wanted.user)
    return {"access_key": key.id, "secret_key": its_secret, "region": config.region}


def create(desk: Desk, wanted: Wanted) -> dict[str, Any]:
    """The serial number of a new certificate, and the secret_archive: the zip in base64. Raises `Failure`."""
    with desk.database.read() as tx:
        owner, key, its_secret = key_of(tx, wanted.account, wanted.user)
    authority = Authority(desk.config.state_dir / "ca")
    issued = authority.issue(wanted.user or owner.name, desk.database.clock.now())
    with desk.database.write() as tx:
        certificate.add(tx, owner.id, issued.serial, issued.certificate)
    values = {"account": owner.name, "account_id": owner.id, "url": wanted.url, "region": desk.config.region}
    values |= {"key": key.id, "secret": its_secret}
    files = {
        "novarc": NOVARC.format(**values).encode(),
        "config": CONFIG.format(**values).encode(),
        "credentials": CREDENTIALS.format(**values).encode(),
        "pk.pem": issued.key,
        "cert.pem": issued.certificate,
        "cacert.pem": authority.certificate(),
    }
    return {"serial": f"{issued.serial:x}", "secret_archive": base64.b64encode(_zipped(files)).decode()}


def _zipped(files: dict[str, bytes]) -> bytes:
    """For the owner's eyes only, as they are unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, time.gmtime()[:6])
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def revoke(desk: Desk, wanted: Serial) -> dict[str, Any]:
    """Revoke a certificate; the new list of all that are revoked, PEM. Raises `Failure`."""
    try:
        number = int(wanted.serial.replace(":", ""), 16)
    except ValueError:
        right = "openssl x509 -in cert.pem -noout -serial shows it"
        raise Failure(f"{wanted.serial} is no serial number: {right}") from None
    revoked = Authority(desk.config.state_dir / "ca").revoke(number, desk.database.clock.now())
    with desk.database.write() as tx:
        certificate.revoke(tx, number)
    return {"revoked": revoked.decode()}


def rotate_key(desk: Desk, wanted: Nothing) -> dict[str, Any]:
    """Make a new key for what rests sealed in the database, and seal all again: how much that was."""
    database, count = desk.database, 0
    database.keys.add()
    for pause in (0.0, LONGEST_REQUEST):  # again for a request that had sealed with the older key already
        database.clock.sleep(pause)
        with database.write() as tx:
            count = secret.seal_again(tx)
    database.keys.forget_older()
    return {"sealed": count}
