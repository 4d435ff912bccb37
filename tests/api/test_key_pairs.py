"""Key pairs: AWS's forms, fingerprints and refusals."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support.refusals import code, message

from cumulet.api.ec2 import putty_keys

KNOWN = """\
PuTTY-User-Key-File-2: ssh-ed25519
Encryption: none
Comment: name
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAIHMKdlk6oeZaWl2tkIj/1psjjN+wMKhPp6y7zFuQ
ROCx
Private-Lines: 1
AAAAIBN1eBrNwc8YvbvHbj+G1SzqnG8/Lwsjd2bK+KBDGsSV
Private-MAC: a73abc00f95b8084b300b7338219b014ddbf75a3
"""
"""What puttygen 0.78 wrote."""
OPENSSH = form.Encoding.OpenSSH, form.PublicFormat.OpenSSH
SPKI = form.PublicFormat.SubjectPublicKeyInfo


def line(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(*OPENSSH))


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def test_a_created_rsa_key_is_shown_once_and_has_the_sha1_of_its_private_half(ec2: Any) -> None:
    made = ec2.create_key_pair(KeyName="one")
    private = form.load_pem_private_key(made["KeyMaterial"].encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    document = private.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    assert private.key_size == 2048
    assert made["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert made["KeyFingerprint"] == hashlib.sha1(document).digest().hex(":")
    (found,) = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert found["KeyPairId"] == made["KeyPairId"]
    assert found["PublicKey"].encode() == line(private) + b" one"
    assert (found["KeyType"], found["KeyFingerprint"]) == ("rsa", made["KeyFingerprint"])


def test_a_created_ed25519_key_has_the_fingerprint_that_openssh_shows(ec2: Any, tmp_path: Path) -> None:
    made = ec2.create_key_pair(KeyName="two", KeyType="ed25519")
    file = tmp_path / "key"
    file.write_text(made["KeyMaterial"])
    file.chmod(0o600)
    said = subprocess.run(["ssh-keygen", "-l", "-f", str(file)], capture_output=True, text=True, check=True, timeout=10)
    assert said.stdout.split()[1] == "SHA256:" + made["KeyFingerprint"].rstrip("=")
    assert made["KeyFingerprint"].endswith("=")


@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_a_created_key_is_a_file_of_putty_if_that_is_asked_for(ec2: Any, tmp_path: Path, type: str) -> None:
    made = ec2.create_key_pair(KeyName="my key", KeyType=type, KeyFormat="ppk")
    (found,) = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    head, encryption, comment, *rest = made["KeyMaterial"].splitlines()
    assert head == f"PuTTY-User-Key-File-2: {found['PublicKey'].split()[0]}"
    assert (encryption, comment) == ("Encryption: none", "Comment: my key")
    count = int(rest[0].removeprefix("Public-Lines: "))
    assert "".join(rest[1 : 1 + count]) == found["PublicKey"].split()[1]
    if shutil.which("puttygen") is None:
        return
    (tmp_path / "key.ppk").write_text(made["KeyMaterial"])
    command = ["puttygen", str(tmp_path / "key.ppk"), "-O", "private-openssh", "-o", str(tmp_path / "key")]
    subprocess.run(command, check=True, timeout=10)
    said = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert said.stdout.split()[:2] == found["PublicKey"].split()[:2]


def test_the_file_of_putty_of_a_known_key_is_what_putty_makes_of_it() -> None:
    seed = bytes.fromhex("1375781acdc1cf18bdbbc76e3f86d52cea9c6f3f2f0b237766caf8a0431ac495")
    assert putty_keys.written(ed25519.Ed25519PrivateKey.from_private_bytes(seed), "name") == KNOWN


def test_an_imported_rsa_key_has_the_md5_of_its_public_half(ec2: Any, key: rsa.RSAPrivateKey) -> None:
    made = ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=line(key) + b" me@home\n")
    document = key.public_key().public_bytes(form.Encoding.DER, SPKI)
    assert made["KeyFingerprint"] == hashlib.md5(document).digest().hex(":")
    (found,) = ec2.describe_key_pairs(KeyNames=["mine"], IncludePublicKey=True)["KeyPairs"]
    assert found["PublicKey"].encode() == line(key) + b" mine"


def test_an_imported_ed25519_key_has_its_sha256(ec2: Any) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    made = ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=line(key))
    blob = base64.b64decode(line(key).split()[1])
    assert made["KeyFingerprint"] == base64.b64encode(hashlib.sha256(blob).digest()).decode()


def test_a_public_key_is_taken_in_each_form_of_aws(ec2: Any, key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_bytes(line(key))
    command = ["ssh-keygen", "-e", "-m", "RFC4716", "-f", str(file)]
    rfc4716 = subprocess.run(command, capture_output=True, check=True, timeout=10).stdout
    forms = {
        "rfc4716": rfc4716,
        "pem": key.public_key().public_bytes(form.Encoding.PEM, SPKI),
        "der": base64.encodebytes(key.public_key().public_bytes(form.Encoding.DER, SPKI)),
    }
    prints = {
        ec2.import_key_pair(KeyName=name, PublicKeyMaterial=material)["KeyFingerprint"]
        for name, material in forms.items()
    }
    assert len(prints) == 1
    found = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert {one["PublicKey"].rsplit(" ", 1)[0].encode() for one in found} == {line(key)}


def tiny_key() -> bytes:
    """An RSA key of 768 bits, which nobody should use."""
    parts = (b"ssh-rsa", b"\x01\x00\x01", b"\x00" + b"\xff" * 96)
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return b"ssh-rsa " + base64.b64encode(blob)


@pytest.mark.parametrize(
    "material",
    [
        tiny_key(),
        b"ssh-rsa",
        b"ssh-rsa AAAA",
        b"nonsense",
        b"\xff\xfe",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        b"ssh-rsa " + b"A" * 20000,
        line(ec.generate_private_key(ec.SECP256R1())),
    ],
)
def test_what_is_no_public_key_of_a_kind_that_aws_has_is_refused(ec2: Any, material: bytes) -> None:
    assert code(ec2.import_key_pair, KeyName="x", PublicKeyMaterial=material) == "InvalidKey.Format"
    assert ec2.describe_key_pairs()["KeyPairs"] == []


def test_a_name_is_used_once_in_an_account_and_again_in_another(cloud: Any, ec2: Any, key: rsa.RSAPrivateKey) -> None:
    ec2.import_key_pair(KeyName="k", PublicKeyMaterial=line(key))
    assert code(ec2.import_key_pair, KeyName="k", PublicKeyMaterial=line(key)) == "InvalidKeyPair.Duplicate"
    assert code(ec2.create_key_pair, KeyName="k") == "InvalidKeyPair.Duplicate"
    other = cloud.account("other").client("ec2")
    other.import_key_pair(KeyName="k", PublicKeyMaterial=line(key))
    other.delete_key_pair(KeyName="k")
    assert len(ec2.describe_key_pairs()["KeyPairs"]) == 1


@pytest.mark.parametrize("name", [" ", " a", "a ", "a" * 256, "é", "a\nb"])
def test_a_name_that_cannot_be_is_refused(ec2: Any, name: str) -> None:
    assert code(ec2.create_key_pair, KeyName=name) == "InvalidParameterValue"


def test_a_kind_of_key_or_of_file_that_is_not_there_is_refused(ec2: Any) -> None:
    assert code(ec2.create_key_pair, KeyName="x", KeyType="dsa") == "InvalidParameterValue"
    assert code(ec2.create_key_pair, KeyName="x", KeyFormat="der") == "InvalidParameterValue"


def test_a_key_is_deleted_by_name_or_by_id_and_an_absent_name_is_no_error(ec2: Any, key: rsa.RSAPrivateKey) -> None:
    first, second = (ec2.import_key_pair(KeyName=name, PublicKeyMaterial=line(key)) for name in "ab")
    assert ec2.delete_key_pair(KeyName="a")["KeyPairId"] == first["KeyPairId"]
    assert ec2.delete_key_pair(KeyPairId=second["KeyPairId"])["Return"] is True
    assert ec2.describe_key_pairs()["KeyPairs"] == []
    assert ec2.delete_key_pair(KeyName="a")["Return"] is True
    assert code(ec2.delete_key_pair, KeyPairId=first["KeyPairId"]) == "InvalidKeyPair.NotFound"
    assert code(ec2.delete_key_pair) == "MissingParameter"
    assert code(ec2.delete_key_pair, KeyName="a", KeyPairId="key-1") == "InvalidParameterCombination"


def test_keys_are_found_by_name_id_and_filter(ec2: Any, key: rsa.RSAPrivateKey) -> None:
    tags = [{"ResourceType": "key-pair", "Tags": [{"Key": "for", "Value": "test"}]}]
    made = ec2.import_key_pair(KeyName="k", PublicKeyMaterial=line(key), TagSpecifications=tags)
    ec2.import_key_pair(KeyName="l", PublicKeyMaterial=line(key))
    assert made["Tags"] == [{"Key": "for", "Value": "test"}]
    id = made["KeyPairId"]
    for wanted in (
        {"KeyNames": ["k"]},
        {"KeyPairIds": [id]},
        {"Filters": [{"Name": "key-name", "Values": ["k*"]}]},
        {"Filters": [{"Name": "key-pair-id", "Values": [id]}]},
        {"Filters": [{"Name": "tag:for", "Values": ["test"]}]},
        {"Filters": [{"Name": "tag-key", "Values": ["for"]}]},
    ):
        assert [found["KeyPairId"] for found in ec2.describe_key_pairs(**wanted)["KeyPairs"]] == [id]
    same = [{"Name": "fingerprint", "Values": [made["KeyFingerprint"]]}, {"Name": "key-type", "Values": ["rsa"]}]
    assert len(ec2.describe_key_pairs(Filters=same)["KeyPairs"]) == 2
    assert message(ec2.describe_key_pairs, KeyNames=["m"]) == "The key pair 'm' does not exist"
    assert code(ec2.describe_key_pairs, KeyNames=["m"]) == "InvalidKeyPair.NotFound"
    assert code(ec2.describe_key_pairs, KeyPairIds=["key-1"]) == "InvalidKeyPair.NotFound"


def test_a_dry_run_makes_no_key(ec2: Any) -> None:
    assert code(ec2.create_key_pair, KeyName="x", KeyType="ed25519", DryRun=True) == "DryRunOperation"
    assert ec2.describe_key_pairs()["KeyPairs"] == []
