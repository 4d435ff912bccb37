"""The same request with the same client token gives the same answer (AWS: "Ensuring idempotency")."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, client_token

LONGEST_TOKEN = 64


def earlier(
    tx: Tx, account: str, action: str, token: str, request: Mapping[str, Any], result: dict[str, Any]
) -> dict[str, Any] | None:
    """What an earlier request with this token has made; None if this is the first, whose `result` is remembered.

    Raises `Refusal` IdempotentParameterMismatch where that request was another one, and InvalidParameterValue for a
    token that cannot be.
    """
    if not checked(token):
        return None
    print_of = hashlib.sha256(msgspec.json.encode(request, order="deterministic")).hexdigest()
    found = client_token.claim(tx, account, action, token, print_of, result)
    if found is None:
        return None
    if found.fingerprint != print_of:
        raise Refusal(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        )
    made: dict[str, Any] = found.result
    return made


def checked(token: str) -> str:
    """The token; raises `Refusal` InvalidParameterValue for one that cannot be."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise invalid(token[:80], "clientToken", f"Expecting up to {LONGEST_TOKEN} ASCII characters.")
    return token
