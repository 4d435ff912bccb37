"""Passwords of users, for a web console; and what the account asks of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from typing import Any, TypedDict, Unpack

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import change, found, no_such, own_or
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, account, entity
from cumulet.model.database import Row
from cumulet.wire.names import python_name

DEFAULT: dict[str, Any] = {
    "MinimumPasswordLength": 8,
    "RequireSymbols": False,
    "RequireNumbers": False,
    "RequireUppercaseCharacters": False,
    "RequireLowercaseCharacters": False,
    "AllowUsersToChangePassword": False,
}
SYMBOLS = "!@#$%^&*()_+-=[]{}|'"


class PasswordPolicy(TypedDict, total=False):
    minimum_password_length: int
    require_symbols: bool
    require_numbers: bool
    require_uppercase_characters: bool
    require_lowercase_characters: bool
    allow_users_to_change_password: bool
    max_password_age: int
    password_reuse_prevention: int
    hard_expiry: bool


@action("iam")
def update_account_password_policy(ctx: Context, **policy: Unpack[PasswordPolicy]) -> Result:
    """What new passwords must be; what is not named is as by default."""
    given = dict(policy)
    named = [*DEFAULT, "MaxPasswordAge", "PasswordReusePrevention", "HardExpiry"]
    values = {name: given[python_name(name)] for name in named if python_name(name) in given}
    with ctx.write() as tx:
        account.revise(tx, ctx.account, password_policy={**DEFAULT, "MinimumPasswordLength": 6, **values})
    return {}


@action("iam")
def get_account_password_policy(ctx: Context) -> Result:
    """Raises `Refusal` NoSuchEntity where none has been set."""
    with ctx.read() as tx:
        row = account.find(tx, ctx.account)
    if row is None or not row.password_policy:
        raise no_such(f"The Password Policy with domain name {ctx.account} cannot be found.")
    return {"PasswordPolicy": {**row.password_policy, "ExpirePasswords": "MaxPasswordAge" in row.password_policy}}


@action("iam")
def delete_account_password_policy(ctx: Context) -> Result:
    """The default holds again."""
    with change(ctx) as tx:
        row = account.find(tx, ctx.account)
        if row is None or not row.password_policy:
            raise no_such("The account policy with name PasswordPolicy cannot be found.")
        account.revise(tx, ctx.account, password_policy={})
    return {}


@action("iam")
def create_login_profile(
    ctx: Context, user_name: str = "", password: str = "", password_reset_required: bool = False
) -> Result:
    """Give a user a password."""
    with change(ctx) as tx:
        row = found(tx, ctx, "user", own_or(ctx, user_name))
        if row.attributes.get("password"):
            raise Refusal("EntityAlreadyExists", f"Login Profile for user {row.name} already exists.", 409)
        _check(tx, ctx, password)
        made = {"password": _hashed(password), "password_set": tx.now, "password_reset": password_reset_required}
        entity.change(tx, row.id, attributes={**row.attributes, **made})
    return {"LoginProfile": _view(row.name, made)}


@action("iam")
def get_login_profile(ctx: Context, user_name: str = "") -> Result:
    """Whether a user has a password, and since when."""
    with ctx.read() as tx:
        row = _with_password(tx, ctx, own_or(ctx, user_name))
    return {"LoginProfile": _view(row.name, row.attributes)}


@action("iam")
def update_login_profile(
    ctx: Context, user_name: str, password: str = "", password_reset_required: bool | None = None
) -> Result:
    """Another password, or whether it has to be changed at the next sign-in."""
    with change(ctx) as tx:
        row = _with_password(tx, ctx, user_name)
        values: dict[str, Any] = {}
        if password:
            _check(tx, ctx, password)
            values = {"password": _hashed(password)}
        if password_reset_required is not None:
            values["password_reset"] = password_reset_required
        entity.change(tx, row.id, attributes={**row.attributes, **values})
    return {}


@action("iam")
def delete_login_profile(ctx: Context, user_name: str = "") -> Result:
    """The user has no password."""
    with change(ctx) as tx:
        row = _with_password(tx, ctx, own_or(ctx, user_name))
        gone = ("password", "password_set", "password_reset")
        entity.change(tx, row.id, attributes={key: row.attributes[key] for key in row.attributes if key not in gone})
    return {}


@action("iam")
def change_password(ctx: Context, old_password: str, new_password: str) -> Result:
    """Who asks gets another password, who knows the old one."""
    if ctx.principal.kind != "user":
        raise Refusal("InvalidUserType", "Only a user of IAM can change its own password so.")
    with change(ctx) as tx:
        row = _with_password(tx, ctx, ctx.principal.name)
        if not _is(old_password, row.attributes["password"]):
            raise Refusal("AccessDenied", "The old password was incorrect.", 403)
        _check(tx, ctx, new_password)
        values = {"password": _hashed(new_password), "password_reset": False}
        entity.change(tx, row.id, attributes={**row.attributes, **values})
    return {}


def _with_password(tx: Tx, ctx: Context, name: str) -> Row:
    row = found(tx, ctx, "user", name)
    if not row.attributes.get("password"):
        raise no_such(f"Login Profile for User {name} cannot be found.")
    return row


def _view(name: str, attributes: dict[str, Any]) -> dict[str, Any]:
    required = bool(attributes.get("password_reset"))
    return {"UserName": name, "CreateDate": int(attributes["password_set"]), "PasswordResetRequired": required}


def _check(tx: Tx, ctx: Context, password: str) -> None:
    """Raises `Refusal` PasswordPolicyViolation."""
    row = account.find(tx, ctx.account)
    asked = {**DEFAULT, **(row.password_policy if row is not None else {})}
    rules = {
        "RequireSymbols": (SYMBOLS, "one of the symbols " + SYMBOLS),
        "RequireNumbers": (string.digits, "one digit"),
        "RequireUppercaseCharacters": (string.ascii_uppercase, "one upper-case letter"),
        "RequireLowercaseCharacters": (string.ascii_lowercase, "one lower-case letter"),
    }
    wrong = [text for name, (letters, text) in rules.items() if asked[name] and not set(letters) & set(password)]
    if len(password) < asked["MinimumPasswordLength"]:
        wrong.append(f"{asked['MinimumPasswordLength']} characters")
    if wrong:
        text = f"Password does not conform to the account password policy: it must have at least {', '.join(wrong)}."
        raise Refusal("PasswordPolicyViolation", text)


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}:{_derived(password, salt)}"


def _is(password: str, hashed: str) -> bool:
    salt, _, derived = hashed.partition(":")
    return hmac.compare_digest(_derived(password, bytes.fromhex(salt)), derived)


def _derived(password: str, salt: bytes) -> str:
    """scrypt, of which a guess takes 50 ms and 16 MiB."""
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1).hex()
