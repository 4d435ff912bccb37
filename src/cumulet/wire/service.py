"""Which service a request is for. One URL serves them all."""

from __future__ import annotations

from cumulet.wire.claim import Claim
from cumulet.wire.models import load, services
from cumulet.wire.request import Form, Request

ADMINISTRATIVE = "cumulet"
"""The service of what the cloud's operator does, which is none of AWS's."""
_NAMED = {"servicequotas": "service-quotas"}
"""The name in a signature, where that is not the model's."""


def service_of(request: Request, claim: Claim | None, form: Form) -> str:
    """The service: by the scope of the signature, then by the action and its version, then by the host's name.

    One of the model's names (`ec2`, `sts`, …) or `s3`. A request that says nothing of all this is EC2's.
    """
    scope = claim.service if claim else ""
    scope = named(scope)
    if scope in _known():
        return scope
    return _by_action(form) or _by_host(request) or "ec2"


def named(scope: str) -> str:
    """The model's name of the service in a signature's scope."""
    return _NAMED.get(scope, scope)


def signing_name(service: str) -> str:
    """The service's name in the scope of a signature."""
    return load(service).signing_name if service in services() else service


def _known() -> set[str]:
    return {*services(), ADMINISTRATIVE}


def _by_action(form: Form) -> str:
    parameters = {name: value for name, value in form if name in ("Action", "Version")}
    action, version = parameters.get("Action", ""), parameters.get("Version", "")
    having = [name for name in sorted(services()) if name != "s3" and action in load(name).operations]
    exact = [name for name in having if load(name).metadata.api_version == version]
    return next(iter(exact or having), "")


def _by_host(request: Request) -> str:
    labels = (request.header("host") or "").lower().split(":")[0].split(".")
    return next((label for label in labels if label in _known()), "")
