"""Bundled images: a manifest in a bucket, believed only as far as its signature, digests and key go."""

from __future__ import annotations

from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cumulet.api.context import Context, Found
from cumulet.identity.principal import rights_of
from cumulet.lib.authority import Authority
from cumulet.lib.errors import Refusal
from cumulet.model import certificate
from cumulet.wire import bundle
from cumulet.wire.bundle import Manifest, Signed


class Bundle(NamedTuple):
    """A manifest, and the columns of an image file that is made of what it names."""

    manifest: Manifest
    columns: dict[str, Any]


def is_manifest(location: str) -> bool:
    """Whether it has the form BUCKET/KEY.manifest.xml, or KEY.xml."""
    bucket, _, key = location.lstrip("/").partition("/")
    return bool(bucket) and key.endswith(".xml")


def bundle_at(ctx: Context, location: str) -> Bundle:
    """The bundle whose manifest is at BUCKET/KEY, as the caller may read it; raises `Refusal` InvalidManifest."""
    bucket, _, key = location.lstrip("/").partition("/")
    found = object_at(ctx, bucket, key, "InvalidManifest")
    if found.size > bundle.MOST_BYTES:
        raise _invalid(location, f"it has {found.size} bytes, and a manifest at most {bundle.MOST_BYTES}")
    assert ctx.objects is not None
    try:
        signed = bundle.read(ctx.objects.read(ctx, found))
        _check_signature(ctx, signed)
        secret, iv = (_opened(ctx, value) for value in (signed.manifest.key, signed.manifest.iv))
    except ValueError as e:
        raise _invalid(location, str(e)) from None
    return Bundle(signed.manifest, _columns(ctx, signed.manifest, bucket, key, secret, iv))


def object_at(ctx: Context, bucket: str, key: str, code: str) -> Found:
    """The object, if the caller may read it; raises `Refusal` with this code."""
    if ctx.objects is None:
        raise Refusal("UnsupportedOperation", "This endpoint has no objects; ask the one that S3 is at.")
    try:
        return ctx.objects.find(ctx, bucket, key)
    except Refusal as e:
        text = (
            f"HTTP {e.status} ({e.code}) response for s3://{bucket}/{key}: check that your S3 permissions are correct."
        )
        raise Refusal(code, text) from None


def _columns(ctx: Context, manifest: Manifest, bucket: str, key: str, secret: str, iv: str) -> dict[str, Any]:
    folder = key.rpartition("/")[0]
    prefix = f"{folder}/" if folder else ""
    share = -(-manifest.bundled_size // len(manifest.parts))
    parts = [{"url": prefix + part.name, "sha1": part.sha1, "size": share} for part in manifest.parts]
    origin: dict[str, Any] = {"bucket": bucket, "by": rights_of(ctx.principal), "parts": parts, "iv": iv}
    origin |= {"sha1": manifest.sha1, "size": manifest.size}
    declared = {"kernel": "aki", "ramdisk": "ari"}.get(manifest.kind, "raw")
    sealed = ctx.database.keys.seal(secret.encode())
    return {"source": f"s3://{bucket}/{key}", "declared": declared, "origin": origin, "sealed": sealed}


def _check_signature(ctx: Context, signed: Signed) -> None:
    """Raises `ValueError` unless a certificate that the caller's account was given has signed it."""
    with ctx.read() as tx:
        known = certificate.of_account(tx, ctx.account)
    for pem in known:
        public = x509.load_pem_x509_certificate(pem).public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        try:
            public.verify(signed.signature, signed.text, padding.PKCS1v15(), hashes.SHA1())
        except InvalidSignature:
            continue
        return
    whose = (
        f"one of the {len(known)} certificates that account {ctx.account} was given by `cumulet account credentials`"
    )
    raise ValueError(f"its signature was not made with the key of {whose}")


def _opened(ctx: Context, encrypted: bytes) -> str:
    """32 hex digits that were encrypted for the cloud; raises `ValueError`."""
    try:
        opened = Authority(ctx.config.state_dir / "ca").decrypt(encrypted).decode()
        if len(bytes.fromhex(opened)) == 16:
            return opened
    except ValueError:
        pass
    raise ValueError("its key was not encrypted for this cloud's certificate, cacert.pem in the zip of credentials")


def _invalid(location: str, why: str) -> Refusal:
    return Refusal("InvalidManifest", f"The manifest at {location} cannot be used: {why}.")
