"""Who may have an administrative action done: whoever signs as a principal of an administrator's account that may.

The signature, its lock-out, the policies and the audit log are those of every other request; the service is `cumulet`.
An account that is not an administrator's has nothing here, whatever its policies say: `*` in them is its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cumulet.administration.desk import Desk
from cumulet.administration.registry import ACTIONS
from cumulet.api.authorise import Need, demand
from cumulet.api.context import Context
from cumulet.api.protocol import JSON_CODES
from cumulet.api.unavailable import unavailable
from cumulet.identity.audit import AuditLog, Trail
from cumulet.identity.principal import Principal, authenticate
from cumulet.lib import ids
from cumulet.lib.errors import Away, Conflict, Failure, Full, Refusal, Unsure, with_cause
from cumulet.lib.log import Log
from cumulet.model import account
from cumulet.model.database import retried
from cumulet.wire.json_protocol import render_error
from cumulet.wire.request import Request, shown
from cumulet.wire.service import ADMINISTRATIVE
from cumulet.wire.signature import read

log = Log("admin")
SERVICE = ADMINISTRATIVE
OPERATOR = "operator"
"""In the audit log: the key of whoever has the database at hand, and needs none."""
Answer = tuple[int, bytes]
_UNABLE = (Conflict, Away, Unsure, Full)


def answer(desk: Desk, request: Request, name: str) -> Answer:
    """The answer to a request for an action, whose body is its parameters in JSON."""
    trail = Trail(ids.request_id(), request.address, request.header("user-agent") or "")
    trail.service, trail.action = SERVICE, name if name in ACTIONS else ""
    try:
        result = _asked(desk, request, name, trail)
    except Refusal as e:
        status, body = _refused(trail, e)
    except _UNABLE as e:
        status, body = _refused(trail, unavailable(SERVICE, e))
    except Failure as e:
        status, body = _refused(trail, Refusal("ValidationException", with_cause(e)))
    except Exception:  # noqa: BLE001 - a mistake of ours must not show its inside to a client
        log.exception("a request failed", request=trail.request_id)
        text = f"An internal error has occurred; its trace is in the log as {trail.request_id}."
        status, body = _refused(trail, Refusal("InternalFailure", text, 500))
    else:
        status, body = 200, msgspec.json.encode(result)
    if trail.action:
        _write(desk, trail)
    return status, body


def done_here(desk: Desk, name: str, parameters: dict[str, Any]) -> Any:
    """What an action has made that is done by whoever has the database at hand, where no cloud runs.

    In the audit log it is the first account's root who did it. Raises `Failure`.
    """
    trail = Trail(ids.request_id(), SERVICE, SERVICE)
    trail.service, trail.action, trail.principal = SERVICE, name, _operator(desk)
    try:
        return _done(desk, name, parameters, trail)
    except Failure as e:
        trail.error = "ValidationException", with_cause(e)
        raise
    finally:
        _write(desk, trail)


def _asked(desk: Desk, request: Request, name: str, trail: Trail) -> Any:
    claim = read(request, [])
    trail.access_key = claim.access_key if claim is not None else ""
    principal = retried(lambda: authenticate(desk.database, request, claim, SERVICE, desk.config.region))
    trail.principal = principal
    _authorise(desk, request, principal, name, trail)
    if name not in ACTIONS:
        raise Refusal("UnknownOperationException", f"There is no operation {SERVICE}:{shown(name)}.")
    try:
        given = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError:
        raise Refusal("SerializationException", "The body is not JSON.") from None
    return _done(desk, name, given, trail)


def _authorise(desk: Desk, request: Request, principal: Principal, name: str, trail: Trail) -> None:
    """Raises `Refusal` unless the principal may; the root of an administrator's account is asked nothing."""
    action = f"{SERVICE}:{shown(name)}"
    if not principal.administrator:
        who = f"User: {principal.arn} is not authorized to perform: {action}"
        why = "because only principals of an administrator's account may administer the cloud"
        raise Refusal("AccessDenied", f"{who} {why}", 403)
    context = Context(desk.database, desk.config, _no_host, principal, trail.request_id, request=request)
    retried(lambda: demand(context, SERVICE, Need(action)))


def _done(desk: Desk, name: str, given: Any, trail: Trail) -> Any:
    action = ACTIONS[name]
    trail.parameters = given if isinstance(given, dict) else None
    try:
        wanted = msgspec.convert(given, action.takes)
    except msgspec.ValidationError as e:
        names = ", ".join(action.takes.__struct_fields__) or "nothing"
        raise Failure(f"the body of {name} is JSON with {names}: {e}") from None
    result = retried(lambda: action.do(desk, wanted))
    trail.result = result if isinstance(result, dict) else {"items": result}
    return result


def _refused(trail: Trail, refusal: Refusal) -> Answer:
    code = JSON_CODES.get(refusal.code, refusal.code)
    trail.error = code, refusal.message
    return refusal.status, render_error(code, refusal.message)


def _write(desk: Desk, trail: Trail) -> None:
    log_of_days = AuditLog(desk.config.audit_directory(), desk.config.audit_days)
    log_of_days.write(trail, desk.database.clock.now(), desk.config.region)


def _operator(desk: Desk) -> Principal | None:
    with desk.database.read() as tx:
        first = account.named(tx, desk.config.account)
    if first is None:
        return None
    shared = {"account": first.id, "canonical_id": first.canonical_id, "account_name": first.name}
    return Principal(**shared, name="root", access_key=OPERATOR, administrator=True)


def _no_host(role: str, host: str, question: str, id: str) -> bytes:
    raise Failure(f"no condition of a policy asks a host: {question} of {id}")
