"""When a lifecycle rule will remove an object, as `x-amz-expiration` says it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from cumulet.lib.lifecycle import expires_at
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
