"""Whose a key is, and why something was denied."""

from __future__ import annotations

import json

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.lib import ids
from cumulet.lib.errors import Failure, Refusal
from cumulet.model import account


@action("sts")
def get_access_key_info(ctx: Context, access_key_id: str) -> Result:
    """The account of a key; AWS tells it to everybody, and so does this."""
    with ctx.read() as tx:
        if access_key_id.startswith("ASIA"):
            found = account.find(tx, ids.account_of(access_key_id))
            owner = found.id if found is not None else None
        else:
            key = account.key(tx, access_key_id)
            owner = key.account if key is not None else None
    if owner is None:
        raise Refusal("ValidationError", f"There is no access key {access_key_id}.")
    return {"Account": owner}


@action("sts")
def decode_authorization_message(ctx: Context, encoded_message: str) -> Result:
    """What a refusal of EC2 has said in cipher, to the account that it was said to."""
    wrong = Refusal("InvalidAuthorizationMessageException", "Message is not valid")
    try:
        said = json.loads(ctx.database.keys.unseal(encoded_message))
    except (Failure, ValueError):
        raise wrong from None
    if not isinstance(said, dict) or said.pop("account", None) != ctx.account:
        raise wrong
    return {"DecodedMessage": json.dumps(said)}
