"""CloudTrail: importing this package registers its actions."""

from __future__ import annotations

from cumulet.api.cloudtrail import events

__all__ = ["events"]
