"""The content encoding `aws-chunked`: chunks with or without a signature each, and headers behind the last (trailers).

Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" and "… with
Trailing Headers" of the Amazon S3 API Reference.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from cumulet.lib.errors import Refusal
from cumulet.wire.claim import Claim
from cumulet.wire.denials import deny
from cumulet.wire.signature import signing_key

MAX_HEAD = 4096
MAX_TRAILERS = 16 << 10
MAX_CHUNK = 1 << 30
_EMPTY = sha256(b"").hexdigest()
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?")


class AwsChunked:
    """Takes the body as it comes and gives what is in it; each chunk's signature is checked when it is whole.

    `trailers` are there when `finished` has returned. Raises `Refusal`: IncompleteBody, SignatureDoesNotMatch.
    """

    def __init__(self, claim: Claim | None, secret: str) -> None:
        payload = claim.payload if claim else "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        self.trailers: dict[str, str] = {}
        self._signed = payload.startswith("STREAMING-AWS4-")
        self._has_trailers = payload.endswith("-TRAILER")
        self._pending = bytearray()
        self._left = 0
        self._state = "head"
        self._signature = ""
        if self._signed and claim is not None:
            self._key = signing_key(secret, claim.date, claim.region, claim.service)
            self._previous = claim.signature
            self._when = claim.texts[0].split(b"\n")[1].decode()
            self._scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
            self._hash = sha256()

    def feed(self, piece: bytes) -> list[bytes]:
        """What is in the next piece of the body."""
        self._pending += piece
        found: list[bytes] = []
        while self._step(found):
            pass
        return found

    def finished(self) -> None:
        """The body has ended; raises `Refusal` if it should not have."""
        if self._state == "trailers" and not self._pending.strip():
            self._end_trailers(b"")
        if self._state != "end":
            raise _incomplete("the last chunk, of size 0, is missing")

    def _step(self, found: list[bytes]) -> bool:
        """Take one thing from what is pending; whether there may be more."""
        if self._state == "head":
            return self._head()
        if self._state == "data":
            return self._data(found)
        if self._state == "after":
            return self._after()
        if self._state == "trailers":
            return self._read_trailers()
        return False

    def _head(self) -> bool:
        end = self._pending.find(b"\r\n")
        if end < 0:
            if len(self._pending) > MAX_HEAD:
                raise _incomplete("a chunk has no size")
            return False
        match = _SIZE.fullmatch(bytes(self._pending[:end]))
        if match is None or int(match[1], 16) > MAX_CHUNK:
            raise _incomplete("a chunk begins with its size in hexadecimal digits and, if signed, its signature")
        if self._signed and match[2] is None:
            raise deny("s3", "mismatch", "A chunk has no signature.")
        del self._pending[: end + 2]
        self._left = int(match[1], 16)
        self._signature = (match[2] or b"").decode()
        self._state = "data" if self._left else "trailers"
        if self._signed:
            self._hash = sha256()
            if not self._left:
                self._check_chunk()
        return True

    def _data(self, found: list[bytes]) -> bool:
        if not self._pending:
            return False
        piece = bytes(self._pending[: self._left])
        del self._pending[: self._left]
        self._left -= len(piece)
        if self._signed:
            self._hash.update(piece)
        found.append(piece)
        if not self._left:
            if self._signed:
                self._check_chunk()
            self._state = "after"
        return True

    def _after(self) -> bool:
        if len(self._pending) < 2:
            return False
        if self._pending[:2] != b"\r\n":
            raise _incomplete("a chunk is longer than its size")
        del self._pending[:2]
        self._state = "head"
        return True

    def _read_trailers(self) -> bool:
        """Up to the empty line; without trailers that is all there is."""
        if self._pending[:2] == b"\r\n":
            self._end_trailers(b"")
            return False
        end = self._pending.find(b"\r\n\r\n")
        if end >= 0:
            self._end_trailers(bytes(self._pending[:end]))
        elif len(self._pending) > MAX_TRAILERS:
            raise _incomplete("the trailers are too long")
        return False

    def _end_trailers(self, text: bytes) -> None:
        lines = [line for line in re.split(rb"\r?\n", text) if line]
        pairs = [line.decode("latin-1").partition(":")[::2] for line in lines]
        found = {name.strip().lower(): value.strip() for name, value in pairs}
        signature = found.pop("x-amz-trailer-signature", "")
        if self._signed and self._has_trailers:
            self._check_trailers(found, signature)
        self.trailers = found
        self._state = "end"
        self._pending.clear()

    def _check_chunk(self) -> None:
        parts = ["AWS4-HMAC-SHA256-PAYLOAD", self._when, self._scope, self._previous, _EMPTY, self._hash.hexdigest()]
        self._check(parts, self._signature, "a chunk's")
        self._previous = self._signature

    def _check_trailers(self, found: dict[str, str], signature: str) -> None:
        text = "".join(f"{name}:{value}\n" for name, value in found.items())
        hashed = sha256(text.encode("latin-1")).hexdigest()
        parts = ["AWS4-HMAC-SHA256-TRAILER", self._when, self._scope, self._previous, hashed]
        self._check(parts, signature, "the trailers'")

    def _check(self, parts: list[str], signature: str, whose: str) -> None:
        right = hmac.digest(self._key, "\n".join(parts).encode(), "sha256").hex()
        if not hmac.compare_digest(right.encode(), signature.encode()):
            raise deny("s3", "mismatch", f"It is {whose} signature that does not match.")


def _incomplete(why: str) -> Refusal:
    known = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return Refusal("IncompleteBody", f"{known}: {why}.", 400)
