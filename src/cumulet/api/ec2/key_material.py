"""Key pairs as bytes: making them, reading the public half in each form that AWS takes, and AWS's fingerprints.

Sources of the fingerprints: EC2 User Guide, "Verify the fingerprint of your key pair".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from cumulet.api.ec2 import putty_keys
from cumulet.lib.errors import Refusal

BITS = 2048
FEWEST_BITS, MOST_BITS = 1024, 16384
LONGEST = 16384
_BEGIN, _END = "---- BEGIN SSH2 PUBLIC KEY ----", "---- END SSH2 PUBLIC KEY ----"

Public = rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class Key(NamedTuple):
    """`type` is rsa or ed25519; `public` is OpenSSH's line without a comment; `private` is a file of that, or empty."""

    type: str
    public: str
    fingerprint: str
    private: str = ""


def generate(type: str, putty_comment: str | None = None) -> Key:
    """A new key pair of this type: RSA with 2048 bits, or ED25519; its private half is PEM, or a file of PuTTY's."""
    if type == "ed25519":
        edwards = ed25519.Ed25519PrivateKey.generate()
        line = _line(edwards.public_key())
        return Key(type, line, _sha256(line), _file(edwards, form.PrivateFormat.OpenSSH, putty_comment))
    made = rsa.generate_private_key(65537, BITS)
    document = made.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    fingerprint = _with_colons(hashlib.sha1(document, usedforsecurity=False))
    return Key(
        type, _line(made.public_key()), fingerprint, _file(made, form.PrivateFormat.TraditionalOpenSSL, putty_comment)
    )


def read(material: bytes) -> Key:
    """The public key in `material` (OpenSSH, RFC 4716, PEM, or DER in Base64); raises `Refusal` InvalidKey.Format."""
    found = _public(material) if len(material) <= LONGEST else None
    if isinstance(found, ed25519.Ed25519PublicKey):
        line = _line(found)
        return Key("ed25519", line, _sha256(line))
    if isinstance(found, rsa.RSAPublicKey):
        if not FEWEST_BITS <= found.key_size <= MOST_BITS:
            raise _wrong(f"It has {found.key_size} bits; an RSA key has {FEWEST_BITS} to {MOST_BITS}.")
        document = found.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
        return Key("rsa", _line(found), _with_colons(hashlib.md5(document, usedforsecurity=False)))
    raise _wrong("It is to be an RSA or ED25519 key.")


def _public(material: bytes) -> object:
    try:
        text = material.decode("ascii").strip()
        if text.startswith(_BEGIN):
            return _from_rfc4716(text)
        if text.startswith("-----BEGIN"):
            return form.load_pem_public_key(text.encode())
        if text.startswith(("ssh-", "ecdsa-")):
            return form.load_ssh_public_key(text.split("\n")[0].encode())
        return form.load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm, binascii.Error, IndexError):
        raise _wrong("") from None


def _from_rfc4716(text: str) -> object:
    """The body between the marks, after the headers, which have a colon and go on after a backslash (RFC 4716, 3.3)."""
    lines = text.removeprefix(_BEGIN).removesuffix(_END).replace("\\\n", "").splitlines()
    body = "".join(line.strip() for line in lines if ":" not in line)
    blob = base64.b64decode(body, validate=True)
    size = int.from_bytes(blob[:4], "big")
    return form.load_ssh_public_key(blob[4 : 4 + size] + b" " + body.encode())


def _wrong(why: str) -> Refusal:
    return Refusal("InvalidKey.Format", f"Key is not in valid OpenSSH public key format. {why}".strip())


def _line(key: Public) -> str:
    return key.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def _file(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, how: form.PrivateFormat, putty_comment: str | None
) -> str:
    if putty_comment is not None:
        return putty_keys.written(key, putty_comment)
    return key.private_bytes(form.Encoding.PEM, how, form.NoEncryption()).decode()


def _with_colons(digest: hashlib._Hash) -> str:
    return digest.digest().hex(":")


def _sha256(line: str) -> str:
    blob = base64.b64decode(line.split()[1])
    return base64.b64encode(hashlib.sha256(blob).digest()).decode()
