"""`cumulet doctor` on the certificates by which volumes reach other hosts with TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from support.certificates import write_certificates

from cumulet.cli import checks
from cumulet.cli.checks import Finding
from cumulet.lib.config import Config

ADDRESS = "192.0.2.7"


def found(directory: Path, volume_export: Literal["nbd", "nbd-tls"] = "nbd-tls") -> Finding:
    host = Config(volume_export=volume_export, tunnel_address=ADDRESS, volume_certificate_dir=str(directory))
    (one,) = checks.guarded(checks.certificates, host)
    return one


def test_those_that_are_good_are_good_and_their_end_is_told_a_month_before(tmp_path: Path) -> None:
    write_certificates(tmp_path, ADDRESS)
    assert found(tmp_path).level == "ok"
    assert found(tmp_path, "nbd").level == "ok", "schedulers may be told elsewhere"
    write_certificates(tmp_path, ADDRESS, days=20)
    assert (found(tmp_path).level, "19 days" in found(tmp_path).text) == ("warning", True)


def test_what_is_wrong_with_them_is_named(tmp_path: Path) -> None:
    assert "ca-cert.pem" in found(tmp_path).text
    write_certificates(tmp_path, "192.0.2.8")
    assert "does not have the tunnel_address 192.0.2.7" in found(tmp_path).text
    write_certificates(tmp_path, ADDRESS, days=-1)
    assert "is good from" in found(tmp_path).text
    write_certificates(tmp_path, ADDRESS)
    write_certificates(tmp_path / "other", ADDRESS)
    (tmp_path / "client-cert.pem").write_bytes((tmp_path / "other" / "client-cert.pem").read_bytes())
    assert "client-cert.pem is not of the authority" in found(tmp_path).text
    (tmp_path / "client-cert.pem").write_text("none")
    assert "is no certificate" in found(tmp_path).text
    (tmp_path / "client-key.pem").unlink()
    assert (found(tmp_path).level, found(tmp_path).advice) == ("problem", "see docs/volumes.md, By NBD with TLS")


def test_who_has_no_use_for_them_is_not_asked(tmp_path: Path) -> None:
    nowhere: dict[str, Any] = {"volume_certificate_dir": str(tmp_path)}
    assert list(checks.certificates(Config(**nowhere))) == []
    control = Config(volume_export="nbd-tls", roles=["api", "scheduler"], bus_url="amqp://nowhere", **nowhere)
    assert list(checks.certificates(control)) == []
