"""Key pairs: the public half goes into guests; the private one is shown once and not kept."""

from __future__ import annotations

from typing import Any

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2 import key_material
from cumulet.api.ec2.key_material import Key
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.validation import LONGEST_NAME, exactly_one, invalid
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, key_pair, tag
from cumulet.model.database import Row

TYPES = ("rsa", "ed25519")
FORMATS = ("pem", "ppk")


@action()
def create_key_pair(
    ctx: Context,
    key_name: str,
    key_type: str = "rsa",
    key_format: str = "pem",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Make a key pair and show its private half, once."""
    _check_name(key_name)
    if key_type not in TYPES:
        raise invalid(key_type, "keyType", "Expecting rsa or ed25519.")
    if key_format not in FORMATS:
        raise invalid(key_format, "keyFormat", "Expecting pem or ppk.")
    tags = tags_for(tag_specifications, "key-pair")
    with ctx.read() as tx:
        _refuse_duplicate(key_pair.named(tx, ctx.account, key_name) is not None, key_name)
    # some 100 ms for RSA: not while the database waits
    made = key_material.generate(key_type, key_name if key_format == "ppk" else None)
    return {**_add(ctx, key_name, made, tags), "KeyMaterial": made.private}


@action()
def import_key_pair(
    ctx: Context, key_name: str, public_key_material: bytes, tag_specifications: list[TagSpecification] | None = None
) -> Result:
    """Take in the public half of a key pair that was made elsewhere."""
    _check_name(key_name)
    tags = tags_for(tag_specifications, "key-pair")
    return _add(ctx, key_name, key_material.read(public_key_material), tags)


@describes(
    "KeyPairs",
    id="KeyPairId",
    ids="key_pair_ids",
    missing="InvalidKeyPair.NotFound",
    filters={
        "fingerprint": "KeyFingerprint",
        "key-name": "KeyName",
        "key-pair-id": "KeyPairId",
        "key-type": "KeyType",
    },
)
def describe_key_pairs(
    ctx: Context, key_names: list[str] | None = None, include_public_key: bool = False
) -> list[Item]:
    """The account's key pairs."""
    with ctx.read() as tx:
        rows = key_pair.of_account(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["key-pair"])
    known = {row.name for row in rows}
    for name in key_names or []:
        if name not in known:
            raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")
    chosen = [row for row in rows if not key_names or row.name in key_names]
    return [_item(row, tags.get(row.id, []), include_public_key) for row in chosen]


@action()
def delete_key_pair(ctx: Context, key_name: str = "", key_pair_id: str = "") -> Result:
    """Forget a key pair; guests that have it keep it. A name that is not there is no error, as in AWS."""
    exactly_one(KeyName=key_name, KeyPairId=key_pair_id)
    with ctx.write() as tx:
        row = key_pair.named(tx, ctx.account, key_name) if key_name else _by_id(tx, ctx.account, key_pair_id)
        if row is None:
            return {"Return": True}
        key_pair.delete(tx, row.id)
        tag.remove(tx, row.id)
    return {"Return": True, "KeyPairId": row.id}


def _by_id(tx: Tx, account: str, id: str) -> Row:
    row = key_pair.find(tx, account, id)
    if row is None:
        raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{id}' does not exist")
    return row


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or not (name.isascii() and name.isprintable()):
        raise invalid(name, "keyName", "A name has 1 to 255 ASCII characters, with no space at its ends.")
    if len(name) > LONGEST_NAME:
        raise invalid(name, "keyName", f"Length exceeds maximum of {LONGEST_NAME}.")


def _add(ctx: Context, name: str, key: Key, tags: dict[str, str]) -> Result:
    id = ids.new("key_pair")
    values = {"id": id, "account": ctx.account, "name": name, "type": key.type, "fingerprint": key.fingerprint}
    with ctx.write() as tx:
        most = ctx.quota(tx, "key_pairs")
        if len(key_pair.of_account(tx, ctx.account)) >= most:
            raise Refusal("KeyPairLimitExceeded", f"The maximum number of key pairs has been reached: it is {most}.")
        _refuse_duplicate(not key_pair.add(tx, {**values, "public_key": f"{key.public} {name}"}), name)
        tag.put(tx, ctx.account, id, "key-pair", tags)
    return {"KeyPairId": id, "KeyName": name, "KeyFingerprint": key.fingerprint, "Tags": shown(tags)}


def _refuse_duplicate(is_there: bool, name: str) -> None:
    if is_there:
        raise Refusal("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.")


def _item(row: Row, tags: list[dict[str, str]], with_key: bool) -> Item:
    item: dict[str, Any] = {
        "KeyPairId": row.id,
        "KeyName": row.name,
        "KeyFingerprint": row.fingerprint,
        "KeyType": row.type,
        "CreateTime": row.created,
        "Tags": tags,
    }
    return item | ({"PublicKey": row.public_key} if with_key else {})
