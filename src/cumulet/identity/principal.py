"""Who a request is from: its signature is checked against the access key's secret."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any, Literal

import msgspec

from cumulet.identity import lockout
from cumulet.identity.policy import Caller
from cumulet.lib import session
from cumulet.lib.errors import Refusal
from cumulet.lib.session import Session
from cumulet.model import Database, Tx, account
from cumulet.model.database import Row
from cumulet.wire.claim import Claim
from cumulet.wire.denials import deny
from cumulet.wire.request import Request, shown
from cumulet.wire.signature import verify

USE_NOTED_SECONDS = 60.0
"""How old the last use of a key may be in the database: nobody writes with each request."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts: the root or a user of an account, or a session of a role or of a user."""

    account: str
    canonical_id: str
    account_name: str = ""
    name: str
    """Of the user or role; `root`."""
    path: str = "/"
    kind: Literal["root", "user", "role"] = "root"
    entity: str = ""
    """The id of the user or role; empty for the root."""
    access_key: str
    administrator: bool = False
    """Whether its account acts for the cloud's operator."""
    revision: int = 0
    """Of who may do what in the account."""
    session: Session | None = None

    @property
    def owner_arn(self) -> str:
        """The root, user or role itself, whatever the session."""
        suffix = "root" if self.kind == "root" else f"{self.kind}{self.path}{self.name}"
        return f"arn:aws:iam::{self.account}:{suffix}"

    @property
    def arn(self) -> str:
        if self.session is None or self.session.kind == "user":
            return self.owner_arn
        if self.session.kind == "federated":
            return f"arn:aws:sts::{self.account}:federated-user/{self.session.name}"
        return f"arn:aws:sts::{self.account}:assumed-role/{self.name}/{self.session.name}"

    @property
    def user_id(self) -> str:
        """AWS: for the root it is the account's id, for a session the role's (or the account's) and its name."""
        if self.session is None or self.session.kind == "user":
            return self.entity or self.account
        return f"{self.entity if self.session.kind == 'role' else self.account}:{self.session.name}"

    @property
    def type(self) -> str:
        """AWS's word in `aws:PrincipalType`."""
        if self.session is not None and self.session.kind != "user":
            return {"role": "AssumedRole", "federated": "FederatedUser"}[self.session.kind]
        return "Account" if self.kind == "root" else "User"

    @property
    def caller(self) -> Caller:
        """It, as policies name it."""
        behind = self.owner_arn if self.arn != self.owner_arn else ""
        return Caller(account=self.account, arn=self.arn, behind=behind, canonical_id=self.canonical_id)

    @property
    def may_all(self) -> bool:
        """Whether it is the root of its account, which no policy of the account limits."""
        return self.kind == "root" and (self.session is None or not self.session.limited)


def rights_of(principal: Principal) -> dict[str, Any]:
    """What a session of the same rights has, for what is done later and for him (`lib.session`)."""
    if principal.session is None:
        return {"kind": "user", "entity": principal.entity}
    names = ("kind", "entity", "name", "limited", "policies", "policy_arns", "tags", "transitive", "source_identity")
    return {name: getattr(principal.session, name) for name in names}


def authenticate(database: Database, request: Request, claim: Claim | None, service: str, region: str) -> Principal:
    """The principal whose key signed this request for `service` in `region`.

    Raises `Refusal` with the service's code if nobody did.
    """
    if claim is None:
        raise deny(service, "missing")
    with database.read() as tx:
        principal, _ = who_claims(database, tx, claim, service, region, request.address)
    if claim.version == "v4" and request.body is not None and not _is_body(claim.payload, request.body):
        raise deny(service, "payload")
    return principal


def who_claims(
    database: Database, tx: Tx, claim: Claim, service: str, region: str, address: str
) -> tuple[Principal, str]:
    """The principal whose key made the claim, and the key's secret; raises `Refusal` if nobody's did.

    Who guesses from the same `address` too often is not listened to for a while.
    """
    now = database.clock.now()
    counted = lockout.of(database)
    if counted.is_out(claim.access_key, address, now):
        minutes = f"{lockout.SECONDS / 60:g} minutes"
        why = f"Too many signatures with {shown(claim.access_key)} were wrong; try again in {minutes}."
        raise deny(service, "mismatch", why)
    principal, secret, used = _known(tx, claim, service)
    try:
        verify(claim, secret, now, service, region, claim.token if secret else "")
    except Refusal:
        if secret is not None:
            counted.failed(claim.access_key, address, now)
        raise
    counted.succeeded(claim.access_key, address)
    assert principal is not None
    assert secret is not None
    if principal.session is not None and principal.session.expires <= database.clock.now():
        raise deny(service, "session_over", f"It was good until {principal.session.expires} (seconds since 1970).")
    if used is not None and used < database.clock.now() - USE_NOTED_SECONDS:
        database.note(account.used(principal.access_key, database.clock.now(), service, claim.region or region))
    return principal, secret


def _known(tx: Tx, claim: Claim, service: str) -> tuple[Principal | None, str | None, float | None]:
    """Whose key it is, its secret, and when it was used last (of a lasting key); None where there is no such key, or
    it is not active."""
    if claim.token:
        return _of_session(tx, claim, service)
    key = account.key(tx, claim.access_key)
    if key is None or not key.active or (key.entity and key.kind is None):
        return None, None, None
    return _principal(key, key.entity, claim.access_key, None), account.secret(tx, key), key.used or 0.0


def _of_session(tx: Tx, claim: Claim, service: str) -> tuple[Principal | None, str | None, None]:
    found = session.of_token(tx.keys, claim.token)
    if found is None or found.key != claim.access_key:
        raise deny(service, "token", "The session token does not belong to the access key.")
    row = account.of_session(tx, found.account, found.entity)
    if row is None or (found.entity and row.kind is None):
        return None, None, None
    return _principal(row, found.entity, found.key, found), found.secret, None


def _principal(row: Row, entity: str, key: str, found: Session | None) -> Principal:
    return Principal(
        account=row.account,
        canonical_id=row.canonical_id,
        account_name=row.account_name,
        name=row.entity_name if entity else "root",
        path=row.path if entity else "/",
        kind=row.kind if entity else "root",
        entity=entity,
        access_key=key,
        administrator=bool(row.administrator),
        revision=row.revision,
        session=found,
    )


def _is_body(payload: str, body: bytes) -> bool:
    return hmac.compare_digest(payload.encode(), sha256(body).hexdigest().encode())
