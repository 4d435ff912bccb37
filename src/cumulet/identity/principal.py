"""Who a request is from: its signature is checked against the access key's secret."""

from __future__ import annotations

import hmac
from hashlib import sha256

import msgspec

from cumulet.model import Database, account
from cumulet.wire.claim import Claim
from cumulet.wire.denials import deny
from cumulet.wire.request import Request
from cumulet.wire.signature import verify


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts: a user (or the root) of an account."""

    account: str
    canonical_id: str
    name: str
    access_key: str
    administrator: bool = False
    """Whether its account acts for the cloud's operator."""

    @property
    def arn(self) -> str:
        suffix = "root" if self.name == "root" else f"user/{self.name}"
        return f"arn:aws:iam::{self.account}:{suffix}"

    @property
    def user_id(self) -> str:
        """AWS: for the root it is the account's id."""
        return self.account


def authenticate(database: Database, request: Request, claim: Claim | None, service: str, region: str) -> Principal:
    """The principal whose key signed this request for `service` in `region`.

    Raises `Refusal` with the service's code if nobody did.
    """
    if claim is None:
        raise deny(service, "missing")
    with database.read() as tx:
        key = account.key(tx, claim.access_key)
    secret = key.secret if key is not None and key.active else None
    verify(claim, secret, database.clock.now(), service, region)
    if claim.version == "v4" and request.body is not None and not _is_body(claim.payload, request.body):
        raise deny(service, "payload")
    assert key is not None
    return Principal(
        account=key.account,
        canonical_id=key.canonical_id,
        name=key.principal,
        access_key=key.id,
        administrator=bool(key.administrator),
    )


def _is_body(payload: str, body: bytes) -> bool:
    return hmac.compare_digest(payload.encode(), sha256(body).hexdigest().encode())
