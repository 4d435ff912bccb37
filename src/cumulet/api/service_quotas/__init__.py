"""Service Quotas: importing this package registers its actions."""

from __future__ import annotations

from cumulet.api.service_quotas import quotas

SERVICE = "service-quotas"
__all__ = ["SERVICE", "quotas"]
