"""What a guest has written to its serial console."""

from __future__ import annotations

import base64

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.instance_rows import one
from cumulet.lib.errors import Failure, Refusal


@action(accepts={"Latest": "what is answered is always the latest"})
def get_console_output(ctx: Context, instance_id: str) -> Result:
    """The last 64 KiB, Base64; empty for a guest that has never been started."""
    with ctx.read() as tx:
        row, now = one(tx, ctx.account, instance_id), tx.now
    if row.host is None:
        return {"InstanceId": row.id, "Timestamp": now, "Output": ""}
    try:
        said = ctx.ask("compute", row.host, "console", row.id)
    except Failure as e:
        if row.state == "pending":
            said = b""
        else:
            raise Refusal("Unavailable", f"The host of {row.id} does not answer: {e}", 503) from e
    return {"InstanceId": row.id, "Timestamp": now, "Output": base64.b64encode(said).decode()}
