"""Documents that only the holder of a key can read: for what rests in a table or crosses a network that others hear."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken

from cumulet.lib.errors import Failure


def new_key() -> str:
    """A random key: 44 characters that need no quoting in a shell."""
    return Fernet.generate_key().decode()


def seal(key: str, document: bytes) -> str:
    """The document, encrypted and authenticated (Fernet: AES-128-CBC and HMAC-SHA256)."""
    return Fernet(key).encrypt(document).decode()


def unseal(key: str, sealed: str) -> bytes:
    """What was sealed; raises `Failure` for another key, or where something was changed on the way."""
    try:
        return Fernet(key).decrypt(sealed)
    except (InvalidToken, ValueError):
        raise Failure("what was received is not what was sealed with this key") from None
