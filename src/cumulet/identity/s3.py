"""Who a request to S3 is from: signed in one of S3's ways, or from nobody."""

from __future__ import annotations

from collections.abc import Mapping

from cumulet.identity.principal import Principal
from cumulet.model import Tx, account
from cumulet.wire.claim import Claim
from cumulet.wire.denials import deny
from cumulet.wire.request import Request
from cumulet.wire.s3_signature import read_s3
from cumulet.wire.signature import verify


def believe(
    tx: Tx, request: Request, query: Mapping[str, str], bucket_of_host: str, region: str
) -> tuple[Claim | None, Principal | None, str]:
    """What was claimed, who it is, and the secret with which chunks are signed; None and None for nobody.

    The body is not compared with the claim's `payload`: whoever reads it does that.
    """
    claim = read_s3(request, query, bucket_of_host)
    if claim is None:
        return None, None, ""
    principal, secret = principal_of(tx, claim, region)
    return claim, principal, secret


def principal_of(tx: Tx, claim: Claim, region: str) -> tuple[Principal, str]:
    """Who made the claim; raises `Refusal` if it is not true."""
    key = account.key(tx, claim.access_key)
    secret = key.secret if key is not None and key.active else None
    verify(claim, secret, tx.now, "s3", region)
    if key is None or secret is None:
        raise deny("s3", "unknown_key")
    principal = Principal(
        account=key.account,
        canonical_id=key.canonical_id,
        name=key.principal,
        access_key=key.id,
        administrator=bool(key.administrator),
    )
    return principal, secret
