"""Temporary credentials: a key, a secret, and a token in which the cloud tells itself what the session may.

Nothing of a session is kept: its token is sealed with the cloud's key, and says until when it is good. Whoever has
changed it, or made it with another cloud's key, has none.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, Literal

import msgspec

from cumulet.lib import ids
from cumulet.lib.errors import Failure
from cumulet.lib.sealed import Keyring

_PREFIX = "CST1"
LONGEST_TOKEN = 16_384


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says. `policies` are session policies in full, `policy_arns` managed ones."""

    key: str
    secret: str
    account: str
    kind: Literal["role", "user", "federated"]
    """A role that was assumed; the user or root itself (GetSessionToken); somebody whom a user vouches for."""
    entity: str = ""
    """The id of the role or user; empty: the root."""
    name: str = ""
    """Of the role's session, or of the federated user."""
    issued: int
    expires: int
    limited: bool = False
    """Whether session policies limit it; a federated user without any may do nothing."""
    policies: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    transitive: tuple[str, ...] = ()
    source_identity: str = ""
    instance: str = ""
    """The instance whose profile it is for."""


def begin(keys: Keyring, account: str, now: float, seconds: int, **values: Any) -> tuple[Session, str]:
    """New temporary credentials: what they say, and their token."""
    key, secret = ids.temporary_key(account)
    made = Session(key=key, secret=secret, account=account, issued=int(now), expires=int(now) + seconds, **values)
    packed = base64.b64encode(zlib.compress(msgspec.json.encode(made)))
    return made, _PREFIX + keys.seal(packed)


def of_token(keys: Keyring, token: str) -> Session | None:
    """What a token says; None if this cloud has not made it."""
    if not token.startswith(_PREFIX) or len(token) > LONGEST_TOKEN:
        return None
    try:
        packed = base64.b64decode(keys.unseal(token[len(_PREFIX) :]))
        return msgspec.json.decode(zlib.decompress(packed), type=Session)
    except (Failure, binascii.Error, zlib.error, msgspec.DecodeError):
        return None


def packed_size(policies: list[str], tags: dict[str, str]) -> int:
    """AWS's PackedPolicySize: how much of what a token may carry these take, in percent."""
    packed = zlib.compress(msgspec.json.encode([policies, tags]))
    return max(1, -(-100 * len(packed) // 2048)) if policies or tags else 0
