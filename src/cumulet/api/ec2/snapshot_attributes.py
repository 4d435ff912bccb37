"""Who may make volumes from a snapshot: shown, changed and set back."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import sharing
from cumulet.api.ec2.sharing import Permissions
from cumulet.api.ec2.snapshot_rows import owned
from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.model import snapshot

_PERMISSION = "createVolumePermission"


@action()
def describe_snapshot_attribute(ctx: Context, snapshot_id: str, attribute: str) -> Result:
    """Who may make volumes from an own snapshot; and no product codes, which nothing has here."""
    with ctx.read() as tx:
        row = owned(tx, ctx.account, snapshot_id)
        opened = snapshot.SHARES.accounts(tx, row.id)
    shown: dict[str, Result] = {
        _PERMISSION: {"CreateVolumePermissions": sharing.shown(row.public, opened)},
        "productCodes": {"ProductCodes": []},
    }
    if attribute not in shown:
        raise invalid(attribute, "attribute", f"Known are {', '.join(shown)}.")
    return {"SnapshotId": row.id, **shown[attribute]}


@action()
def modify_snapshot_attribute(
    ctx: Context,
    snapshot_id: str,
    attribute: str = _PERMISSION,
    create_volume_permission: Permissions | None = None,
    operation_type: str = "",
    group_names: list[str] | None = None,
    user_ids: list[str] | None = None,
) -> Result:
    """Open an own snapshot to other accounts, or to all, or close it again."""
    _expect_permission(attribute)
    named = sharing.by_name(operation_type, group_names or [], user_ids or [])
    if not create_volume_permission and not named:
        raise Refusal("InvalidParameterCombination", "No attributes specified.")
    with ctx.write() as tx:
        row = owned(tx, ctx.account, snapshot_id)
        if row.sealed:
            text = f"The snapshot '{row.id}' is encrypted with a key of its account's own, and cannot be shared."
            raise Refusal("InvalidParameter", text)
        for given in (create_volume_permission or {}, named):
            sharing.change(tx, snapshot.SHARES, row.id, given, "InvalidParameterValue")
    return {}


@action()
def reset_snapshot_attribute(ctx: Context, snapshot_id: str, attribute: str) -> Result:
    """Nobody but its account may make volumes from the snapshot any more."""
    _expect_permission(attribute)
    with ctx.write() as tx:
        snapshot.SHARES.close(tx, owned(tx, ctx.account, snapshot_id).id)
    return {}


def _expect_permission(attribute: str) -> None:
    if attribute != _PERMISSION:
        raise invalid(attribute, "attribute", f"{_PERMISSION} can be changed.")
