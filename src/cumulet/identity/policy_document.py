"""A policy document: read, checked by AWS's grammar, and compiled, once for each text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import msgspec

from cumulet.identity import policy_conditions, policy_principals
from cumulet.identity.policy_conditions import Condition
from cumulet.identity.policy_patterns import Context, Match, Text, arn_glob, glob, read_text
from cumulet.identity.policy_principals import Principals
from cumulet.lib.errors import Refusal

Kind = Literal["identity", "resource", "trust"]
"""`identity`: of users, groups, roles, boundaries and sessions; `resource`: of a bucket; `trust`: of a role."""

VERSIONS = ("2012-10-17", "2008-10-17")
ELEMENTS = {"Version", "Id", "Statement"}
STATEMENT = {
    "Sid",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Principal",
    "NotPrincipal",
    "Condition",
}
_ACTION = re.compile(r"[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+")
_SID = re.compile(r"[a-zA-Z0-9]*")
_TRUST_ACTIONS = re.compile(r"\*|sts:[a-zA-Z*?]+")


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement, compiled."""

    sid: str
    deny: bool
    actions: Match
    """Of an action's name in lower case; NotAction is turned round already."""
    resources: Callable[[str, Context], bool]
    principals: Principals | None
    conditions: tuple[Condition, ...]
    position: int


class Policy(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A policy, compiled; `name` says in answers which one it is. Two are the same only if they are one object."""

    statements: tuple[Statement, ...]
    kind: Kind
    keys: frozenset[str]
    """The condition keys that it looks at."""
    name: str = ""


@lru_cache(maxsize=16_384)
def speaking(policy: Policy, action: str) -> tuple[Statement, ...]:
    """Its statements that speak of an action, whose name is in lower case: most requests ask again for the same."""
    return tuple(statement for statement in policy.statements if statement.actions(action))


def compile_policy(
    text: str, kind: Kind = "identity", *, code: str = "MalformedPolicyDocument", name: str = ""
) -> Policy:
    """The policy of a text; raises `Refusal` with `code` (S3's is MalformedPolicy) for a text that is none."""
    try:
        return _compiled(text, kind, name)
    except _Malformed as e:
        raise Refusal(code, str(e)) from None


class _Malformed(Exception):
    pass


@lru_cache(maxsize=4096)
def _compiled(text: str, kind: Kind, name: str) -> Policy:
    document = _read(text)
    version = document.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        raise _Malformed("The policy must contain a valid version string: 2012-10-17 or 2008-10-17.")
    listed = document["Statement"] if isinstance(document.get("Statement"), list) else [document.get("Statement")]
    if not listed or not all(isinstance(statement, dict) for statement in listed):
        raise _Malformed("Syntax errors in policy: Statement must be an object or a list of objects, at least one.")
    keys: set[str] = set()
    try:
        statements = tuple(
            _statement(statement, kind, version == VERSIONS[0], i, keys) for i, statement in enumerate(listed)
        )
    except (policy_conditions.Invalid, policy_principals.Invalid) as e:
        raise _Malformed(str(e)) from None
    _check_sids([statement.sid for statement in statements])
    return Policy(statements=statements, kind=kind, keys=frozenset(keys), name=name)


def _read(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as e:
        raise _Malformed(f"Syntax errors in policy: it is not JSON: {str(e)[:200]}") from None
    if not isinstance(document, dict):
        raise _Malformed("Syntax errors in policy: the document must be a JSON object.")
    if unknown := sorted(document.keys() - ELEMENTS):
        raise _Malformed(f"Syntax errors in policy: there is no element {unknown[0][:100]}.")
    if not isinstance(document.get("Id", ""), str):
        raise _Malformed("Syntax errors in policy: Id must be a string.")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an element is there twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _check_sids(sids: list[str]) -> None:
    given = [sid for sid in sids if sid]
    if len(set(given)) != len(given):
        raise _Malformed("Statement IDs (SID) in a single policy must be unique.")


def _statement(given: dict[str, Any], kind: Kind, variables: bool, position: int, keys: set[str]) -> Statement:
    if unknown := sorted(given.keys() - STATEMENT):
        raise _Malformed(f"Syntax errors in policy: a statement has no element {unknown[0][:100]}.")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise _Malformed("Missing required field Effect: it must be Allow or Deny.")
    sid = given.get("Sid", "")
    if not isinstance(sid, str) or kind != "resource" and not _SID.fullmatch(sid):
        raise _Malformed("Statement IDs (SID) must be letters and digits only.")
    _one_of(given, "Action", "NotAction", "Policy statement must contain actions.")
    conditions = policy_conditions.read_block(given.get("Condition", {}), variables=variables)
    keys.update(key for condition in conditions for key in condition.keys)
    return Statement(
        sid=sid,
        deny=given["Effect"] == "Deny",
        actions=_actions(given, kind),
        resources=_resources(given, kind, variables, keys),
        principals=_principals(given, kind),
        conditions=conditions,
        position=position,
    )


def _one_of(given: dict[str, Any], plain: str, negated: str, missing: str) -> None:
    if plain in given and negated in given:
        raise _Malformed(f"Syntax errors in policy: a statement cannot have both {plain} and {negated}.")
    if plain not in given and negated not in given:
        raise _Malformed(missing)


def _strings(given: dict[str, Any], name: str, empty: str) -> list[str]:
    value = given[name]
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) and one for one in values):
        raise _Malformed(empty)
    return values


def _actions(given: dict[str, Any], kind: Kind) -> Match:
    name = "Action" if "Action" in given else "NotAction"
    values = _strings(given, name, "Policy statement must contain actions.")
    for value in values:
        if value != "*" and not _ACTION.fullmatch(value):
            raise _Malformed(
                f"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc. ({value[:100]} is not so)."
            )
        if kind == "trust" and not _TRUST_ACTIONS.fullmatch(value):
            raise _Malformed("AssumeRole policy may only specify STS AssumeRole actions.")
    lower = [value.lower() for value in values]
    exact = frozenset(value for value in lower if "*" not in value and "?" not in value)
    wild = [glob(((value, True),)) for value in lower if value not in exact]
    negated = name == "NotAction"

    def match(action: str) -> bool:
        if action in exact:
            return not negated
        for found in wild:  # noqa: SIM110 - this is asked for every statement of every request
            if found(action):
                return not negated
        return negated

    return match


def _resources(given: dict[str, Any], kind: Kind, variables: bool, keys: set[str]) -> Callable[[str, Context], bool]:
    if kind == "trust":
        for name in ("Resource", "NotResource"):
            if name in given:
                raise _Malformed(f"Has prohibited field {name}.")
        return lambda resource, context: True
    _one_of(given, "Resource", "NotResource", "Policy statement must contain resources.")
    name = "Resource" if "Resource" in given else "NotResource"
    values = _strings(given, name, "Policy statement must contain resources.")
    texts = [_resource(value, variables) for value in values]
    keys.update(key for text in texts for key in text.keys)
    negated = name == "NotResource"
    fixed = [arn_glob(text.pieces({})) for text in texts if text.is_fixed]
    with_variables = [text for text in texts if not text.is_fixed]

    def match(resource: str, context: Context) -> bool:
        for found in fixed:
            if found(resource):
                return not negated
        return any([arn_glob(text.pieces(context))(resource) for text in with_variables]) != negated

    return match


def _resource(value: str, variables: bool) -> Text:
    if value != "*":
        fields = value.split(":", 5)
        if len(fields) < 6 or fields[0] != "arn":
            raise _Malformed(f'Resource {value[:200]} must be in ARN format or "*".')
        if "*" in fields[2] or "?" in fields[2]:
            raise _Malformed(f"Resource vendor must be fully qualified and cannot contain regexes: {value[:200]}.")
    return read_text(value, variables=variables)


def _principals(given: dict[str, Any], kind: Kind) -> Principals | None:
    there = [name for name in ("Principal", "NotPrincipal") if name in given]
    if kind == "identity":
        if there:
            raise _Malformed("Policy document should not specify a principal.")
        return None
    if len(there) == 2:
        raise _Malformed("Syntax errors in policy: a statement cannot have both Principal and NotPrincipal.")
    if not there:
        raise _Malformed("Missing required field Principal.")
    return policy_principals.read_principals(given[there[0]], excluded=there[0] == "NotPrincipal")
