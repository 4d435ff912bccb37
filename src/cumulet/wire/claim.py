"""A claim: who a request says it is from, and what is needed to find out whether that is so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the signature of a request says. Nothing of it is believed before `signature.verify`."""

    access_key: str
    version: Literal["v4", "v2"]
    presigned: bool = False
    service: str = ""
    """The scope's service; empty in version 2, which has no scope."""
    region: str = ""
    date: str = ""
    """The scope's day, YYYYMMDD."""
    signed_at: float | None = None
    """Seconds since 1970; None where version 2 says only when it ends."""
    expires_at: float | None = None
    """Seconds since 1970; None: 15 minutes from `signed_at`."""
    payload: str = ""
    """The hash of the body that was signed, or S3's words for it (UNSIGNED-PAYLOAD, STREAMING-…)."""
    digest: Literal["sha256", "sha1"] = "sha256"
    token: str = field(default="", repr=False)
    """The session token of temporary credentials."""
    texts: tuple[bytes, ...] = field(default=(), repr=False)
    """What may have been signed: version 2 clients do not agree whether the host has its port."""
    signature: str = field(default="", repr=False)
