"""The cloud's own certificate authority: X.509 certificates for users, as the clients of 2012 want them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from cumulet.lib import files
from cumulet.lib.errors import Failure

CA_DAYS = 3650
USER_DAYS = 365


class Issued(NamedTuple):
    """A user's certificate and its private key, both PEM."""

    serial: int
    key: bytes
    certificate: bytes


class Authority:
    """Keeps its key, its certificate, and what it has issued and revoked, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if not (directory / "ca.pem").exists():
            self._make()

    def certificate(self) -> bytes:
        """The authority's own, PEM."""
        return (self._directory / "ca.pem").read_bytes()

    def decrypt(self, encrypted: bytes) -> bytes:
        """What was encrypted for the authority's certificate (RSA, PKCS #1 v1.5); raises `ValueError`.

        Where the padding is wrong the answer may be random bytes instead, so that nobody learns from it.
        """
        return self._key().decrypt(encrypted, padding.PKCS1v15())

    def issue(self, name: str, now: float) -> Issued:
        """A new certificate for `name`, good for a year."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        own = x509.load_pem_x509_certificate(self.certificate())
        begin = datetime.fromtimestamp(now, UTC)
        made = (
            _builder(name, own.subject, key.public_key(), begin, USER_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key(), hashes.SHA256())
        )
        with (self._directory / "issued").open("a") as file:
            file.write(f"{made.serial_number:x} {begin:%Y-%m-%dT%H:%M:%SZ} {name}\n")
        return Issued(made.serial_number, _pem(key), made.public_bytes(serialization.Encoding.PEM))

    def revoke(self, serial: int, now: float) -> bytes:
        """The new list of all that is revoked, PEM; raises `Failure` for what was never issued."""
        if serial not in {number for number, _ in self.issued()}:
            raise Failure(f"this authority has issued no certificate with the serial number {serial:x}")
        revoked = self._directory / "revoked"
        known = revoked.read_text().split() if revoked.exists() else []
        if f"{serial:x}" not in known:
            revoked.write_text("".join(f"{one}\n" for one in [*known, f"{serial:x}"]))
        return self.revocations(now)

    def issued(self) -> list[tuple[int, str]]:
        """Serial number and name of each certificate."""
        file = self._directory / "issued"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(line.split()[0], 16), line.split(maxsplit=2)[2]) for line in lines]

    def revocations(self, now: float) -> bytes:
        """The list of what is revoked, signed, PEM."""
        begin = datetime.fromtimestamp(now, UTC)
        issuer = x509.load_pem_x509_certificate(self.certificate()).subject
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(begin)
        builder = builder.next_update(begin + timedelta(days=30))
        file = self._directory / "revoked"
        for text in file.read_text().split() if file.exists() else []:
            one = x509.RevokedCertificateBuilder().serial_number(int(text, 16)).revocation_date(begin)
            builder = builder.add_revoked_certificate(one.build())
        return builder.sign(self._key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _key(self) -> rsa.RSAPrivateKey:
        found = serialization.load_pem_private_key((self._directory / "ca.key").read_bytes(), None)
        assert isinstance(found, rsa.RSAPrivateKey)
        return found

    def _make(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cumulet")])
        made = (
            _builder("Cumulet", name, key.public_key(), datetime.now(UTC), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        files.write(self._directory / "ca.key", _pem(key), durable=False)
        files.write(self._directory / "ca.pem", made.public_bytes(serialization.Encoding.PEM), durable=False)


def _builder(
    name: str, issuer: x509.Name, public: rsa.RSAPublicKey, begin: datetime, days: int
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - timedelta(minutes=5))
        .not_valid_after(begin + timedelta(days=days))
    )


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
