"""Temporary credentials, as STS gives them; and the policies that limit a session."""

from __future__ import annotations

from typing import Any, TypedDict

from cumulet.api.actions import Item
from cumulet.api.context import Context
from cumulet.identity import managed
from cumulet.identity.policy import compile_policy
from cumulet.lib import session
from cumulet.lib.errors import Refusal
from cumulet.lib.session import Session
from cumulet.model import Tx, policy

MOST_TEXT = 2048


class PolicyArn(TypedDict, total=False):
    arn: str


def begin(ctx: Context, account: str, seconds: int, **values: Any) -> tuple[Session, Item]:
    """A new session, and its Credentials."""
    made, token = session.begin(ctx.database.keys, account, ctx.database.clock.now(), seconds, **values)
    return made, {
        "AccessKeyId": made.key,
        "SecretAccessKey": made.secret,
        "SessionToken": token,
        "Expiration": made.expires,
    }


def limits(tx: Tx, account: str, text: str, arns: list[PolicyArn] | None) -> dict[str, Any]:
    """What session policies make of a `Session`; raises `Refusal` MalformedPolicyDocument, PackedPolicyTooLarge."""
    named = tuple(one.get("arn", "") for one in arns or [])
    if len(text) + sum(map(len, named)) > MOST_TEXT:
        raise Refusal("PackedPolicyTooLarge", f"Session policies may have {MOST_TEXT} characters in all.")
    for arn in named:
        row = None if arn in managed.ALL else policy.find(tx, arn)
        if arn not in managed.ALL and (row is None or row.account != account):
            raise Refusal("MalformedPolicyDocument", f"The managed policy {arn} does not exist.")
    if text:
        compile_policy(text)
    if not text and not named:
        return {}
    return {"limited": True, "policies": (text,) if text else (), "policy_arns": named}


def size(text: str, tags: dict[str, str] | None = None) -> Item:
    """AWS's PackedPolicySize, where there is anything to pack."""
    packed = session.packed_size([text] if text else [], tags or {})
    return {"PackedPolicySize": packed} if packed else {}
