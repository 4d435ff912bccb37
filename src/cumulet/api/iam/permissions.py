"""What a request to IAM needs: its action, on the ARN of what it names."""

from __future__ import annotations

from typing import Any

from cumulet.api.authorise import Need, needs
from cumulet.api.context import Context
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, entity, policy, tag

# In this order, since an action may name several: a user is added to a group, a role to a profile.
NAMED = {
    "GroupName": "group",
    "InstanceProfileName": "instance-profile",
    "RoleName": "role",
    "UserName": "user",
}
LISTED = {"ListUsers": "user", "ListGroups": "group", "ListRoles": "role", "ListInstanceProfiles": "instance-profile"}
OF_WHO_ASKS = ("AccessKey", "LoginProfile", "MFADevices", "SigningCertificates", "SSHPublicKeys", "ServiceSpecific")


@needs("iam")
def of_iam(ctx: Context, name: str, parameters: dict[str, Any]) -> list[Need]:
    """One, and `iam:PassRole` for whoever puts a role into a profile."""
    _refuse_sessions(ctx)
    with ctx.read() as tx:
        resource, keys = _resource(tx, ctx, name, parameters)
        keys |= _of_request(parameters)
        found = [Need(f"iam:{name}", resource, keys)]
        if name == "AddRoleToInstanceProfile":
            role = _arn(tx, ctx, "role", parameters["RoleName"], "/")[0]
            found.append(Need("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}))
    return found


def _refuse_sessions(ctx: Context) -> None:
    """AWS: neither a federated user nor a session token without MFA may call IAM."""
    session = ctx.principal.session
    if session is not None and session.kind != "role":
        what = "GetFederationToken" if session.kind == "federated" else "GetSessionToken"
        raise Refusal("AccessDenied", f"Cannot call IAM operations with credentials of {what}.", 403)


def _resource(tx: Tx, ctx: Context, name: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    account = f"arn:aws:iam::{ctx.account}"
    path = parameters.get("Path", "/")
    for parameter, kind in NAMED.items():
        if parameter in parameters:
            return _arn(tx, ctx, kind, parameters[parameter], path)
    if arn := parameters.get("PolicyArn") or parameters.get("PolicySourceArn"):
        row = policy.find(tx, arn)
        return arn, _tags(tag.of(tx, row.id)) if row is not None and row.account == ctx.account else {}
    if "PolicyName" in parameters:
        return f"{account}:policy{path}{parameters['PolicyName']}", {}
    if name in LISTED:
        return f"{account}:{LISTED[name]}{parameters.get('PathPrefix', '/')}", {}
    if ctx.principal.kind == "user" and (name in ("GetUser", "ChangePassword") or any(w in name for w in OF_WHO_ASKS)):
        return ctx.principal.owner_arn, {}
    return "*", {}


def _arn(tx: Tx, ctx: Context, kind: str, name: str, path: str) -> tuple[str, dict[str, Any]]:
    """Of what is there, or of what would be made."""
    row = entity.named(tx, ctx.account, kind, name)
    if row is None:
        return entity.arn(ctx.account, kind, path, name), {}
    return entity.arn_of(row), _tags(tag.of(tx, row.id))


def _tags(tags: dict[str, str]) -> dict[str, Any]:
    keys = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
    return keys | {f"iam:ResourceTag/{key}": value for key, value in tags.items()}


def _of_request(parameters: dict[str, Any]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if "PermissionsBoundary" in parameters:
        keys["iam:PermissionsBoundary"] = parameters["PermissionsBoundary"]
    if "PolicyArn" in parameters:
        keys["iam:PolicyARN"] = parameters["PolicyArn"]
    tags = parameters.get("Tags") or []
    named = [one.get("Key", "") for one in tags] or parameters.get("TagKeys")
    if named:
        keys["aws:TagKeys"] = named
    return keys | {f"aws:RequestTag/{one.get('Key', '')}": one.get("Value", "") for one in tags}
