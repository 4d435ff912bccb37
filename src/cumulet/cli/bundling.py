"""Bundles of images, as ec2-bundle-image makes them: a tarball of one file, compressed, encrypted and cut in parts."""

from __future__ import annotations

import gzip
import hashlib
import os
import secrets
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from cumulet.lib.errors import Failure
from cumulet.wire import bundle
from cumulet.wire.bundle import Manifest, Part

PART_BYTES = 10 << 20
Note = Callable[[int], None]


class Papers(NamedTuple):
    """Files of the zip of credentials: the user's private key and certificate, and the cloud's certificate."""

    key: Path
    certificate: Path
    cloud: Path


def make(image: Path, into: Path, papers: Papers, what: dict[str, Any], note: Note = lambda count: None) -> Path:
    """Bundle a file into a directory; gives the manifest's path. `what`: fields of `wire.bundle.Manifest`.

    Raises `Failure` for a file or for papers that cannot be read.
    """
    try:
        key = serialization.load_pem_private_key(papers.key.read_bytes(), None)
        user, cloud = _public(papers.certificate), _public(papers.cloud)
        into.mkdir(parents=True, exist_ok=True)
        secret, iv = secrets.token_bytes(16), secrets.token_bytes(16)
        with image.open("rb") as reading:
            parts, size, sha1 = _write_parts(reading, image.name, into, (secret, iv), note)
    except (OSError, ValueError) as e:
        raise Failure(f"bundling {image}") from e
    assert isinstance(key, rsa.RSAPrivateKey)
    wrapped: dict[str, Any] = {
        "key": _encrypted(cloud, secret),
        "iv": _encrypted(cloud, iv),
        "user_key": _encrypted(user, secret),
        "user_iv": _encrypted(user, iv),
    }
    facts: dict[str, Any] = {"name": image.name, "size": image.stat().st_size, "bundled_size": size}
    facts |= {"sha1": sha1, "parts": parts}
    machine, about = bundle.body(Manifest(**facts, **wrapped, **what))
    signature = key.sign(machine + about, padding.PKCS1v15(), hashes.SHA1())
    manifest = into / f"{image.name}.manifest.xml"
    manifest.write_bytes(bundle.write(machine, about, signature))
    return manifest


def _write_parts(
    reading: IO[bytes], name: str, into: Path, secret: tuple[bytes, bytes], note: Note
) -> tuple[list[Part], int, str]:
    """The parts, their size together, and the SHA-1 of the tarball."""
    parts = _Parts(into, name, *secret)
    packed = gzip.GzipFile("", "wb", 6, cast(IO[bytes], parts), 0)
    counted = _Hashed(packed, note)
    with tarfile.open(fileobj=cast(IO[bytes], counted), mode="w|", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.size = os.fstat(reading.fileno()).st_size
        archive.addfile(member, reading)
    packed.close()
    return parts.finished(), parts.size, counted.digest.hexdigest()


class _Hashed:
    def __init__(self, inside: gzip.GzipFile, note: Note) -> None:
        self._inside = inside
        self._note = note
        self.digest = hashlib.sha1(usedforsecurity=False)

    def write(self, chunk: bytes) -> int:
        self.digest.update(chunk)
        self._note(len(chunk))
        return self._inside.write(chunk)


class _Parts:
    """A file to write to, which is encrypted and cut in parts."""

    def __init__(self, into: Path, name: str, secret: bytes, iv: bytes) -> None:
        self._into = into
        self._name = name
        self._padder = PKCS7(128).padder()
        self._encryptor = Cipher(algorithms.AES(secret), modes.CBC(iv)).encryptor()
        self._pieces: list[bytes] = []
        self._held = 0
        self._parts: list[Part] = []
        self.size = 0

    def write(self, chunk: bytes) -> int:
        self._add(self._encryptor.update(self._padder.update(chunk)))
        return len(chunk)

    def flush(self) -> None:
        """Parts are written when they are full."""

    def finished(self) -> list[Part]:
        self._add(self._encryptor.update(self._padder.finalize()) + self._encryptor.finalize())
        if self._held:
            self._write(b"".join(self._pieces))
        return self._parts

    def _add(self, chunk: bytes) -> None:
        self._pieces.append(chunk)
        self._held += len(chunk)
        if self._held >= PART_BYTES:
            held = b"".join(self._pieces)
            while len(held) >= PART_BYTES:
                self._write(held[:PART_BYTES])
                held = held[PART_BYTES:]
            self._pieces, self._held = [held], len(held)

    def _write(self, part: bytes) -> None:
        name = f"{self._name}.part.{len(self._parts)}"
        (self._into / name).write_bytes(part)
        self._parts.append(Part(name, hashlib.sha1(part, usedforsecurity=False).hexdigest()))
        self.size += len(part)


def _public(certificate: Path) -> rsa.RSAPublicKey:
    public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise Failure(f"{certificate} is no certificate of an RSA key")
    return public


def _encrypted(public: rsa.RSAPublicKey, secret: bytes) -> bytes:
    """Its hex digits, as the tools of 2007 do it."""
    return public.encrypt(secret.hex().encode(), padding.PKCS1v15())
