"""The metadata service's answers: paths, listings, sessions, signatures; over real sockets on the loopback."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cumulet.agent.metadata import MetadataServer
from cumulet.drivers.specs import InterfaceSpec, MetadataSpec
from cumulet.lib.clock import TestClock

NETWORK = "cm-1"
GUEST = "127.0.0.1"
METADATA = MetadataSpec(
    instance_id="i-0123456789abcdef0",
    account_id="123456789012",
    image_id="ami-1",
    instance_type="t3.micro",
    reservation_id="r-1",
    hostname="ip-127-0-0-1.ec2.internal",
    region="us-east-1",
    zone="us-east-1b",
    key_name="mine",
    public_key="ssh-ed25519 AAAA mine",
    user_data=base64.b64encode(b"#!/bin/sh\n\xff\x00").decode(),
    security_groups=["default", "web"],
    security_group_ids=["sg-1", "sg-2"],
    tags={"Name": "one", "stage": "test"},
    block_devices={"ami": "xvda", "root": "/dev/xvda"},
    subnet_id="subnet-1",
    vpc_id="vpc-1",
)
INTERFACE = InterfaceSpec(
    id="eni-1",
    vpc="vpc-1",
    vpc_cidr="127.0.0.0/8",
    subnet_cidr="127.0.0.0/24",
    mac="02:00:00:00:00:01",
    ip=GUEST,
    groups=[],
    public_ip="198.51.100.7",
    metadata=METADATA,
)
TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


class Service:
    """A metadata service that listens on the loopback, with one guest: ourselves."""

    def __init__(self, directory: Path, clock: TestClock) -> None:
        self.server = MetadataServer(directory, clock)
        listener = socket.create_server((GUEST, 0))
        self.port = listener.getsockname()[1]
        self.tell()
        self.server.serve(NETWORK, listener)

    def tell(self, **facts: object) -> None:
        """Publish other facts."""
        metadata = msgspec.structs.replace(METADATA, **facts)
        self.server.publish(NETWORK, msgspec.structs.replace(INTERFACE, metadata=metadata))

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes, dict[str, str]]:
        connection = HTTPConnection(GUEST, self.port, timeout=5)
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body, {name.lower(): value for name, value in response.getheaders()}

    def get(self, path: str) -> str:
        status, body, _ = self.ask("GET", path)
        assert status == 200, path
        return body.decode()

    def token(self) -> str:
        return self.ask("PUT", "/latest/api/token", TTL)[1].decode()


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def service(tmp_path: Path, clock: TestClock) -> Iterator[Service]:
    service = Service(tmp_path, clock)
    yield service
    service.server.stop()


def test_values_are_where_aws_has_them(service: Service) -> None:
    expected = {
        "ami-id": "ami-1",
        "ami-launch-index": "0",
        "block-device-mapping/root": "/dev/xvda",
        "hostname": METADATA.hostname,
        "instance-action": "none",
        "instance-id": METADATA.instance_id,
        "instance-life-cycle": "on-demand",
        "instance-type": "t3.micro",
        "local-hostname": METADATA.hostname,
        "local-ipv4": GUEST,
        "mac": "02:00:00:00:00:01",
        "network/interfaces/macs/02:00:00:00:00:01/subnet-ipv4-cidr-block": "127.0.0.0/24",
        "network/interfaces/macs/02:00:00:00:00:01/security-group-ids": "sg-1\nsg-2",
        "network/interfaces/macs/02:00:00:00:00:01/ipv4-associations/198.51.100.7": GUEST,
        "network/interfaces/macs/02:00:00:00:00:01/interface-id": "eni-1",
        "placement/availability-zone": "us-east-1b",
        "placement/availability-zone-id": "use1-az2",
        "placement/region": "us-east-1",
        "public-hostname": "ec2-198-51-100-7.compute-1.amazonaws.com",
        "public-ipv4": "198.51.100.7",
        "public-keys/0/openssh-key": "ssh-ed25519 AAAA mine\n",
        "reservation-id": "r-1",
        "security-groups": "default\nweb",
        "services/domain": "amazonaws.com",
    }
    for version in ("latest", "2009-04-04", "1.0"):
        assert {path: service.get(f"/{version}/meta-data/{path}") for path in expected} == expected


def test_directories_are_listed_as_aws_lists_them(service: Service) -> None:
    assert service.get("/").split()[0] == "1.0"
    assert service.get("/").split()[-1] == "latest"
    assert service.get("/latest") == service.get("/latest/") == "dynamic/\nmeta-data/\nuser-data"
    listed = service.get("/latest/meta-data/").split("\n")
    assert listed == sorted(listed)
    assert {"ami-id", "block-device-mapping/", "placement/", "public-keys/"} <= set(listed)
    assert service.get("/latest/meta-data/public-keys/") == "0=mine"
    assert service.get("/latest/meta-data/public-keys/0/") == "openssh-key"
    assert service.get("/latest/meta-data/block-device-mapping") == "ami\nroot"
    assert service.get("/latest/meta-data/network/interfaces/macs/") == "02:00:00:00:00:01/"


def test_every_path_that_is_listed_can_be_asked_for(service: Service) -> None:
    asked = 0
    waiting = ["/latest/"]
    while waiting:
        path = waiting.pop()
        for name in service.get(path).split("\n"):
            asked += 1
            entry = name.split("=")[0] + ("/" if "=" in name else "")
            waiting += [path + entry] if entry.endswith("/") else []
            assert service.ask("GET", path + entry)[0] == 200
    assert asked > 40


def test_user_data_is_the_bytes_that_were_given(service: Service) -> None:
    status, body, headers = service.ask("GET", "/latest/user-data")
    assert (status, body, headers["content-type"]) == (200, b"#!/bin/sh\n\xff\x00", "application/octet-stream")
    service.tell(user_data="")
    assert service.ask("GET", "/latest/user-data")[0] == 404
    assert "user-data" not in service.get("/latest/")


@pytest.mark.parametrize("path", ["/nope", "/latest/nope", "/latest/meta-data/nope", "/latest/meta-data/ami-id/x"])
def test_what_is_not_there_is_a_404_as_awss(service: Service, path: str) -> None:
    status, body, headers = service.ask("GET", path)
    assert (status, headers["content-type"]) == (404, "text/html")
    assert b"<title>404 - Not Found</title>" in body


def test_tags_are_told_only_when_they_are_switched_on(service: Service) -> None:
    assert service.ask("GET", "/latest/meta-data/tags/instance/")[0] == 404
    service.tell(tags_enabled=True)
    assert service.get("/latest/meta-data/tags/instance/") == "Name\nstage"
    assert service.get("/latest/meta-data/tags/instance/Name") == "one"


def test_head_is_get_without_the_body(service: Service) -> None:
    status, body, headers = service.ask("HEAD", "/latest/meta-data/ami-id")
    assert (status, body, headers["content-length"]) == (200, b"", "5")


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(service: Service, method: str) -> None:
    assert service.ask(method, "/latest/meta-data/")[0] == 405


def test_a_token_opens_what_takes_one(service: Service) -> None:
    service.tell(http_tokens="required")
    assert service.ask("GET", "/latest/meta-data/")[0] == 401
    status, token, headers = service.ask("PUT", "/latest/api/token", TTL)
    assert (status, len(token), headers["x-aws-ec2-metadata-token-ttl-seconds"]) == (200, 56, "60")
    status, _, headers = service.ask("GET", "/latest/meta-data/", {"X-aws-ec2-metadata-token": token.decode()})
    assert (status, headers["x-aws-ec2-metadata-token-ttl-seconds"]) == (200, "60")


@pytest.mark.parametrize("seconds", [None, "", "0", "21601", "-1", "x", "1.5", "99999999999999999999", "٣"])
def test_a_token_lives_one_second_to_six_hours(service: Service, seconds: str | None) -> None:
    headers = {} if seconds is None else {"X-aws-ec2-metadata-token-ttl-seconds": seconds.encode().decode("latin-1")}
    assert service.ask("PUT", "/latest/api/token", headers)[0] == 400


def test_a_token_ends_with_its_time(service: Service, clock: TestClock) -> None:
    held = {"X-aws-ec2-metadata-token": service.token()}
    clock.time += 59
    assert service.ask("GET", "/latest/meta-data/", held)[0] == 200
    clock.time += 1
    assert service.ask("GET", "/latest/meta-data/", held)[0] == 401


def test_a_false_token_is_refused_even_where_none_is_needed(service: Service) -> None:
    good = service.token()
    for token in ("", "x", good[:-1], good[:-1] + ("A" if good[-1] != "A" else "B"), "é" * 56, good + "AAAA"):
        assert service.ask("GET", "/latest/meta-data/", {"X-aws-ec2-metadata-token": token})[0] == 401


def test_a_token_is_good_for_one_instance(service: Service) -> None:
    held = {"X-aws-ec2-metadata-token": service.token()}
    service.tell(instance_id="i-00000000000000000")
    assert service.ask("GET", "/latest/meta-data/", held)[0] == 401


def test_a_token_outlives_a_restart(service: Service, tmp_path: Path, clock: TestClock) -> None:
    held = {"X-aws-ec2-metadata-token": service.token()}
    again = Service(tmp_path, clock)
    assert again.ask("GET", "/latest/meta-data/", held)[0] == 200
    again.server.stop()


def test_a_proxys_request_for_a_token_is_refused(service: Service) -> None:
    assert service.ask("PUT", "/latest/api/token", {**TTL, "X-Forwarded-For": "10.0.0.1"})[0] == 403


def test_an_endpoint_that_is_switched_off_tells_nothing(service: Service) -> None:
    service.tell(http_endpoint=False)
    for method, path in (("GET", "/latest/meta-data/"), ("GET", "/"), ("PUT", "/latest/api/token")):
        assert service.ask(method, path, TTL)[0] == 403


def test_the_identity_document_is_signed(service: Service, tmp_path: Path) -> None:
    text = service.get("/latest/dynamic/instance-identity/document")
    assert json.loads(text)["instanceId"] == METADATA.instance_id
    assert json.loads(text)["region"] == "us-east-1"
    signature = base64.b64decode(service.get("/latest/dynamic/instance-identity/signature"))
    certificate = x509.load_pem_x509_certificate((tmp_path / "identity-certificate.pem").read_bytes())
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())


def test_openssl_verifies_the_pkcs7_signature_as_the_user_guide_says(service: Service, tmp_path: Path) -> None:
    signed = tmp_path / "pkcs7"
    text = service.get("/latest/dynamic/instance-identity/rsa2048")
    signed.write_text(f"-----BEGIN PKCS7-----\n{text}\n-----END PKCS7-----\n")
    certificate = tmp_path / "identity-certificate.pem"
    verify = ["openssl", "smime", "-verify", "-in", signed, "-inform", "PEM", "-certfile", certificate, "-noverify"]
    told = subprocess.run([str(word) for word in verify], capture_output=True, check=True, timeout=10).stdout
    assert told.decode() == service.get("/latest/dynamic/instance-identity/document")


def test_a_guest_that_nobody_told_of_is_told_nothing(service: Service) -> None:
    service.server.withdraw(NETWORK, INTERFACE.id)
    for method, path in (("GET", "/latest/meta-data/"), ("GET", "/"), ("PUT", "/latest/api/token")):
        assert service.ask(method, path, TTL)[0] == 404
