"""The instance identity document, and its signatures by a key of this cloud.

The document is AWS's, version 2017-09-30. `signature` is RSA with SHA-256 over its bytes; `pkcs7` and `rsa2048` are
PKCS #7 that holds it. The key and its self-signed certificate are made when a guest first asks.
"""

from __future__ import annotations

import base64
import datetime
import json
import textwrap
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from cumulet.agent.metadata_tokens import write_private
from cumulet.drivers.specs import InterfaceSpec, MetadataSpec
from cumulet.lib.clock import Clock

CERTIFICATE_FILE = "identity-certificate.pem"
_KEY_FILE = "identity-key.pem"
_YEARS = 30


class Identity:
    """The signer; its key and certificate are files in `directory`."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._pair: tuple[rsa.RSAPrivateKey, x509.Certificate] | None = None
        self._lock = threading.Lock()

    def signature(self, document: bytes) -> bytes:
        """RSA (PKCS #1 v1.5) with SHA-256, in base64."""
        key, _ = self._kept()
        return _lines(key.sign(document, padding.PKCS1v15(), hashes.SHA256()))

    def pkcs7(self, document: bytes) -> bytes:
        """PKCS #7 signed data with the document in it, in base64 without the PEM lines."""
        key, certificate = self._kept()
        builder = pkcs7.PKCS7SignatureBuilder().set_data(document).add_signer(certificate, key, hashes.SHA256())
        return _lines(builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary]))

    def _kept(self) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
        with self._lock:
            if self._pair is None:
                self._pair = self._read() or self._make()
            return self._pair

    def _read(self) -> tuple[rsa.RSAPrivateKey, x509.Certificate] | None:
        certificate = self._directory / CERTIFICATE_FILE
        if not certificate.exists():
            return None
        key = serialization.load_pem_private_key((self._directory / _KEY_FILE).read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key, x509.load_pem_x509_certificate(certificate.read_bytes())

    def _make(self) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
        """The certificate is written last, so that where it is, the key is too."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = _self_signed(key, self._clock.now())
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_private(self._directory / _KEY_FILE, private)
        write_private(self._directory / CERTIFICATE_FILE, certificate.public_bytes(pem))
        return key, certificate


def document(interface: InterfaceSpec, metadata: MetadataSpec) -> bytes:
    """The identity document of a guest."""
    launched = datetime.datetime.fromtimestamp(metadata.launched_at, datetime.UTC)
    facts = {
        "accountId": metadata.account_id,
        "architecture": metadata.architecture,
        "availabilityZone": metadata.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": metadata.image_id,
        "instanceId": metadata.instance_id,
        "instanceType": metadata.instance_type,
        "kernelId": metadata.kernel_id or None,
        "pendingTime": launched.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "privateIp": interface.ip,
        "ramdiskId": metadata.ramdisk_id or None,
        "region": metadata.region,
        "version": "2017-09-30",
    }
    return json.dumps(facts, indent=2, separators=(",", " : ")).encode()


def _self_signed(key: rsa.RSAPrivateKey, now: float) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cumulet instance identity")])
    start = datetime.datetime.fromtimestamp(now, datetime.UTC) - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * _YEARS))
        .sign(key, hashes.SHA256())
    )


def _lines(raw: bytes) -> bytes:
    return "\n".join(textwrap.wrap(base64.b64encode(raw).decode(), 64)).encode()
