"""What a request to STS needs."""

from __future__ import annotations

from typing import Any

from cumulet.api.authorise import Need, needs
from cumulet.api.context import Context
from cumulet.lib.errors import Refusal

FREE = ("GetCallerIdentity", "GetSessionToken")
"""AWS: nobody needs a permission for these."""
DECIDES_ITSELF = "AssumeRole"


@needs("sts")
def of_sts(ctx: Context, name: str, parameters: dict[str, Any]) -> list[Need]:
    """Its action, on the federated user that is to be."""
    session = ctx.principal.session
    if name == "GetCallerIdentity":
        return []
    if session is not None and session.kind == "federated":
        raise Refusal("AccessDenied", f"Cannot call {name} with credentials of GetFederationToken.", 403)
    if name in FREE or name == DECIDES_ITSELF:
        return []
    if name == "GetFederationToken":
        return [Need(f"sts:{name}", f"arn:aws:sts::{ctx.account}:federated-user/{parameters['Name']}")]
    return [Need(f"sts:{name}")]
