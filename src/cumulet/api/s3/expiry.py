"""When a lifecycle rule will remove an object or an upload, as `x-amz-expiration` and `x-amz-abort-date` say it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cumulet.lib.lifecycle import aborts_at, expires_at
from cumulet.model.database import Row
from cumulet.wire.rest_render import http_date


def member(bucket: Row, key: str, tags: list[list[str]] | None, size: int, modified: float) -> dict[str, Any]:
    """Expiration, if there is a rule that applies."""
    rules = bucket.settings.get("lifecycle") or []
    found = expires_at(rules, key, tags or [], size, modified)
    if found is None:
        return {}
    when, rule = found
    return {"Expiration": f'expiry-date="{http_date(when)}", rule-id="{quote(rule)}"'}


def abort_members(bucket: Row, key: str, created: float) -> dict[str, Any]:
    """AbortDate and AbortRuleId of an upload, if there is a rule that applies."""
    found = aborts_at(bucket.settings.get("lifecycle") or [], key, created)
    if found is None:
        return {}
    when, rule = found
    return {"AbortDate": datetime.fromtimestamp(when, UTC), "AbortRuleId": rule}
