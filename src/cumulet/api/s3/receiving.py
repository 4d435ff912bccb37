"""The body of a request on its way into a blob: unpacked, hashed beside the writing, encrypted, written aside, checked.

Nothing of it is visible before the handler has written its row; what is not finished is removed, or swept.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Any

from cumulet.api.s3 import errors
from cumulet.api.s3.call import Call
from cumulet.api.s3.encryption import Sealing, seal_blob
from cumulet.lib import checksums, ids
from cumulet.lib.blobs import NoSpace
from cumulet.lib.checksums import Algorithm
from cumulet.wire.aws_chunked import AwsChunked
from cumulet.wire.denials import deny

MOST = 5 << 30
"""Of a single put or part."""
TOGETHER = 64 << 10
"""Below this, handing the hashes to other threads costs more than it gives."""


@dataclass(frozen=True)
class Received:
    """What has been written aside."""

    blob: str
    size: int
    md5: str
    crc: int
    checksums: dict[str, str]
    sealed: str


@dataclass(frozen=True)
class Wanted:
    """What a request says of its body; None where it does not say it, but its size it has to say."""

    size: int
    md5: bytes | None
    sha256: str | None
    checksum: tuple[Algorithm, str] | None
    trailer: Algorithm | None

    @property
    def algorithm(self) -> Algorithm | None:
        return self.trailer or (self.checksum[0] if self.checksum else None)


def wanted(call: Call) -> Wanted:
    """Read what a request says of its body; raises `S3Refusal` for what cannot be."""
    payload = call.claim.payload if call.claim else ""
    hashed = payload if len(payload) == 64 else None
    found = Wanted(_size(call), _md5(call), hashed, _checksum(call), _trailer(call))
    _check_announced(call, found.algorithm)
    return found


def _check_announced(call: Call, brought: Algorithm | None) -> None:
    """What x-amz-sdk-checksum-algorithm says comes in a header of its own (PutObject in the S3 API Reference)."""
    asked = call.header("x-amz-sdk-checksum-algorithm")
    if asked is None:
        return
    if asked.upper() not in checksums.ALGORITHMS:
        known = f"Please try again with any of the valid types: [{', '.join(checksums.ALGORITHMS)}]"
        raise errors.invalid_request(f"Checksum algorithm provided is unsupported. {known}")
    if brought is None:
        missing = "no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
        raise errors.invalid_request(f"x-amz-sdk-checksum-algorithm specified, but {missing}")
    if brought.name != asked.upper():
        why = f"The {brought.name} that came is not the {asked.upper()} that x-amz-sdk-checksum-algorithm says."
        raise errors.S3Refusal("BadDigest", why, 400)


def is_chunked(call: Call) -> bool:
    declared = call.header("x-amz-content-sha256") or ""
    return declared.startswith("STREAMING-")


def has_digest(call: Call) -> bool:
    """Whether the request brings a digest of its body, in front of it or behind."""
    named = ("content-md5", "x-amz-trailer", *checksums.BY_HEADER)
    return any(call.header(name) is not None for name in named)


def require_digest_of_locked(call: Call, facts: dict[str, Any], what: str) -> None:
    """Raises InvalidRequest where a body that is to be locked comes without a digest."""
    if (facts.get("lock") or facts.get("hold")) and not has_digest(call):
        right = "Content-MD5 OR x-amz-checksum- HTTP header is required for"
        raise errors.invalid_request(f"{right} {what} requests with Object Lock parameters")


def require_length(call: Call) -> None:
    """Raises NotImplemented for a body in chunks of HTTP, whose length is not known before its end.

    S3 does not do without (Content-Length in "Common request headers", NotImplemented in "Error responses" of the
    S3 API Reference); only chunks of its own may be within those of HTTP, as they come with
    x-amz-decoded-content-length ("Transferring payload in multiple chunks", the same).
    """
    if call.header("transfer-encoding") is not None and not is_chunked(call):
        raise errors.not_implemented("Transfer-Encoding")


def _size(call: Call) -> int:
    name = "x-amz-decoded-content-length" if is_chunked(call) else "content-length"
    text = call.header(name)
    if text is None:
        raise errors.S3Refusal("MissingContentLength", f"You must provide the {name.title()} HTTP header.", 411)
    if not (text.isdigit() and text.isascii()):
        raise errors.invalid_argument(f"{name} is not a number.", name, text)
    return int(text)


def _md5(call: Call) -> bytes | None:
    text = call.header("content-md5")
    if text is None:
        return None
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 16:
        raise errors.S3Refusal("InvalidDigest", "The Content-MD5 you specified was invalid.", 400)
    return found


def _checksum(call: Call) -> tuple[Algorithm, str] | None:
    given = [(one, value) for header, one in checksums.BY_HEADER.items() if (value := call.header(header)) is not None]
    if len(given) > 1:
        many = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise errors.invalid_request(many)
    if not given:
        return None
    algorithm, value = given[0]
    try:
        checksums.decode(algorithm, value)
    except ValueError:
        raise errors.invalid_request(f"Value for {algorithm.header} header is invalid.") from None
    return algorithm, value


def _trailer(call: Call) -> Algorithm | None:
    named = [part.strip().lower() for part in (call.header("x-amz-trailer") or "").split(",") if part.strip()]
    found = [checksums.BY_HEADER[name] for name in named if name in checksums.BY_HEADER]
    if len(found) != len(named):
        raise errors.invalid_request("The value specified in the x-amz-trailer header is not supported")
    return found[0] if found else None


class Plain:
    """A body that is kept in memory: what is small, or is XML."""

    def __init__(self, call: Call, most: int) -> None:
        self.wanted = wanted(call) if call.header("content-length") or call.header("transfer-encoding") else None
        self._unpack = AwsChunked(call.claim, call.secret) if is_chunked(call) else None
        self._pieces: list[bytes] = []
        self._most = most
        self.size = 0

    def feed(self, piece: bytes) -> None:
        for part in self._unpack.feed(piece) if self._unpack else [piece]:
            self.size += len(part)
            if self.size > self._most:
                raise errors.S3Refusal("MaxMessageLengthExceeded", "Your request was too big.", 400)
            self._pieces.append(part)

    def finish(self) -> bytes:
        body = b"".join(self._pieces)
        if self.wanted is not None:
            given = self.wanted.checksum
            algorithm = self.wanted.algorithm
            value = checksums.DEFAULT
            hasher = (algorithm or value).make()
            hasher.update(body)
            _verify(self.wanted, self.size, lambda: md5(body).digest(), lambda: sha256(body).hexdigest())
            trailers = _ended(self._unpack)
            _verify_checksum(self.wanted, trailers, {(algorithm or value).name: checksums.encode(hasher.digest())})
            assert given is None or algorithm is not None
        return body

    def abort(self) -> None:
        pass


class Receiver:
    """A body that becomes a blob, however large."""

    def __init__(self, call: Call, said: Wanted, sealing: Sealing, algorithms: Iterable[Algorithm] = ()) -> None:
        self.wanted = said
        if said.size > MOST:
            raise too_large(said.size)
        self._unpack = AwsChunked(call.claim, call.secret) if is_chunked(call) else None
        chosen = {one.name: one for one in algorithms}
        if self.wanted.algorithm is not None:
            chosen.setdefault(self.wanted.algorithm.name, self.wanted.algorithm)
        self._writer = BlobSink(call, sealing, chosen, sha256=self.wanted.sha256 is not None)

    def feed(self, piece: bytes) -> None:
        for part in self._unpack.feed(piece) if self._unpack else [piece]:
            self._writer.write(part)
            if self._writer.size > self.wanted.size:
                raise incomplete()

    def finish(self) -> Received:
        """Verify all that was said of it, and have it safe. Raises `Refusal`."""
        trailers = _ended(self._unpack)
        sink = self._writer
        _verify(self.wanted, sink.size, lambda: sink.md5.digest(), sink.sha256_text)
        _verify_checksum(self.wanted, trailers, sink.checksums())
        return sink.commit()

    def abort(self) -> None:
        self._writer.abort()


def _ended(unpack: AwsChunked | None) -> dict[str, str]:
    if unpack is None:
        return {}
    unpack.finished()
    return unpack.trailers


def _verify(said: Wanted, size: int, md5_: Any, sha256_: Any) -> None:
    if size != said.size:
        raise incomplete()
    if said.md5 is not None and said.md5 != (actual := md5_()):
        digests = {"ExpectedDigest": said.md5.hex(), "CalculatedDigest": base64.b64encode(actual).decode()}
        raise errors.digest_differs(**digests)
    if said.sha256 is not None and said.sha256.lower() != (computed := sha256_()):
        raise deny("s3", "payload", ClientComputedContentSHA256=said.sha256, S3ComputedContentSHA256=computed)


def _verify_checksum(said: Wanted, trailers: dict[str, str], actual: dict[str, str]) -> None:
    algorithm = said.algorithm
    if algorithm is None:
        return
    given = trailers.get(algorithm.header) if said.trailer else None
    if said.trailer and given is None:
        raise errors.invalid_request(f"The trailer {algorithm.header} was announced and did not come.")
    if given is not None:
        try:
            checksums.decode(algorithm, given)
        except ValueError:
            raise errors.invalid_request(f"Value for {algorithm.header} trailing header is invalid.") from None
    for value in (given, said.checksum[1] if said.checksum else None):
        if value is not None and value != actual[algorithm.name]:
            why = f"The {algorithm.name} you specified did not match the calculated checksum."
            raise errors.S3Refusal("BadDigest", why, 400)


def too_large(size: int) -> errors.S3Refusal:
    message = "Your proposed upload exceeds the maximum allowed size"
    return errors.S3Refusal("EntityTooLarge", message, 400, ProposedSize=str(size), MaxSizeAllowed=str(MOST))


def incomplete() -> errors.S3Refusal:
    message = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return errors.S3Refusal("IncompleteBody", message, 400)


class BlobSink:
    """A new blob: what is written to it is hashed, encrypted and kept."""

    def __init__(self, call: Call, sealing: Sealing, chosen: dict[str, Algorithm], *, sha256: bool = False) -> None:
        self.size = 0
        self.md5 = md5()
        self._house = call.house
        self._id = ids.token(32)
        self._hashers = {
            name: one.make() for name, one in (chosen or {checksums.DEFAULT.name: checksums.DEFAULT}).items()
        }
        self._sha256 = _sha256() if sha256 else None
        self._cipher, self._sealed = seal_blob(call.house, sealing, self._id)
        self._stored = self._hashers.get("CRC64NVME") if self._cipher is None else None
        self._crc = self._stored or checksums.DEFAULT.make()
        try:
            self._blob = call.house.blobs.create(self._id)
        except NoSpace:
            raise errors.slow_down() from None

    def write(self, piece: bytes) -> None:
        if not piece:
            return
        self.size += len(piece)
        waiting = self._hash(piece)
        stored = self._cipher.update(piece) if self._cipher else piece
        if self._stored is None:
            self._crc.update(stored)
        try:
            self._blob.write(stored)
        except NoSpace:
            raise errors.slow_down() from None
        finally:
            for one in waiting:
                one.result()

    def _hash(self, piece: bytes) -> list[Future[Any]]:
        hashers = [self.md5, *self._hashers.values(), *([self._sha256] if self._sha256 else [])]
        if len(piece) < TOGETHER:
            for one in hashers:
                one.update(piece)
            return []
        return [self._house.hashers.submit(one.update, piece) for one in hashers]

    def sha256_text(self) -> str:
        assert self._sha256 is not None
        return str(self._sha256.hexdigest())

    def checksums(self) -> dict[str, str]:
        return {name: checksums.encode(one.digest()) for name, one in self._hashers.items()}

    def commit(self) -> Received:
        try:
            self._blob.commit()
        except NoSpace:
            raise errors.slow_down() from None
        crc = int.from_bytes(self._crc.digest(), "big")
        return Received(self._id, self.size, self.md5.hexdigest(), crc, self.checksums(), self._sealed)

    def abort(self) -> None:
        self._blob.abort()


def _sha256() -> Any:
    return sha256()
