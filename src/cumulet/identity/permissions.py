"""What a principal may do: its policies, read once for each revision of its account."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from cumulet.identity import managed
from cumulet.identity.policy import ALLOW_ALL, AccessRequest, Decision, Policies, Policy, compile_policy, evaluate
from cumulet.identity.principal import Principal
from cumulet.model import Database, Tx, entity, policy, tag
from cumulet.model.database import Row

REMEMBERED = 4096


class Held(NamedTuple):
    """The identity policies and the boundary of a root, user or role; the managed policies asked for; its tags."""

    identity: tuple[Policy, ...]
    boundary: Policy | None
    managed: tuple[Policy, ...]
    tags: dict[str, str]


def decide(
    database: Database, principal: Principal, request: AccessRequest, resource: Policy | None = None
) -> Decision:
    """Whether the principal may, by its own policies and the resource's, if that has one."""
    return evaluate(request, policies(database, principal, resource))


def policies(database: Database, principal: Principal, resource: Policy | None = None) -> Policies:
    """All that limits and allows the principal, as of now."""
    found = held(database, principal)
    session: list[Policy] | None = None
    if principal.session is not None and principal.session.limited:
        session = [*found.managed, *(compile_policy(text) for text in principal.session.policies)]
    return Policies(identity=found.identity, boundary=found.boundary, session=session, resource=resource)


def held(database: Database, principal: Principal) -> Held:
    arns = principal.session.policy_arns if principal.session is not None else ()
    return _held(database, principal.account, principal.entity, arns, principal.revision)


@lru_cache(maxsize=REMEMBERED)
def _held(database: Database, account: str, entity_id: str, arns: tuple[str, ...], revision: int) -> Held:
    """A change makes another revision, so what is remembered is never old."""
    with database.read() as tx:
        session = tuple(compiled(tx, list(arns)))
        if not entity_id:
            return Held((ALLOW_ALL,), None, session, {})
        row = entity.find(tx, entity_id)
        boundary = boundary_of(tx, row) if row is not None else None
        return Held(tuple(of_entity(tx, entity_id)), boundary, session, tag.of(tx, entity_id))


NOTHING = compile_policy('{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}')
"""What a boundary allows whose policy is not there."""


def boundary_of(tx: Tx, row: Row) -> Policy | None:
    """What limits a user or role; None: nothing does."""
    if not row.boundary:
        return None
    return next(iter(compiled(tx, [row.boundary])), NOTHING)


def of_entity(tx: Tx, id: str) -> list[Policy]:
    """The policies of a user (with those of its groups), group or role: inline and attached."""
    holders = [id, *(group.id for group in entity.containers(tx, id) if group.kind == "group")]
    inline = [compile_policy(row.document, name=f"{row.entity}/{row.name}") for row in policy.inlines(tx, holders)]
    return [*inline, *compiled(tx, policy.attached(tx, holders))]


def compiled(tx: Tx, arns: list[str]) -> list[Policy]:
    """Managed policies, of those that there are."""
    ours = policy.documents(tx, [arn for arn in arns if arn not in managed.ALL])
    texts = {arn: managed.ALL[arn].document if arn in managed.ALL else ours.get(arn) for arn in arns}
    return [compile_policy(text, name=arn) for arn, text in texts.items() if text is not None]
