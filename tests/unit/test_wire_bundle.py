"""Manifests of bundles: what is written is read, and whatever a stranger sends is read or refused, quickly."""

from __future__ import annotations

import contextlib
import time

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cumulet.wire import bundle
from cumulet.wire.bundle import Manifest, Part

LETTERS = st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"])
NAMES = st.text(LETTERS, min_size=1)
SHA1 = "0123456789abcdef" * 2 + "01234567"
WHOLE = Manifest(
    name="image",
    size=7,
    bundled_size=16,
    sha1=SHA1,
    key=b"key",
    iv=b"iv",
    user_key=b"user key",
    user_iv=b"user iv",
    parts=[Part("image.part.0", SHA1)],
)
DOCUMENT = bundle.write(*bundle.body(WHOLE), b"signature")


@given(NAMES.filter(lambda name: name not in (".", "..")), st.sampled_from(["machine", "kernel", "ramdisk"]))
def test_what_is_written_is_read(name: str, kind: str) -> None:
    written = msgspec.structs.replace(WHOLE, kind=kind, parts=[Part(name, SHA1)])
    found = bundle.read(bundle.write(*bundle.body(written), b"s"))
    assert (found.manifest.kind, found.manifest.parts) == (kind, written.parts)
    assert (found.manifest.key, found.manifest.iv, found.signature) == (b"key", b"iv", b"s")
    assert found.text == b"".join(bundle.body(written))


@given(st.integers(0, len(DOCUMENT)), st.integers(0, 40), st.binary(max_size=40))
def test_whatever_comes_is_read_or_refused(begin: int, count: int, other: bytes) -> None:
    with contextlib.suppress(ValueError):
        bundle.read(DOCUMENT[:begin] + other + DOCUMENT[begin + count :])


def test_a_long_document_takes_no_longer_than_its_length() -> None:
    began = time.process_time()
    inside = b"<machine_configuration></machine_configuration><image>" * 9_000
    for document in (b"<manifest>" + inside, b"<manifest><a>" + b"&lt;" * 200_000 + b"</a></manifest>"):
        with contextlib.suppress(ValueError):
            bundle.read(document)
    assert time.process_time() - began < 2.0
