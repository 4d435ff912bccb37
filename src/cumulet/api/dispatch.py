"""One request from bytes to bytes: believed, parsed, checked against what the action honours, called, rendered."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from cumulet.api import filters, pages, protocol
from cumulet.api.actions import ACTIONS, Action, Item, Listing, Result, Tree
from cumulet.api.authorise import authorise
from cumulet.api.context import Ask, Context, Objects
from cumulet.api.id_forms import check_id
from cumulet.api.unavailable import NO_DATABASE, unavailable
from cumulet.identity.audit import AuditLog, Trail
from cumulet.identity.principal import authenticate
from cumulet.lib import ids
from cumulet.lib.config import Config
from cumulet.lib.errors import Refusal
from cumulet.lib.log import Log
from cumulet.model import Database
from cumulet.model.database import retried
from cumulet.wire.models import Model, load, services
from cumulet.wire.names import python_name
from cumulet.wire.request import Form, Request, read_form, shown
from cumulet.wire.service import ADMINISTRATIVE, named, service_of
from cumulet.wire.signature import read

log = Log("api")
LISTING = ("Filters", "MaxResults", "NextToken")
ALONE = frozenset(["DescribeInstances", "DescribeInstanceCreditSpecifications", "DescribeInstanceStatus"])
ALONE |= {"DescribeInstanceTopology", "DescribeNetworkInterfaces"}
"""Whose MaxResults, by the API Reference, does not go with ids in one request."""
NOTHING = frozenset(["Ipv6AddressCount", "Ipv6Addresses", "Ipv6PrefixCount", "Ipv6Prefixes", "EnablePrimaryIpv6"])
NOTHING |= {"Ipv4PrefixCount", "Ipv4Prefixes", "PrimaryIpv6"}
"""What no action honours asks for nothing where it is 0, false or empty, and is let through then."""


class Response(NamedTuple):
    status: int
    body: bytes
    request_id: str
    content_type: str = protocol.XML


def answer(database: Database, config: Config, ask: Ask, request: Request, objects: Objects | None = None) -> Response:
    """The answer to one request; whatever is wrong with it, a well-formed AWS error."""
    trail = Trail(ids.request_id(), request.address, request.header("user-agent") or "")
    response = _answer(database, config, ask, request, trail, objects)
    if trail.action:
        AuditLog(config.audit_directory(), config.audit_days).write(trail, database.clock.now(), config.region)
    return response


def _answer(
    database: Database, config: Config, ask: Ask, request: Request, trail: Trail, objects: Objects | None
) -> Response:
    request_id = trail.request_id
    service = "ec2"
    try:
        form = read_form(request)
        claim = read(request, form)
        service = service_of(request, claim, form)
        _refuse_other_services(named(claim.service) if claim and claim.service else service, form)
        model = load(service)
        trail.service, trail.access_key = service, claim.access_key if claim is not None else ""
        trail.action = name = protocol.action_of(model, request, form)
        principal = retried(lambda: authenticate(database, request, claim, service, config.region))
        trail.principal = principal
        found = ACTIONS.get((service, name))
        if found is None:
            raise Refusal("UnsupportedOperation", f"The action {name} is one of AWS's that this cloud does not have.")
        trail.parameters = parameters = protocol.parameters_of(model, name, request, form)
        dry_run = bool(parameters.pop("DryRun", False))
        context = Context(
            database, config, ask, principal, request_id, dry_run=dry_run, request=request, objects=objects
        )
        trail.result = result = retried(
            lambda: _allowed(found, model, context, dict(parameters)),
            repeatable="ClientToken" in parameters and "client_token" in found.honoured(),
        )
        body, content_type = protocol.answered(model, name, result, request_id, form)
        return Response(200, body, request_id, content_type)
    except _Elsewhere as e:
        body, content_type = protocol.refused_elsewhere(claim.service if claim else "", e, request_id)
        return Response(e.status, body, request_id, content_type)
    except Refusal as e:
        trail.error = e.code, e.message
        return refused(service, e, request_id)
    except NO_DATABASE as e:
        trail.error = unavailable(service, e).code, ""
        log.error("a request met no database", request=request_id, what=type(e).__name__, error=e)
        return refused(service, unavailable(service, e), request_id)
    except Exception:  # noqa: BLE001 - a mistake of ours must not show its inside to a client
        trail.error = "InternalError", ""
        log.exception("a request failed", request=request_id)
        ours = Refusal(
            "InternalError", f"An internal error has occurred; its trace is in the log as {request_id}.", 500
        )
        return refused(service, ours, request_id)


def _allowed(found: Action, model: Model, context: Context, parameters: dict[str, Any]) -> Result:
    """The answer to somebody who may ask for it."""
    authorise(context, found.service, found.name, parameters)
    return call(found, model, context, parameters)


class _Elsewhere(Refusal):
    """Of a service that we do not have, and that has no forms."""


def _refuse_other_services(service: str, form: Form) -> None:
    if service == "s3":
        raise Refusal("NotImplemented", "This process has not the role object, so it has no S3.", 501)
    if service not in services():
        *first, last = sorted(services())
        having = f"{', '.join(first)} and {last}"
        reads_xml = service == ADMINISTRATIVE or any(name == "Action" for name, _ in form)
        kind = Refusal if reads_xml else _Elsewhere
        raise kind("InvalidAction", f"This cloud has no service {shown(service)}; it has {having}.")


def refused(service: str, refusal: Refusal, request_id: str) -> Response:
    metadata = load(service if service in services() else "ec2").metadata
    body, content_type = protocol.refused(service, metadata, refusal, request_id)
    return Response(refusal.status, body, request_id, content_type)


def call(found: Action, model: Model, context: Context, parameters: dict[str, Any]) -> Result:
    """Call the action with the parameters that it honours; refuses the others by name."""
    plan = _plan(found.service, found.name)
    listing = {name: parameters.pop(name) for name in (*LISTING, plan.ids) if name in parameters and found.listing}
    _refuse_others(parameters, plan.tree, plan.accepts, "")
    arguments = {plan.names[name]: value for name, value in {**parameters, **listing}.items() if name in plan.names}
    result = found.function(context, **arguments)
    context.refuse_dry_run()
    return _listed(found.listing, result, listing, plan) if found.listing else result


class _Plan(NamedTuple):
    tree: dict[str, Tree]
    names: dict[str, str]
    accepts: frozenset[str]
    ids: str
    limits: tuple[int, int]
    ids_alone: bool


@cache
def _plan(service: str, name: str) -> _Plan:
    found, model = ACTIONS[service, name], load(service)
    members = {python_name(member): member for member in model.input(name).members}
    honoured = found.honoured()
    unknown = [parameter for parameter in honoured if parameter not in members]
    if unknown:
        raise TypeError(f"{name} has no parameter {', '.join(unknown)}; AWS's are {', '.join(members)}")
    tree = {members[parameter]: inner for parameter, inner in honoured.items()}
    names = {members[parameter]: parameter for parameter in honoured}
    selector = members[found.listing.ids] if found.listing and found.listing.ids else ""
    return _Plan(tree, names, frozenset(found.accepts), selector, _limits(model, name), name in ALONE)


def _limits(model: Model, name: str) -> tuple[int, int]:
    """What the action's MaxResults may be, by the service's model."""
    most = model.input(name).members.get("MaxResults")
    shape = model.shape(most.shape) if most else None
    if shape is None or shape.min is None or shape.max is None:
        return pages.LIMITS
    return int(shape.min), int(shape.max)


def _refuse_others(given: dict[str, Any], honoured: dict[str, Tree], accepts: frozenset[str], path: str) -> None:
    for name, value in given.items():
        where = f"{path}{name}"
        if where in accepts:
            continue
        if name not in honoured:
            if name in NOTHING and not value:
                continue
            raise Refusal("UnsupportedOperation", f"The parameter {where} is not supported by this cloud.")
        inner = honoured[name]
        if inner is not None:
            for one in value if isinstance(value, list) else [value]:
                _refuse_others(one, inner, accepts, f"{where}.")


def _listed(how: Listing, items: list[Item], given: dict[str, Any], plan: _Plan) -> Result:
    wanted = given.get(plan.ids) or []
    most = given.get("MaxResults")
    if wanted and most is not None and plan.ids_alone:
        raise Refusal(
            "InvalidParameterCombination",
            f"The parameter {plan.ids} cannot be used with the parameter maxResults in the same call.",
        )
    if wanted:
        items = _selected(how, items, wanted)
    items = filters.select(items, given.get("Filters") or [], how.filters)
    shown, token = pages.page(items, most, given.get("NextToken"), how.id, plan.limits)
    result = how.answer(shown) if how.answer else {how.result: shown}
    return result | ({"NextToken": token} if token else {})


def _selected(how: Listing, items: list[Item], wanted: list[str]) -> list[Item]:
    if how.malformed:
        for id in wanted:
            check_id(id, how.malformed, *((how.prefix,) if isinstance(how.prefix, str) else how.prefix))
    known = {item[how.id] for item in items}
    lacking = sorted(set(wanted) - known)
    if lacking:
        raise Refusal(how.missing, _missing_text(how, lacking))
    chosen = set(wanted)
    return [item for item in items if item[how.id] in chosen]


def _missing_text(how: Listing, lacking: list[str]) -> str:
    shown = "'" + ", ".join(lacking) + "'"
    kind = how.missing.partition(".")[0].removeprefix("Invalid").removesuffix("ID")
    noun = {
        "Instance": "instance ID",
        "Group": "security group",
        "AMI": "image id",
        "Vpc": "vpc ID",
        "Subnet": "subnet ID",
        "NetworkInterface": "networkInterface ID",
        "Allocation": "allocation ID",
        "KeyPair": "key pair",
        "SecurityGroupRuleId": "security group rule ID",
        "RouteTable": "routeTable ID",
        "InternetGateway": "internetGateway ID",
        "DhcpOption": "dhcpOption ID",
    }
    name = noun.get(kind, kind)
    if kind == "AMI":
        shown = f"'[{', '.join(lacking)}]'"  # AWS has brackets here and nowhere else
    return f"The {name}{'s' if len(lacking) > 1 else ''} {shown} do{'' if len(lacking) > 1 else 'es'} not exist"
