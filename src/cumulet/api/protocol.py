"""The three protocols of the dispatcher's services: what a request asks for, and how it is answered."""

from __future__ import annotations

import re
from typing import Any

from cumulet.lib.errors import Refusal
from cumulet.wire import constraints, json_protocol, parse
from cumulet.wire.models import Metadata, Model
from cumulet.wire.render import render, render_error
from cumulet.wire.request import Form, Request, shown

_DAY = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]")
_FIRST = "2006-06-26"
"""The first version of EC2's API."""
_OF_XML = frozenset(["cloudfront", "route53"])
"""The services of AWS's that speak XML without forms, but for S3; the others without forms speak JSON."""
XML = "text/xml;charset=UTF-8"
JSON_CODES = {"AccessDenied": "AccessDeniedException", "ValidationError": "ValidationException"}
"""What a code is called where the protocol is JSON, if that is not its name elsewhere."""


def action_of(model: Model, request: Request, form: Form) -> str:
    """The name of the operation asked for; raises `Refusal`."""
    if model.metadata.protocol == "json":
        return json_protocol.action_of(model, request)
    name = parse.action_of(model, form)
    _check_version(model, name, next((value for key, value in form if key == "Version"), ""))
    return name


def _check_version(model: Model, name: str, version: str) -> None:
    """EC2 answers in each version that it has had; other services have had one only."""
    newest = model.metadata.api_version
    if model.metadata.protocol != "ec2":
        if version != newest:
            asked = shown(version) or "NO_VERSION_SPECIFIED"
            raise Refusal("InvalidAction", f"Could not find operation {name} for version {asked}")
    elif not version:
        raise Refusal("MissingParameter", "The request must contain the parameter Version")
    elif not (_DAY.fullmatch(version) and _FIRST <= version <= newest):
        text = f"The requested version ({shown(version)}) of service AmazonEC2 does not exist"
        raise Refusal("NoSuchVersion", text)


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


def refused_elsewhere(service: str, refusal: Refusal, request_id: str) -> tuple[bytes, str]:
    """The body of an answer to a client of a service that we do not have, and that has no forms; and its type."""
    if service not in _OF_XML:
        return json_protocol.render_error(refusal.code, refusal.message), json_protocol.CONTENT_TYPE
    return render_error("query", refusal.code, refusal.message, request_id, status=refusal.status, namespace=""), XML


def refused(service: str, metadata: Metadata, refusal: Refusal, request_id: str) -> tuple[bytes, str]:
    """The body of an answer that refuses, and its type."""
    if metadata.protocol == "json":
        code = JSON_CODES.get(refusal.code, refusal.code)
        return json_protocol.render_error(code, refusal.message), json_protocol.CONTENT_TYPE
    protocol = "rest-xml" if service == "s3" else metadata.protocol
    status, namespace = refusal.status, metadata.xml_namespace
    return render_error(protocol, refusal.code, refusal.message, request_id, status=status, namespace=namespace), XML
