"""The three protocols of the dispatcher's services: what a request asks for, and how it is answered."""

from __future__ import annotations

from typing import Any

from cumulet.lib.errors import Refusal
from cumulet.wire import constraints, json_protocol, parse
from cumulet.wire.models import Metadata, Model
from cumulet.wire.render import render, render_error
from cumulet.wire.request import Form, Request

XML = "text/xml;charset=UTF-8"
JSON_CODES = {"AccessDenied": "AccessDeniedException", "ValidationError": "ValidationException"}
"""What a code is called where the protocol is JSON, if that is not its name elsewhere."""


def action_of(model: Model, request: Request, form: Form) -> str:
    """The name of the operation asked for; raises `Refusal`."""
    if model.metadata.protocol == "json":
        return json_protocol.action_of(model, request)
    name = parse.action_of(model, form)
    if not any(key == "Version" and value for key, value in form):
        if model.metadata.protocol == "ec2":
            raise Refusal("MissingParameter", "The request must contain the parameter Version")
        raise Refusal("InvalidAction", f"Could not find operation {name} for version NO_VERSION_SPECIFIED")
    return name


def parameters_of(model: Model, name: str, request: Request, form: Form) -> dict[str, Any]:
    """The parameters by the model's names; raises `Refusal` for such as the model does not allow."""
    if model.metadata.protocol == "json":
        found = json_protocol.parse(model, name, request.body or b"")
    else:
        found = parse.parse(model, name, form)
    if model.metadata.protocol != "ec2":
        constraints.check(model, name, found)
    return found


def answered(model: Model, name: str, result: dict[str, Any], request_id: str, form: Form) -> tuple[bytes, str]:
    """The body of an answer to what was asked by `form`, and its type."""
    if model.metadata.protocol == "json":
        return json_protocol.render(result), json_protocol.CONTENT_TYPE
    version = next((value for key, value in form if key == "Version"), "")
    return render(model, name, result, request_id, version=version), XML


def refused(service: str, metadata: Metadata, refusal: Refusal, request_id: str) -> tuple[bytes, str]:
    """The body of an answer that refuses, and its type."""
    if metadata.protocol == "json":
        code = JSON_CODES.get(refusal.code, refusal.code)
        return json_protocol.render_error(code, refusal.message), json_protocol.CONTENT_TYPE
    protocol = "rest-xml" if service == "s3" else metadata.protocol
    status, namespace = refusal.status, metadata.xml_namespace
    return render_error(protocol, refusal.code, refusal.message, request_id, status=status, namespace=namespace), XML
