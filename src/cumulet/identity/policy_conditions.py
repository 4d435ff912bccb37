"""The Condition element: each operator of AWS's, compiled into a test of a request's context.

All the operators and keys of a block must hold; of a key's values one must match, or for a negated operator none may.
A key that the request does not have fails a plain operator; a negated one, …IfExists and ForAllValues hold for it.
"""

from __future__ import annotations

import base64
import binascii
import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from cumulet.identity.policy_patterns import Context, Match, Pieces, Text, arn_glob, glob, plain, read_text

Test = Callable[[Context], bool]


class Invalid(Exception):
    """The block cannot be read; the text says what is wrong."""


class Condition(NamedTuple):
    """One operator on one key: `holds` in a context, or not. May raise `Unresolved`."""

    key: str
    holds: Test
    keys: tuple[str, ...]
    """All the keys it looks at, with those of its variables."""


class _Operator(NamedTuple):
    """`fixed` makes a test of a value with no variables in it; `of_text` of what a value with variables says."""

    negated: bool
    fixed: Callable[[str], Match] | None = None
    of_text: Callable[[Pieces], Match] | None = None


def read_block(block: dict[str, Any], *, variables: bool) -> tuple[Condition, ...]:
    """Compile a Condition element; raises `Invalid`."""
    if not isinstance(block, dict):
        raise Invalid("Condition must be an object of operators.")
    found = []
    for name, keys in block.items():
        if not isinstance(keys, dict) or not keys:
            raise Invalid(f"The operator {name} must have an object of condition keys with their values.")
        found += [_condition(name, key, _values(name, key, given), variables) for key, given in keys.items()]
    return tuple(found)


def _values(name: str, key: str, given: Any) -> list[str]:
    values = given if isinstance(given, list) else [given]
    if not values or not all(isinstance(value, str | bool | int | float) for value in values):
        raise Invalid(f"The values of {key} in {name} must be strings, numbers or booleans, and at least one.")
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def _condition(name: str, key: str, values: list[str], variables: bool) -> Condition:
    quantifier, _, rest = name.rpartition(":")
    plain_name = rest.removesuffix("IfExists")
    kind = OPERATORS.get(plain_name)
    if kind is None or quantifier not in ("", "ForAllValues", "ForAnyValue") or rest == "NullIfExists":
        raise Invalid(f"Invalid Condition type : {name}.")
    if ":" not in key:
        raise Invalid(f"The condition key {key} must be prefaced by a service or aws:, as aws:SourceIp is.")
    texts = [read_text(value, variables=variables) for value in values] if kind.of_text else []
    keys = (key, *(inner for text in texts for inner in text.keys))
    lower = key.lower()
    if plain_name == "Null":
        return Condition(key, _null(lower, values), keys)
    absent = rest != plain_name or quantifier == "ForAllValues" or (kind.negated and not quantifier)
    tests = _tests(name, key, kind, values, texts)
    return Condition(key, _quantified(quantifier, lower, tests, kind.negated, absent), keys)


def _tests(
    name: str, key: str, kind: _Operator, values: list[str], texts: list[Text]
) -> Callable[[Context], list[Match]]:
    """The tests of a request's value, one of each value of the policy."""
    if kind.of_text is not None:
        of_text = kind.of_text
        if all(text.is_fixed for text in texts):
            ready = [of_text(text.pieces({})) for text in texts]
            return lambda context: ready
        return lambda context: [of_text(text.pieces(context)) for text in texts]
    assert kind.fixed is not None
    try:
        made = [kind.fixed(value) for value in values]
    except (ValueError, InvalidOperation, OverflowError):
        raise Invalid(f"A value of {key} in {name} is not of the operator's type: {', '.join(values)[:100]}.") from None
    return lambda context: made


def _quantified(
    quantifier: str, key: str, tests: Callable[[Context], list[Match]], negated: bool, absent: bool
) -> Test:
    def holds(context: Context) -> bool:
        given = context.get(key)
        matches = tests(context)
        if not given:
            return absent
        if len(given) == 1:
            return _hit(matches, given[0]) != negated
        hits = (_hit(matches, value) for value in given)
        if quantifier == "ForAllValues":
            return all(hit != negated for hit in hits)
        if quantifier == "ForAnyValue":
            return any(hit != negated for hit in hits)
        return any(hits) != negated

    return holds


def _hit(matches: list[Match], value: str) -> bool:
    for match in matches:  # noqa: SIM110 - asked for each condition of each request
        if match(value):
            return True
    return False


def _null(key: str, values: Sequence[str]) -> Test:
    lower = {value.lower() for value in values}
    if not lower <= {"true", "false"}:
        raise Invalid(f"The values of Null are true and false, not {', '.join(values)[:100]}.")
    return lambda context: ("false" if context.get(key) else "true") in lower


def _equals(pieces: Pieces) -> Match:
    whole = plain(pieces)
    return lambda value: value == whole


def _equals_ignoring_case(pieces: Pieces) -> Match:
    whole = plain(pieces).lower()
    return lambda value: value.lower() == whole


def _comparing(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Callable[[str], Match]:
    """A test by a type that is not text: a request's value that is not of the type does not match."""

    def fixed(value: str) -> Match:
        wanted = read(value)

        def match(given: str) -> bool:
            try:
                return compare(read(given), wanted)
            except (ValueError, InvalidOperation, OverflowError):
                return False

        return match

    return fixed


def _number(text: str) -> Decimal:
    found = Decimal(text.strip())
    if not found.is_finite():
        raise ValueError(text)
    return found


@lru_cache(maxsize=1024)
def _date(text: str) -> float:
    """Seconds since 1970: so written, or as ISO 8601 in UTC where no zone is named."""
    try:
        return float(_number(text))
    except InvalidOperation:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _boolean(text: str) -> bool:
    lower = text.lower()
    if lower not in ("true", "false"):
        raise ValueError(text)
    return lower == "true"


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(text) from None


@lru_cache(maxsize=4096)
def _address(text: str) -> tuple[int, int]:
    """Its version and number; of what is no address, a version that none has."""
    try:
        found = ip_address(text.strip())
    except ValueError:
        return 0, 0
    return found.version, int(found)


def _in_range(value: str) -> Match:
    network = ip_network(value.strip(), strict=False)
    version, first, mask = network.version, int(network.network_address), int(network.netmask)

    def match(given: str) -> bool:
        its_version, number = _address(given)
        return its_version == version and number & mask == first

    return match


_NUMBERS = {
    "Equals": operator.eq,
    "NotEquals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}

OPERATORS: dict[str, _Operator] = {
    "StringEquals": _Operator(False, of_text=_equals),
    "StringNotEquals": _Operator(True, of_text=_equals),
    "StringEqualsIgnoreCase": _Operator(False, of_text=_equals_ignoring_case),
    "StringNotEqualsIgnoreCase": _Operator(True, of_text=_equals_ignoring_case),
    "StringLike": _Operator(False, of_text=glob),
    "StringNotLike": _Operator(True, of_text=glob),
    "ArnEquals": _Operator(False, of_text=arn_glob),
    "ArnLike": _Operator(False, of_text=arn_glob),
    "ArnNotEquals": _Operator(True, of_text=arn_glob),
    "ArnNotLike": _Operator(True, of_text=arn_glob),
    "Bool": _Operator(False, _comparing(_boolean, operator.eq)),
    "BinaryEquals": _Operator(False, _comparing(_binary, operator.eq)),
    "IpAddress": _Operator(False, _in_range),
    "NotIpAddress": _Operator(True, _in_range),
    "Null": _Operator(False),
    **{f"Numeric{name}": _Operator("Not" in name, _comparing(_number, compare)) for name, compare in _NUMBERS.items()},
    **{f"Date{name}": _Operator("Not" in name, _comparing(_date, compare)) for name, compare in _NUMBERS.items()},
}
