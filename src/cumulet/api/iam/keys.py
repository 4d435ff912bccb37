"""Access keys of users, and of the account's root."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import change, check_limit, found, no_such, paged
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account
from cumulet.model.database import Row


def _owner(tx: Tx, ctx: Context, name: str) -> tuple[str, str]:
    """The id and name of whose keys are meant: the user's, or without a name who asks (the root has no id)."""
    if not name and ctx.principal.kind != "user":
        if ctx.principal.kind == "root":
            return "", ctx.principal.name
        raise Refusal("ValidationError", "Must specify userName when calling with non-User credentials")
    row = found(tx, ctx, "user", name or ctx.principal.name)
    return row.id, row.name


def _named(tx: Tx, ctx: Context, owner: str, id: str) -> Row:
    row = next((key for key in account.keys(tx, ctx.account, owner) if key.id == id), None)
    if row is None:
        raise no_such(f"The Access Key with id {id} cannot be found.")
    return row


@action("iam")
def create_access_key(ctx: Context, user_name: str = "") -> Result:
    """A new key; its secret is told this once."""
    with change(ctx) as tx:
        owner, name = _owner(tx, ctx, user_name)
        check_limit("AccessKeysPerUser", len(account.keys(tx, ctx.account, owner)))
        id, secret = account.add_key(tx, ctx.account, owner)
        created = {"Status": "Active", "SecretAccessKey": secret, "CreateDate": int(tx.now)}
        return {"AccessKey": {"UserName": name, "AccessKeyId": id, **created}}


@action("iam")
def list_access_keys(ctx: Context, user_name: str = "", marker: str = "", max_items: int = 0) -> Result:
    """The keys of a user, without the secrets."""
    with ctx.read() as tx:
        owner, name = _owner(tx, ctx, user_name)
        rows = sorted(account.keys(tx, ctx.account, owner), key=lambda row: str(row.id))
    shown, page = paged(rows, marker, max_items, lambda row: str(row.id))
    return {"AccessKeyMetadata": [_view(row, name) for row in shown], **page}


def _view(row: Row, name: str) -> Item:
    status = "Active" if row.active else "Inactive"
    return {"UserName": name, "AccessKeyId": row.id, "Status": status, "CreateDate": int(row.created)}


@action("iam")
def update_access_key(ctx: Context, access_key_id: str, status: str, user_name: str = "") -> Result:
    """Switch a key off or on, at once."""
    if status not in ("Active", "Inactive"):
        raise Refusal("InvalidInput", f"The status of an access key is Active or Inactive, not {status}.")
    with change(ctx) as tx:
        owner, _ = _owner(tx, ctx, user_name)
        row = _named(tx, ctx, owner, access_key_id)
        table = account.access_key
        tx.change(table.update().where(table.c.id == row.id).values(active=status == "Active"))
    return {}


@action("iam")
def delete_access_key(ctx: Context, access_key_id: str, user_name: str = "") -> Result:
    """What it has signed is answered no more."""
    with change(ctx) as tx:
        owner, _ = _owner(tx, ctx, user_name)
        row = _named(tx, ctx, owner, access_key_id)
        tx.change(account.access_key.delete().where(account.access_key.c.id == row.id))
    return {}


@action("iam")
def get_access_key_last_used(ctx: Context, access_key_id: str) -> Result:
    """When and where a key was used last, as exactly as to the minute."""
    with ctx.read() as tx:
        row = account.key(tx, access_key_id)
        if row is None or row.account != ctx.account:
            raise Refusal("AccessDenied", f"User: {ctx.principal.arn} is not authorized to see {access_key_id}.", 403)
    used = {"ServiceName": row.used_service or "N/A", "Region": row.used_region or "N/A"}
    used |= {"LastUsedDate": int(row.used)} if row.used else {}
    return {"UserName": row.entity_name or "root", "AccessKeyLastUsed": used}
