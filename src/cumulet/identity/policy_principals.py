"""The Principal and NotPrincipal elements: whom a policy on a resource speaks of, and how directly."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

import msgspec

_ACCOUNT = re.compile(r"[0-9]{12}")
_ARN = re.compile(r"arn:aws:(?:iam|sts)::([0-9]{12}):(?:root|(?:user|role|assumed-role|federated-user)/[^*?]+)")
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com")
TYPES = ("AWS", "Service", "Federated", "CanonicalUser")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, by all the names a policy may use. Nobody (an anonymous request) has none of them."""

    account: str = ""
    arn: str = ""
    """Of the root, the user, or the session."""
    behind: str = ""
    """Of a session: the ARN of its role, or of the user who asked for it."""
    canonical_id: str = ""
    service: str = ""
    """A service that acts for itself, such as `ec2.amazonaws.com`."""
    federated: str = ""

    @property
    def root(self) -> str:
        return f"arn:aws:iam::{self.account}:root"


class Grant(IntEnum):
    """How directly a policy on a resource names the caller."""

    NONE = 0
    ACCOUNT = 1
    """Its account, which decides by its own policies who of it may."""
    BROAD = 2
    """Everybody, or the role or user behind a session: boundaries and session policies still limit it."""
    DIRECT = 3
    """The user or session itself: no other policy has to allow, within the same account."""


class Invalid(Exception):
    """A principal that is none; the text says which."""


class Principals(msgspec.Struct, frozen=True):
    """The principals of a statement: `excluded` where it was NotPrincipal."""

    names: frozenset[str]
    excluded: bool = False

    def grant(self, caller: Caller, *, deny: bool) -> Grant:
        """How directly the caller is meant; for a denial `BROAD` is as good as `DIRECT`.

        NotPrincipal means everybody who is not named. A denial spares those of whom every name is listed (AWS: list the
        account as well as the user); an allowance is for those of whom no name is.
        """
        if not self.excluded:
            return self._named(caller)
        names = self._names(caller)
        listed = [name in self.names for name in names]
        spared = bool(listed) and (all(listed) if deny else any(listed))
        return Grant.NONE if spared or "*" in self.names else Grant.BROAD

    def _named(self, caller: Caller) -> Grant:
        names = self.names
        if caller.arn and caller.arn != caller.root and caller.arn in names:
            return Grant.DIRECT
        if caller.service and caller.service in names or caller.federated and caller.federated in names:
            return Grant.DIRECT
        if "*" in names or caller.behind and caller.behind in names:
            return Grant.BROAD
        if caller.account and (caller.root in names or caller.canonical_id in names):
            return Grant.ACCOUNT
        return Grant.NONE

    @staticmethod
    def _names(caller: Caller) -> set[str]:
        names = {caller.arn, caller.behind, caller.service, caller.federated} | (
            {caller.root} if caller.account else set()
        )
        return names - {""}


def read_principals(given: Any, *, excluded: bool) -> Principals:
    """Compile a Principal (or NotPrincipal) element; raises `Invalid`."""
    if given == "*":
        return Principals(frozenset("*"), excluded)
    if not isinstance(given, dict) or not given:
        raise Invalid(f"Invalid principal in policy: {str(given)[:100]!r} is neither * nor an object.")
    names = [_name(type_, value) for type_, values in given.items() for value in _listed(type_, values)]
    return Principals(frozenset(names), excluded)


def _listed(type_: str, values: Any) -> list[str]:
    listed = values if isinstance(values, list) else [values]
    if type_ not in TYPES or not listed or not all(isinstance(value, str) for value in listed):
        raise Invalid(f'Invalid principal in policy: "{type_}" must be one of {", ".join(TYPES)}, with strings.')
    return listed


def _name(type_: str, value: str) -> str:
    if type_ == "AWS":
        if value == "*" or _ARN.fullmatch(value):
            return value
        if _ACCOUNT.fullmatch(value):
            return f"arn:aws:iam::{value}:root"
    elif value and (type_ != "Service" or _SERVICE.fullmatch(value)) and value != "*":
        return value
    raise Invalid(f'Invalid principal in policy: "{type_}":"{value[:200]}"')
