"""Who am I."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context


@action("sts")
def get_caller_identity(ctx: Context) -> Result:
    """The account, id and ARN of whoever signed the request."""
    return {"UserId": ctx.principal.user_id, "Account": ctx.account, "Arn": ctx.principal.arn}
