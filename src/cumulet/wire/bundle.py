"""The manifest of a bundled image, version 2007-10-10: read as a stranger's, and written.

The form is that of ec2-bundle-image and euca-bundle-image: key and initialisation vector are hex digits, encrypted by
RSA (PKCS #1 v1.5) for the cloud and for the user; the user's signature (RSA, SHA-1) is of the text of
`machine_configuration` and `image`, one after the other; the image's digest is that of the tarball, uncompressed.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.sax.saxutils import escape

import msgspec

from cumulet.wire.xml_tree import Element, read_xml

MOST_BYTES = 1 << 20
MOST_PARTS = 10_000
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


class Part(NamedTuple):
    """The name of a part's object, beside the manifest's, and its SHA-1 in hex."""

    name: str
    sha1: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says. `kind` is machine, kernel or ramdisk."""

    kind: str = "machine"
    name: str
    user: str = ""
    architecture: str = "x86_64"
    kernel: str = ""
    ramdisk: str = ""
    root_device: str = ""
    size: int
    bundled_size: int
    sha1: str
    key: bytes
    """Encrypted for the cloud; and so is `iv`."""
    iv: bytes
    user_key: bytes = b""
    user_iv: bytes = b""
    parts: list[Part]


class Signed(NamedTuple):
    """A manifest, the text of it that was signed, and the signature."""

    manifest: Manifest
    text: bytes
    signature: bytes


def read(document: bytes) -> Signed:
    """Raises `ValueError` with the reason for what is no manifest.

    What it says is read from the very text that was signed, wherever in the document that is.
    """
    if len(document) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    root, text = read_xml(document), _signed(document)
    if root.name != "manifest" or not text:
        raise ValueError("it has no <machine_configuration> and <image> in a <manifest>")
    inside = read_xml(b"<manifest>" + text + b"</manifest>")
    machine, image = _child(inside, "machine_configuration"), _child(inside, "image")
    kernel, ramdisk = _text(machine, "kernel_id"), _text(machine, "ramdisk_id")
    kind = _text(image, "type") or "machine"
    if "true" in (kernel, ramdisk):
        kind = "kernel" if kernel == "true" else "ramdisk"
    if kind not in ("machine", "kernel", "ramdisk"):
        raise ValueError(f"its type is {kind[:20]!r}; it is machine, kernel or ramdisk")
    manifest = Manifest(
        kind=kind,
        name=_text(image, "name")[:128],
        user=_text(image, "user"),
        architecture=_text(machine, "architecture") or "x86_64",
        kernel=kernel if kind == "machine" else "",
        ramdisk=ramdisk if kind == "machine" else "",
        root_device=_root_device(machine),
        size=_number(image, "size"),
        bundled_size=_number(image, "bundled_size"),
        sha1=_digest(_child(image, "digest")),
        key=_hex(image, "ec2_encrypted_key"),
        iv=_hex(image, "ec2_encrypted_iv"),
        parts=_parts(_child(image, "parts")),
    )
    return Signed(manifest, text, _hex(root, "signature"))


def _signed(document: bytes) -> bytes:
    """The elements machine_configuration and image, as they stand there; empty where they do not."""
    end = 0
    text = b""
    for name in (b"machine_configuration", b"image"):
        begin = document.find(b"<" + name + b">", end)
        end = document.find(b"</" + name + b">", begin) + len(name) + 3
        if begin < 0 or end < begin:
            return b""
        text += document[begin:end]
    return text


def _parts(element: Element) -> list[Part]:
    found: dict[int, Part] = {}
    for one in element.children:
        index, name = one.attributes.get("index", ""), _text(one, "filename")
        if not index.isdigit() or int(index) in found:
            raise ValueError(f"the index {index[:20]!r} of a part is no number, or is there twice")
        if not name or "/" in name or name in (".", "..") or "\0" in name:
            raise ValueError(f"the part's name {name[:80]!r} is not that of an object beside the manifest")
        found[int(index)] = Part(name, _digest(_child(one, "digest")))
    if not 1 <= len(found) <= MOST_PARTS or sorted(found) != list(range(len(found))):
        raise ValueError(f"it has 1 to {MOST_PARTS} parts, numbered from 0 on; not {len(found)} with gaps or none")
    if element.attributes.get("count", str(len(found))) != str(len(found)):
        raise ValueError(f"it says that there are {element.attributes['count'][:20]} parts, and names {len(found)}")
    return [found[index] for index in range(len(found))]


def _root_device(machine: Element) -> str:
    """The device that its block_device_mapping calls ami or root."""
    found: dict[str, str] = {}
    for element in machine.children:
        if element.name == "block_device_mapping":
            found |= {_text(mapping, "virtual"): _text(mapping, "device") for mapping in element.children}
    device = found.get("root") or found.get("ami") or ""
    return device if device.startswith("/dev/") or not device else f"/dev/{device}"


def _child(element: Element, name: str) -> Element:
    for child in element.children:
        if child.name == name:
            return child
    raise ValueError(f"<{element.name}> has no <{name}>")


def _text(element: Element, name: str) -> str:
    return next((child.text.strip() for child in element.children if child.name == name), "")


def _number(element: Element, name: str) -> int:
    text = _text(element, name)
    if not text.isdigit() or len(text) > 18:
        raise ValueError(f"<{name}> is {text[:20]!r}, and should be a number of bytes")
    return int(text)


def _hex(element: Element, name: str) -> bytes:
    text = _text(element, name)
    if not _HEX.fullmatch(text):
        raise ValueError(f"<{name}> is missing, or not in hexadecimal digits")
    return bytes.fromhex(text)


def _digest(element: Element) -> str:
    text = element.text.strip().lower()
    if element.attributes.get("algorithm", "SHA1").upper() not in ("SHA1", "SHA-1") or not _SHA1.fullmatch(text):
        raise ValueError(f"the digest {text[:50]!r} is no SHA-1")
    return text


def body(manifest: Manifest) -> tuple[bytes, bytes]:
    """The text of `machine_configuration` and of `image`, which are to be signed one after the other."""
    true = {"kernel": ("true", ""), "ramdisk": ("", "true")}
    kernel, ramdisk = true.get(manifest.kind, (manifest.kernel, manifest.ramdisk))
    machine = _tag("architecture", manifest.architecture)
    machine += _tag("kernel_id", kernel) if kernel else ""
    machine += _tag("ramdisk_id", ramdisk) if ramdisk else ""
    if manifest.root_device:
        mapping = _tag("virtual", "ami") + _tag("device", manifest.root_device.removeprefix("/dev/"))
        machine += f"<block_device_mapping><mapping>{mapping}</mapping></block_device_mapping>"
    image = "".join(_tag(name, getattr(manifest, name)) for name in ("name", "user"))
    image += _tag("type", manifest.kind) + _tag("digest", manifest.sha1, "SHA1")
    image += _tag("size", str(manifest.size)) + _tag("bundled_size", str(manifest.bundled_size))
    for name, value in (("ec2_encrypted_key", manifest.key), ("user_encrypted_key", manifest.user_key)):
        image += _tag(name, value.hex(), "AES-128-CBC")
    for name, value in (("ec2_encrypted_iv", manifest.iv), ("user_encrypted_iv", manifest.user_iv)):
        image += _tag(name, value.hex())
    parts = "".join(
        f'<part index="{index}">{_tag("filename", part.name)}{_tag("digest", part.sha1, "SHA1")}</part>'
        for index, part in enumerate(manifest.parts)
    )
    image += f'<parts count="{len(manifest.parts)}">{parts}</parts>'
    return f"<machine_configuration>{machine}</machine_configuration>".encode(), f"<image>{image}</image>".encode()


def write(machine: bytes, image: bytes, signature: bytes) -> bytes:
    """The whole manifest of what `body` has made."""
    bundler = b"<bundler><name>cumulet</name><version>1</version><release>0</release></bundler>"
    head = b'<?xml version="1.0"?><manifest><version>2007-10-10</version>' + bundler
    return head + machine + image + b"<signature>" + signature.hex().encode() + b"</signature></manifest>"


def _tag(name: str, text: str, algorithm: str = "") -> str:
    said = f' algorithm="{algorithm}"' if algorithm else ""
    return f"<{name}{said}>{escape(text)}</{name}>"
