"""Private keys as PuTTY keeps them: its format 2, which all its versions read, without a passphrase.

Source: PuTTY's manual, appendix C, "PPK file format".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import textwrap

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

_LINE = 64
_MAC_KEY = b"putty-private-key-file-mac-key"


def written(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, comment: str) -> str:
    """The key as a file of PuTTY's; `comment` has one line."""
    line = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
    kind, encoded = line.split()
    public, private = base64.b64decode(encoded), _private(key)
    parts = (kind.encode(), b"none", comment.encode(), public, private)
    secret = hashlib.sha1(_MAC_KEY, usedforsecurity=False).digest()
    mac = hmac.new(secret, b"".join(map(_string, parts)), hashlib.sha1).hexdigest()
    return "\n".join(
        [
            f"PuTTY-User-Key-File-2: {kind}",
            "Encryption: none",
            f"Comment: {comment}",
            *_lines("Public", public),
            *_lines("Private", private),
            f"Private-MAC: {mac}",
            "",
        ]
    )


def _private(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return _string(key.private_bytes(form.Encoding.Raw, form.PrivateFormat.Raw, form.NoEncryption()))
    numbers = key.private_numbers()
    return b"".join(map(_number, (numbers.d, numbers.p, numbers.q, numbers.iqmp)))


def _number(value: int) -> bytes:
    """SSH's mpint (RFC 4251, 5) of a positive number."""
    return _string(value.to_bytes(value.bit_length() // 8 + 1))


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def _lines(name: str, blob: bytes) -> list[str]:
    found = textwrap.wrap(base64.b64encode(blob).decode(), _LINE)
    return [f"{name}-Lines: {len(found)}", *found]
