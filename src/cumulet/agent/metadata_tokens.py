"""IMDSv2's session tokens: signed, and so kept nowhere; good for one instance and for the time that it asked for."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from pathlib import Path

from cumulet.lib.clock import Clock

MAX_SECONDS = 21600
_SECRET_FILE = "token-secret"
_LAYOUT = struct.Struct(">Q8s")


class Tokens:
    """The secret that signs them is a file in `directory`, so that tokens outlive a restart."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._clock = clock
        self._secret = _kept(directory / _SECRET_FILE)

    def make(self, instance: str, seconds: int) -> str:
        """A token for an instance; 56 characters, as AWS's."""
        facts = _LAYOUT.pack(int(self._clock.now()) + seconds, secrets.token_bytes(8))
        return base64.urlsafe_b64encode(facts + self._signature(instance, facts)).decode()

    def seconds_left(self, instance: str, token: str) -> int | None:
        """For how long a token of this instance is good; None: it is not."""
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        facts, signature = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
        if not hmac.compare_digest(signature, self._signature(instance, facts)):
            return None
        left = int(_LAYOUT.unpack(facts)[0] - self._clock.now())
        return left if left > 0 else None

    def _signature(self, instance: str, facts: bytes) -> bytes:
        return hmac.digest(self._secret, instance.encode() + b"\0" + facts, "sha256")[:24]


def write_private(file: Path, text: bytes) -> None:
    """Make the file say this, whole or not at all, for root's eyes alone."""
    aside = file.with_suffix(".new")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_bytes(text)
    aside.replace(file)


def _kept(file: Path) -> bytes:
    """The file's bytes; made at the first time."""
    if not file.exists():
        write_private(file, secrets.token_bytes(32))
    return file.read_bytes()
