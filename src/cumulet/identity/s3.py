"""Who a request to S3 is from: signed in one of S3's ways, or from nobody."""

from __future__ import annotations

from collections.abc import Mapping

from cumulet.identity.principal import Principal, who_claims
from cumulet.model import Database, Tx
from cumulet.wire.claim import Claim
from cumulet.wire.request import Request
from cumulet.wire.s3_signature import read_s3


def believe(
    database: Database, tx: Tx, request: Request, query: Mapping[str, str], bucket_of_host: str, region: str
) -> tuple[Claim | None, Principal | None, str]:
    """What was claimed, who it is, and the secret with which chunks are signed; None and None for nobody.

    The body is not compared with the claim's `payload`: whoever reads it does that.
    """
    claim = read_s3(request, query, bucket_of_host)
    if claim is None:
        return None, None, ""
    return claim, *who_claims(database, tx, claim, "s3", region, request.address)
