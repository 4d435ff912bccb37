"""What an account may have, and asking for more."""

from __future__ import annotations

import secrets
from typing import Any

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.pages import page
from cumulet.identity import quotas
from cumulet.identity.quotas import SERVICES, Quota
from cumulet.lib.errors import Refusal
from cumulet.model import account
from cumulet.model.database import Row

SERVICE = "service-quotas"


def _known(service: str, code: str) -> Quota:
    found = next((one for one in quotas.KNOWN if (one.service, one.code) == (service, code)), None)
    if found is None:
        raise Refusal("NoSuchResourceException", f"There is no quota {code} of the service {service}.")
    return found


def _of_service(service: str) -> list[Quota]:
    if service not in SERVICES:
        raise Refusal("NoSuchResourceException", f"There is no service {service}; there are {', '.join(SERVICES)}.")
    return [one for one in quotas.KNOWN if one.service == service]


def _arn(ctx: Context, quota: Quota, account_id: str) -> str:
    return f"arn:aws:servicequotas:{ctx.config.region}:{account_id}:{quota.service}/{quota.code}"


def _view(ctx: Context, quota: Quota, value: int, account_id: str) -> Item:
    return {
        "ServiceCode": quota.service,
        "ServiceName": SERVICES[quota.service],
        "QuotaArn": _arn(ctx, quota, account_id),
        "QuotaCode": quota.code,
        "QuotaName": quota.title,
        "Value": float(value),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaAppliedAtLevel": "ACCOUNT",
    }


def _own(ctx: Context) -> Row:
    with ctx.read() as tx:
        row = account.find(tx, ctx.account)
    assert row is not None
    return row


@action(SERVICE)
def get_service_quota(ctx: Context, service_code: str, quota_code: str) -> Result:
    """What this account may have."""
    quota = _known(service_code, quota_code)
    return {"Quota": _view(ctx, quota, quotas.of_row(_own(ctx), ctx.config, quota.name), ctx.account)}


@action(SERVICE, name="GetAWSDefaultServiceQuota")
def get_aws_default_service_quota(ctx: Context, service_code: str, quota_code: str) -> Result:
    """What an account may have that nothing else has been said of."""
    quota = _known(service_code, quota_code)
    return {"Quota": _view(ctx, quota, quotas.of_row(None, ctx.config, quota.name), "")}


@action(SERVICE)
def list_service_quotas(
    ctx: Context, service_code: str, next_token: str = "", max_results: int | None = None, quota_code: str = ""
) -> Result:
    """All of a service that this account may have."""
    row = _own(ctx)
    those = [one for one in _of_service(service_code) if quota_code in ("", one.code)]
    views = [_view(ctx, one, quotas.of_row(row, ctx.config, one.name), ctx.account) for one in those]
    return _paged("Quotas", views, next_token, max_results, "QuotaCode")


@action(SERVICE, name="ListAWSDefaultServiceQuotas")
def list_aws_default_service_quotas(
    ctx: Context, service_code: str, next_token: str = "", max_results: int | None = None
) -> Result:
    """All of a service by default."""
    views = [_view(ctx, one, quotas.of_row(None, ctx.config, one.name), "") for one in _of_service(service_code)]
    return _paged("Quotas", views, next_token, max_results, "QuotaCode")


@action(SERVICE)
def request_service_quota_increase(ctx: Context, service_code: str, quota_code: str, desired_value: float) -> Result:
    """Ask the operator for more; `cumulet quota set` grants it."""
    quota = _known(service_code, quota_code)
    with ctx.write() as tx:
        if desired_value <= quotas.limit(tx, ctx.config, ctx.account, quota.name):
            text = "You must provide a quota value greater than or equal to the current quota value."
            raise Refusal("IllegalArgumentException", text)
        row = account.find(tx, ctx.account)
        waiting = row.quotas.get("requests", []) if row is not None else []
        if any(one["name"] == quota.name and one["status"] == "PENDING" for one in waiting):
            raise Refusal("ResourceAlreadyExistsException", f"There is an open request for {quota.code} already.")
        asked: dict[str, Any] = {"id": secrets.token_hex(16), "name": quota.name, "desired": desired_value}
        asked |= {"status": "PENDING", "created": tx.now, "changed": tx.now, "by": ctx.principal.arn}
        quotas.request(tx, ctx.account, asked)
    return {"RequestedQuota": _asked(ctx, asked)}


@action(SERVICE)
def get_requested_service_quota_change(ctx: Context, request_id: str) -> Result:
    """How far a request is."""
    found = next((one for one in _own(ctx).quotas.get("requests", []) if one["id"] == request_id), None)
    if found is None:
        raise Refusal("NoSuchResourceException", f"There is no request {request_id}.")
    return {"RequestedQuota": _asked(ctx, found)}


@action(SERVICE)
def list_requested_service_quota_change_history(
    ctx: Context, service_code: str = "", status: str = "", next_token: str = "", max_results: int | None = None
) -> Result:
    """What this account has asked for."""
    views = [_asked(ctx, one) for one in _own(ctx).quotas.get("requests", [])]
    chosen = [one for one in views if service_code in ("", one["ServiceCode"]) and status in ("", one["Status"])]
    return _paged("RequestedQuotas", chosen, next_token, max_results, "Id")


def _asked(ctx: Context, asked: dict[str, Any]) -> Item:
    quota = next(one for one in quotas.KNOWN if one.name == asked["name"])
    return {
        "Id": asked["id"],
        "ServiceCode": quota.service,
        "ServiceName": SERVICES[quota.service],
        "QuotaCode": quota.code,
        "QuotaName": quota.title,
        "DesiredValue": float(asked["desired"]),
        "Status": asked["status"],
        "Created": asked["created"],
        "LastUpdated": asked["changed"],
        "Requester": asked["by"],
        "QuotaArn": _arn(ctx, quota, ctx.account),
        "GlobalQuota": False,
        "Unit": "None",
    }


def _paged(member: str, views: list[Item], token: str, most: int | None, key: str) -> Result:
    shown, following = page(views, max(most, 5) if most is not None else None, token or None, key)
    return {member: shown} | ({"NextToken": following} if following else {})
