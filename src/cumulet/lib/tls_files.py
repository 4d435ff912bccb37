"""The certificates of a host for QEMU's NBD with TLS, in the files that QEMU and libvirt look for in a directory."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from cumulet.lib.errors import Failure

_CERTIFICATES = ("ca-cert.pem", "server-cert.pem", "client-cert.pem")


def wrong(directory: Path, address: str) -> str:
    """What is wrong with them for a host that others reach at this address, in words; empty: nothing.

    Raises `Failure` for a file that is no certificate.
    """
    now = datetime.now(UTC)
    authority, server, client = (_read(directory / name) for name in _CERTIFICATES)
    for name, one in zip(_CERTIFICATES, (authority, server, client), strict=True):
        if not one.not_valid_before_utc <= now <= one.not_valid_after_utc:
            return f"{directory / name} is good from {one.not_valid_before_utc} to {one.not_valid_after_utc}"
    for name, one in zip(_CERTIFICATES[1:], (server, client), strict=True):
        try:
            one.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            return f"{directory / name} is not of the authority in {directory / 'ca-cert.pem'}"
    if address and ipaddress.ip_address(address) not in _addresses(server):
        return f"{directory / 'server-cert.pem'} does not have the tunnel_address {address} as an IP address of its own"
    return ""


def days_left(directory: Path) -> int:
    """For how many days all of them are good."""
    ends = min(_read(directory / name).not_valid_after_utc for name in _CERTIFICATES)
    return (ends - datetime.now(UTC)).days


def _addresses(certificate: x509.Certificate) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        name
        for name in names.get_values_for_type(x509.IPAddress)
        if isinstance(name, (ipaddress.IPv4Address, ipaddress.IPv6Address))
    ]


def _read(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as e:
        raise Failure(f"{file} is no certificate (PEM)") from e
