"""Whether a volume or a snapshot is encrypted: what requests may say of it, and how it is shown."""

from __future__ import annotations

from cumulet.api.actions import Item
from cumulet.api.context import Context
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, volume
from cumulet.model.database import Row

_ALIAS = "alias/aws/ebs"


def _key_id(ctx: Context, account: str) -> str:
    """AWS's ARN of the key that volumes have by default; there is no other here, and no KMS that knows it."""
    return f"arn:aws:kms:{ctx.config.region}:{account}:{_ALIAS}"


def check_key(ctx: Context, key_id: str, *, encrypted: bool) -> None:
    """Raises `Refusal` for a KMS key that is not the one there is, or is named for what is not to be encrypted."""
    if not key_id:
        return
    if not encrypted:
        text = "The parameter KmsKeyId requires the parameter Encrypted to be set."
        raise Refusal("InvalidParameterDependency", text)
    if key_id not in (_ALIAS, _key_id(ctx, ctx.account)):
        text = (
            f"Value ({key_id}) for parameter KmsKeyId is invalid. There is no KMS here: leave it out, or say {_ALIAS}."
        )
        raise Refusal("InvalidParameterValue", text)


def sealed(tx: Tx, encrypted: bool, origin: Row | None) -> str:
    """The sealed key of a new volume: that of the snapshot `origin`, if it is encrypted; else a new one, or none."""
    if origin is not None and origin.sealed:
        return str(origin.sealed)
    return volume.new_key(tx) if encrypted else ""


def shown(ctx: Context, row: Row) -> Item:
    """Of a volume or a snapshot, as a part of what describes it."""
    return as_asked(ctx, row.account, encrypted=bool(row.sealed))


def as_asked(ctx: Context, account: str, *, encrypted: bool) -> Item:
    """Of what an account has, or is to have."""
    return {"Encrypted": True, "KmsKeyId": _key_id(ctx, account)} if encrypted else {"Encrypted": False}
