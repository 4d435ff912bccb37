"""A laboratory's authority: what its servers and its hosts prove to each other that they are."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cumulet.lib import files

_USES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
_NAME = "the authority of a laboratory"
_BEFORE = timedelta(days=2)
"""For so long a certificate has been good: clocks of hosts may go wrong."""


class Authority:
    """Its certificates are good for so many `days`; its key is kept nowhere."""

    def __init__(self, days: int = 3650) -> None:
        self._days = days
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = self._certificate(_NAME, self._key.public_key(), is_authority=True)
        self.certificate = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        """PEM."""

    def certify(self, directory: Path, address: str, ends: Sequence[str] = ("server", "client")) -> None:
        """Write what stands for who has this address, in the files that libvirt and QEMU look for: `ca-cert.pem`, and
        `server-cert.pem`, `server-key.pem` and so on for each end."""
        directory.mkdir(exist_ok=True)
        (directory / "ca-cert.pem").write_bytes(self.certificate)
        for end in ends:
            key = ec.generate_private_key(ec.SECP256R1())
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            made = self._certificate(address, key.public_key(), is_authority=False)
            made = made.add_extension(names, critical=False)
            made = made.add_extension(x509.ExtendedKeyUsage([_USES[end]]), critical=False)
            signed = made.sign(self._key, hashes.SHA256())
            (directory / f"{end}-cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
            _write_key(directory / f"{end}-key.pem", key)

    def _certificate(
        self, subject: str, key: ec.EllipticCurvePublicKey, *, is_authority: bool
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(_named(_NAME))
            .subject_name(_named(subject))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BEFORE)
            .not_valid_after(now + timedelta(days=self._days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.write(file, text, durable=False)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
