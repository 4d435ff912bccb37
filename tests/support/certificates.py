"""Certificates for QEMU's NBD between hosts, in the files that it looks for."""

from __future__ import annotations

from pathlib import Path

from cumulet.lab.authority import Authority


def write_certificates(directory: Path, address: str = "127.0.0.1", days: int = 90) -> None:
    """Those of a host with this address, good for so many days, of an authority of its own."""
    Authority(days).certify(directory, address)
