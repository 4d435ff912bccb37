"""What botocore sends we read as it was meant, and what we answer botocore reads as it was meant."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.wire_shapes import Values, botocore_model, model, without_nothing

from cumulet.wire.parse import action_of, parse
from cumulet.wire.render import render, render_error
from cumulet.wire.request import Request, read_form

SHIPPED = ["ec2", "sts"]
ALSO = ["iam", "sns", "elbv2"]  # flattened lists, maps and wrappers that the shipped services have not

quick = settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
seeds = given(seed=st.integers(0, 2**64 - 1))


def sent_by_botocore(service: str, operation: str, parameters: dict[str, Any]) -> Request:
    theirs = botocore_model(service)
    serializer = create_serializer(theirs.metadata["protocol"], include_validation=False)
    made = serializer.serialize_to_request(parameters, theirs.operation_model(operation))
    prepared = AWSRequest("POST", "http://localhost/", headers=made["headers"], data=made["body"]).prepare()
    return Request.of("POST", "/", b"", list(prepared.headers.items()), prepared.body.encode())


def read_by_botocore(service: str, operation: str, body: bytes) -> dict[str, Any]:
    theirs = botocore_model(service)
    response = {"body": body, "headers": {}, "status_code": 200}
    parser = create_parser(theirs.metadata["protocol"])
    parsed: dict[str, Any] = parser.parse(response, theirs.operation_model(operation).output_shape)
    assert parsed.pop("ResponseMetadata") == {"RequestId": "a&b", "HTTPStatusCode": 200, "HTTPHeaders": {}}
    return parsed


@pytest.mark.parametrize("service", SHIPPED + ALSO)
def test_every_request_of_botocore_is_read_as_it_was_meant(service: str) -> None:
    ours = model(service)

    @quick
    @seeds
    def read(operation: str, seed: int) -> None:
        meant = without_nothing(Values(ours, seed).structure(ours.input(operation)))
        form = read_form(sent_by_botocore(service, operation, meant))
        assert action_of(ours, form) == operation
        assert parse(ours, operation, form) == meant

    for operation in sorted(ours.operations):
        read(operation=operation)


@pytest.mark.parametrize("service", SHIPPED + ALSO)
def test_every_answer_is_read_by_botocore_as_it_was_meant(service: str) -> None:
    ours = model(service)

    @quick
    @seeds
    def answer(operation: str, seed: int) -> None:
        output = ours.output(operation)
        meant = Values(ours, seed).structure(output)
        shown = read_by_botocore(service, operation, render(ours, operation, meant, "a&b"))
        if (
            service == "ec2"
            and "Return" in output.members
            and ours.shape(output.members["Return"].shape).type == "boolean"
        ):
            meant = {"Return": True} | meant
        assert shown == meant

    for operation in sorted(ours.operations):
        answer(operation=operation)


@pytest.mark.parametrize("service", SHIPPED)
def test_an_error_is_read_by_botocore_as_it_was_meant(service: str) -> None:
    metadata = model(service).metadata
    body = render_error(metadata.protocol, "InvalidID", "<none> & 'such'", "r-1", namespace=metadata.xml_namespace)
    response = {"body": body, "headers": {}, "status_code": 400}
    parsed = create_parser(metadata.protocol).parse(response, None)
    assert parsed["Error"]["Code"] == "InvalidID"
    assert parsed["Error"]["Message"] == "<none> & 'such'"
    assert parsed["ResponseMetadata"]["RequestId"] == "r-1"
