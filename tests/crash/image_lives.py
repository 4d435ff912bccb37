"""What a cloud's users do with images whose bytes are objects."""

from __future__ import annotations

from typing import Any

from crash.lives import Life, Place, deregister
from crash.site import Site

from cumulet.model import image

BUNDLE: dict[str, Any] = {
    "bucket": "images",
    "by": {"kind": "user"},
    "parts": [{"url": "image.part.0", "sha1": "0" * 40, "size": 1}],
    "iv": "0" * 32,
    "sha1": "0" * 40,
    "size": 1,
}


def register_bundle(site: Place) -> str:
    """A machine image that is made of the parts of a bundle."""
    location = "images/image.manifest.xml"
    values: dict[str, object] = {"account": site.account, "name": "bundled", "location": location, "source": location}
    with site.database.write() as tx:
        sealed = tx.keys.seal(b"0" * 32)
        return image.take_in(tx, {**values, "declared": "raw", "origin": BUNDLE, "sealed": sealed})[0]


def _registered(site: Site) -> list[str]:
    return [register_bundle(site)]


LIVES = [
    Life("register a bundle", lambda site: [], lambda site, found: register_bundle(site), []),
    Life("deregister a bundle", _registered, lambda site, found: deregister(site, found.pop(0)), []),
]
