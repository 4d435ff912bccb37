"""How objects are encrypted where they rest: AES-256 in counter mode, so that any range can be read by itself.

Each blob has a key of its own. With SSE-S3 it is sealed by the store's master key; with SSE-C it is made from the
customer's key and the blob's salt, and the customer's key is kept nowhere: only a salted hash of it.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BLOCK = 16


class Stream:
    """Encrypts or decrypts what comes, from `offset` on."""

    def __init__(self, key: bytes, offset: int = 0) -> None:
        block, skip = divmod(offset, BLOCK)
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(block.to_bytes(BLOCK, "big"))).encryptor()
        self._cipher.update(bytes(skip))

    def update(self, piece: bytes) -> bytes:
        return self._cipher.update(piece)


def new_key() -> bytes:
    """A random key for one blob, so that its counter may begin at 0."""
    return secrets.token_bytes(32)


def seal(master: bytes, key: bytes) -> str:
    """A blob's key, encrypted and authenticated (AES-256-GCM)."""
    nonce = secrets.token_bytes(12)
    return (nonce + AESGCM(master).encrypt(nonce, key, None)).hex()


def unseal(master: bytes, sealed: str) -> bytes:
    """What was sealed; raises cryptography.exceptions.InvalidTag for another master key."""
    raw = bytes.fromhex(sealed)
    return AESGCM(master).decrypt(raw[:12], raw[12:], None)


def from_customer(customer: bytes, salt: str) -> bytes:
    """The key of a blob whose customer brings the key."""
    return hmac.digest(customer, f"blob {salt}".encode(), "sha256")


def fingerprint(customer: bytes, salt: str) -> str:
    """What is kept of a customer's key."""
    return sha256(b"key " + salt.encode() + customer).hexdigest()
