"""The account: its alias, and how much of everything it has."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.iam.entities import LIMITS, change, no_such
from cumulet.lib.errors import Refusal
from cumulet.model import account, entity, policy


@action("iam")
def create_account_alias(ctx: Context, account_alias: str) -> Result:
    """A name for the account that no other has; it replaces the one before."""
    try:
        with ctx.write() as tx:
            account.revise(tx, ctx.account, alias=account_alias)
    except IntegrityError:
        text = f"The account alias {account_alias} already exists."
        raise Refusal("EntityAlreadyExists", text, 409) from None
    return {}


@action("iam")
def list_account_aliases(ctx: Context, marker: str = "", max_items: int = 0) -> Result:
    """One, or none."""
    with ctx.read() as tx:
        row = account.find(tx, ctx.account)
    return {"AccountAliases": [row.alias] if row is not None and row.alias else [], "IsTruncated": False}


@action("iam")
def delete_account_alias(ctx: Context, account_alias: str) -> Result:
    """The account has its number alone."""
    with change(ctx) as tx:
        row = account.find(tx, ctx.account)
        if row is None or row.alias != account_alias:
            raise no_such(f"The account alias {account_alias} cannot be found.")
        account.revise(tx, ctx.account, alias=None)
    return {}


@action("iam")
def get_account_summary(ctx: Context) -> Result:
    """How many of everything there are, and may be."""
    with ctx.read() as tx:
        counts = {
            "Users": entity.count(tx, ctx.account, "user"),
            "Groups": entity.count(tx, ctx.account, "group"),
            "Roles": entity.count(tx, ctx.account, "role"),
            "InstanceProfiles": entity.count(tx, ctx.account, "instance-profile"),
            "Policies": policy.count(tx, ctx.account),
            "AccountAccessKeysPresent": int(bool(account.keys(tx, ctx.account))),
        }
    quotas = {
        "UsersQuota": LIMITS["UsersPerAccount"],
        "GroupsQuota": LIMITS["GroupsPerAccount"],
        "RolesQuota": LIMITS["RolesPerAccount"],
        "InstanceProfilesQuota": LIMITS["InstanceProfilesPerAccount"],
        "PoliciesQuota": LIMITS["PoliciesPerAccount"],
        "AccessKeysPerUserQuota": LIMITS["AccessKeysPerUser"],
        "GroupsPerUserQuota": LIMITS["GroupsPerUser"],
        "AttachedPoliciesPerUserQuota": LIMITS["AttachedPoliciesPerUser"],
        "AttachedPoliciesPerGroupQuota": LIMITS["AttachedPoliciesPerGroup"],
        "AttachedPoliciesPerRoleQuota": LIMITS["AttachedPoliciesPerRole"],
        "VersionsPerPolicyQuota": LIMITS["VersionsPerPolicy"],
        "UserPolicySizeQuota": LIMITS["UserPolicySize"],
        "GroupPolicySizeQuota": LIMITS["GroupPolicySize"],
        "RolePolicySizeQuota": LIMITS["RolePolicySize"],
        "PolicySizeQuota": LIMITS["PolicySize"],
        "AssumeRolePolicySizeQuota": LIMITS["AssumeRolePolicySize"],
        "MFADevices": 0,
        "MFADevicesInUse": 0,
        "AccountMFAEnabled": 0,
        "AccountSigningCertificatesPresent": 0,
        "ServerCertificates": 0,
        "Providers": 0,
    }
    return {"SummaryMap": counts | quotas}
