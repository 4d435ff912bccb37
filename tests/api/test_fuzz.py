"""Whatever a client sends, it gets a well-formed answer of AWS's form: never a 500, never a traceback."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.signed import sign
from support.tested_cloud import TestedCloud
from support.wire_shapes import Values, botocore_model, without_nothing

from cumulet.api.actions import ACTIONS
from cumulet.api.dispatch import Response, answer
from cumulet.wire.denials import JSON
from cumulet.wire.models import load

ACTION_NAMES = sorted(name for service, name in ACTIONS if service == "ec2")
HONOURED = {name: sorted(load("ec2").input(name).members) for name in ACTION_NAMES}
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> TestedCloud:
    return TestedCloud(Path(tmp_path_factory.mktemp("fuzz")), database_url=module_database)


def ask(cloud: TestedCloud, body: dict[str, str] | str, service: str = "ec2") -> Response:
    keys = Credentials(cloud.admin.key, cloud.admin.secret)
    content = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    text = body if isinstance(body, str) else urlencode(body)
    request = sign(SigV4Auth(keys, service, cloud.config.region), body=text, **content)
    return answer(cloud.database, cloud.config, cloud.cloud.ask, request)


def is_well_formed(response: Response) -> bool:
    root = ElementTree.fromstring(response.body)
    if response.status < 300:
        return root.tag.endswith("Response")
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    error = f"{space}Error/{space}" if space else "Errors/Error/"
    id = root.findtext(f"{space}RequestId") or root.findtext("RequestID")
    code, message = root.findtext(f"{error}Code"), root.findtext(f"{error}Message")
    return response.status < 500 and bool(code) and bool(message) and bool(id)


@pytest.mark.parametrize("name", ACTION_NAMES)
@settings(RELAXED, max_examples=12)
@given(seed=st.integers(0, 2**32), dry=st.booleans())
def test_random_parameters_of_the_model_are_answered(fuzzed: TestedCloud, name: str, seed: int, dry: bool) -> None:
    values = Values(load("ec2"), seed)
    shape = load("ec2").input(name)
    parameters = without_nothing(values.structure(shape)) if shape.members else {}
    if "DryRun" in shape.members:
        parameters["DryRun"] = dry
    serializer = create_serializer("ec2", include_validation=False)
    form = serializer.serialize_to_request(parameters, botocore_model("ec2").operation_model(name))["body"]
    response = ask(fuzzed, form)
    assert is_well_formed(response), response


@pytest.mark.parametrize(("service", "name"), sorted(found for found in ACTIONS if found[0] in ("iam", "sts")))
@settings(RELAXED, max_examples=4)
@given(seed=st.integers(0, 2**32))
def test_random_parameters_of_the_query_services_are_answered(
    fuzzed: TestedCloud, service: str, name: str, seed: int
) -> None:
    shape = load(service).input(name)
    parameters = without_nothing(Values(load(service), seed).structure(shape)) if shape.members else {}
    serializer = create_serializer("query", include_validation=False)
    operation = botocore_model(service).operation_model(name)
    form = dict(serializer.serialize_to_request(parameters, operation)["body"])
    response = ask(fuzzed, {name: str(value) for name, value in form.items()}, service)
    assert is_well_formed(response), response


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize(("service", "name"), sorted(found for found in ACTIONS if found[0] in JSON))
@settings(RELAXED, max_examples=40)
@given(data=st.data())
def test_the_services_of_json_answer_whatever_comes(
    fuzzed: TestedCloud, service: str, name: str, data: st.DataObject
) -> None:
    members = st.sampled_from(sorted(load(service).input(name).members))
    body = json.dumps(data.draw(JUNK | st.dictionaries(members, JUNK, max_size=4)))
    model = load(service)
    target = {"X-Amz-Target": f"{model.metadata.target_prefix}.{name}", "Content-Type": "application/x-amz-json-1.1"}
    keys = Credentials(fuzzed.admin.key, fuzzed.admin.secret)
    request = sign(SigV4Auth(keys, model.signing_name, fuzzed.config.region), body=body, **target)
    response = answer(fuzzed.database, fuzzed.config, fuzzed.cloud.ask, request)
    said = json.loads(response.body)
    assert response.status < 500, (body, said)
    assert response.status == 200 or (said["__type"] and said["message"])


@settings(RELAXED, max_examples=200)
@given(
    name=st.sampled_from(ACTION_NAMES),
    members=st.lists(st.text(max_size=8), max_size=3),
    value=st.text(max_size=20),
    deep=st.lists(st.sampled_from(["1", "0", "Name", "Ebs", "999999999", "", "Value"]), max_size=4),
)
def test_crooked_forms_are_answered(
    fuzzed: TestedCloud, name: str, members: list[str], value: str, deep: list[str]
) -> None:
    keys = [".".join([member, *deep]) for member in [*members, *HONOURED[name][:2]]]
    response = ask(fuzzed, {"Action": name, "Version": "2016-11-15", **dict.fromkeys(keys, value)})
    assert is_well_formed(response), response


RAW = [
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab%zz",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n",
    b"POST /?" + b"a=1&" * 3000 + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n" + b"a" * 2_097_152,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
def test_raw_bytes_get_a_4xx_and_no_traceback(fuzzed: TestedCloud, raw: bytes) -> None:
    said = _exchange(fuzzed, raw)
    assert b"Traceback" not in said
    assert not said or said.split(b" ")[1][:1] == b"4", said[:200]
    assert is_well_formed(ask(fuzzed, {"Action": "DescribeRegions", "Version": "2016-11-15"}))


def _exchange(cloud: TestedCloud, raw: bytes) -> bytes:
    host, _, port = cloud.url.removeprefix("http://").partition(":")
    said = b""
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                said += piece
        except OSError:  # reset, timed out, or closed by the server before we did
            pass
    return said
