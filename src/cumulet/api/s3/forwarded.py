"""For whom a request is passed on by a process without objects: said in a header that only this cloud can write."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import msgspec

from cumulet.lib.errors import Failure
from cumulet.lib.sealed import Keyring

HEADER = b"x-cumulet-client"
SECONDS = 300.0
"""For how long such a header is good."""


class Client(NamedTuple):
    """The address of a client as its own process saw it, and whether it came by TLS."""

    address: str
    secure: bool
    until: float


def said(keys: Keyring, address: str, secure: bool, now: float) -> bytes:  # noqa: FBT001 - a plain fact of the client
    """The header's value; the same for a while, so that it is sealed and unsealed once."""
    return _sealed(keys, address, secure, int(now // (SECONDS / 2)))


@lru_cache(maxsize=1024)
def _sealed(keys: Keyring, address: str, secure: bool, half: int) -> bytes:  # noqa: FBT001
    until = (half + 2) * (SECONDS / 2)
    return keys.seal(msgspec.json.encode(Client(address, secure, until))).encode()


def read(keys: Keyring, headers: list[tuple[bytes, bytes]], now: float) -> Client | None:
    """The client for whom the request was passed on; None if it comes from a client itself."""
    value = next((value for name, value in headers if name == HEADER), None)
    if value is None:
        return None
    try:
        found = msgspec.json.decode(keys.unseal(value.decode("latin-1")), type=Client)
    except (Failure, msgspec.DecodeError):
        return None
    return found if found.until >= now else None
