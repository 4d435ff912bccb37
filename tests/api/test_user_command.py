"""Users, roles and credentials by the operator's command: through the running cloud, or into the database."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support.identity import code
from support.operating import administer, invoked
from support.tested_cloud import Account, TestedCloud


@pytest.fixture
def ask(cloud: TestedCloud) -> Any:
    """The administrative API, as the command asks it of users of the first account."""

    def ask(action: str, **parameters: Any) -> tuple[int, Any]:
        return administer(cloud, cloud.admin, action, **{"account": "admin", **parameters})

    return ask


def command(cloud: TestedCloud, *words: str) -> str:
    said = invoked(cloud, *words)
    assert said.exit_code == 0, said.output
    return said.output


def test_a_user_is_made_with_roles_that_come_and_go(cloud: TestedCloud, ask: Any) -> None:
    status, made = ask("CreateUser", name="ann", roles=["developer"])
    assert status == 200
    ann = Account(cloud.url, cloud.config.region, made["access_key"], made["secret_key"], cloud.admin.id)
    ann.client().describe_instances()
    assert code(lambda: ann.client().allocate_address(DryRun=True)) == "UnauthorizedOperation"
    assert ask("AddRoles", name="ann", roles=["netadmin"])[0] == 200
    assert code(lambda: ann.client().allocate_address(DryRun=True)) == "DryRunOperation"
    assert ask("RemoveRoles", name="ann", roles=["netadmin"])[0] == 200
    assert code(lambda: ann.client().allocate_address(DryRun=True)) == "UnauthorizedOperation"
    listed = ask("ListUsers")[1]
    assert [(one["name"], one["access_keys"], one["policies"]) for one in listed] == [("ann", [ann.key], ["developer"])]
    assert ask("DeleteUser", name="ann")[0] == 200
    assert code(lambda: ann.client("sts").get_caller_identity()) == "InvalidClientTokenId"


def test_what_cannot_be_is_said(ask: Any) -> None:
    ask("CreateUser", name="ann")
    for action, parameters, said in (
        ("CreateUser", {"name": "ANN"}, "there is a user ANN already"),
        ("CreateUser", {"name": "a b"}, "letters, digits"),
        ("CreateUser", {"name": "bob", "roles": ["king"]}, "there is no role king; there are: cloudadmin"),
        ("DeleteUser", {"name": "bob"}, "has no user bob"),
        ("RemoveRoles", {"name": "ann", "roles": ["itsec"]}, "has not the role itsec"),
        ("DeleteUser", {"name": "ann", "how": "gently"}, "is JSON with account, name"),
        ("ListUsers", {"account": "nobody"}, "there is no account nobody"),
    ):
        status, answer = ask(action, **parameters)
        assert (status, answer["__type"]) == (400, "ValidationException")
        assert said in answer["message"]


def test_without_a_running_cloud_the_command_writes_into_the_database(cloud: TestedCloud) -> None:
    made = json.loads(command(cloud, "user", "create", "admin", "ann", "--role", "sysadmin", "--json"))
    ann = Account(cloud.url, cloud.config.region, made["access_key"], made["secret_key"], cloud.admin.id)
    ann.client().describe_instances()
    command(cloud, "role", "remove", "admin", "ann", "sysadmin")
    assert code(lambda: ann.client().describe_instances()) == "UnauthorizedOperation"
    assert "ann" in command(cloud, "user", "list", "admin")
    command(cloud, "quota", "set", "admin", "addresses", "3")
    limits = {one["name"]: one["value"] for one in json.loads(command(cloud, "quota", "list", "admin", "--json"))}
    assert limits["addresses"] == 3
    command(cloud, "quota", "unset", "admin", "addresses")
    command(cloud, "user", "delete", "admin", "ann")
    assert "ann" not in command(cloud, "user", "list", "admin")


def test_a_zip_has_all_that_a_client_wants(cloud: TestedCloud, tmp_path: Path) -> None:
    file = tmp_path / "admin.zip"
    command(cloud, "account", "credentials", "admin", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    directory = tmp_path / "there"
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        archive.extractall(directory)
    show = '. ./novarc && echo "$EC2_ACCESS_KEY $AWS_SECRET_ACCESS_KEY $EC2_USER_ID $EC2_PRIVATE_KEY"'
    said = subprocess.run(["bash", "-c", show], cwd=directory, capture_output=True, text=True, check=True).stdout
    assert said.split() == [cloud.admin.key, cloud.admin.secret, cloud.admin.id, str(directory / "pk.pem")]
    own = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
    authority = x509.load_pem_x509_certificate((directory / "cacert.pem").read_bytes())
    own.verify_directly_issued_by(authority)
    assert cloud.admin.key in (directory / "credentials").read_text()
    revoked = command(cloud, "account", "revoke", f"{own.serial_number:x}")
    found = x509.load_pem_x509_crl(revoked.encode())
    assert found.get_revoked_certificate_by_serial_number(own.serial_number) is not None
    key = authority.public_key()
    assert found.is_signature_valid(key)  # type: ignore[arg-type]
    refused = invoked(cloud, "account", "revoke", "abc")
    assert refused.exit_code == 1
    assert "has issued no certificate" in refused.output
