"""URLs that hold a password, as they may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def without_password(url: str) -> str:
    """The URL with `***` for its password, and without its query, which may hold secrets too."""
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{name}:***" if colon else name
    return urlunsplit((parts.scheme, f"{shown}{at}{place}", parts.path, "", ""))
