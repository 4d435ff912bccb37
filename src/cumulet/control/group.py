"""What must be true of a security group: its rules and members are on each host that needs them, and on no other."""

from __future__ import annotations

from cumulet.control import everywhere
from cumulet.drivers.specs import GroupSpec, RuleSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Failure, Impossible
from cumulet.model import Tx, group, tag, work
from cumulet.model.database import Row


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row = group.find(tx, id)
        there = group.hosts(tx, id)
        wanted = group.wanted_hosts(tx, id) if row is not None and row.desired == "present" else set()
    if row is not None and row.desired == "present":
        _make(run, row, wanted, there)
    _remove(run, id, there - wanted)
    if row is None or row.desired == "absent":
        with run.write() as tx:
            _forget(tx, id)


def _make(run: Run, row: Row, wanted: set[str], there: set[str]) -> None:
    if wanted - there:
        with run.write() as tx:
            tx.insert(group.group_host, *({"group_id": row.id, "host": host} for host in sorted(wanted - there)))
    with run.read() as tx:
        spec = _spec(tx, row)
    everywhere.ensure(run, dict.fromkeys(wanted, spec))


def _spec(tx: Tx, row: Row) -> GroupSpec:
    rules = group.rules(tx, row.id)
    return GroupSpec(
        id=row.id,
        vpc=row.vpc,
        ingress=[_rule(rule) for rule in rules if not rule.egress and rule.cidr_ipv6 is None],
        egress=[_rule(rule) for rule in rules if rule.egress and rule.cidr_ipv6 is None],
        members=group.member_addresses(tx, row.id),
    )


def _rule(rule: Row) -> RuleSpec:
    low = -1 if rule.from_port is None else rule.from_port
    high = -1 if rule.to_port is None else rule.to_port
    return RuleSpec(protocol=rule.protocol, from_port=low, to_port=high, cidr=rule.cidr, group=rule.source_group)


def _remove(run: Run, id: str, hosts: set[str]) -> None:
    table = group.group_host

    def removed(host: str) -> None:
        with run.write() as tx:
            tx.change(table.delete().where(table.c.group_id == id, table.c.host == host))

    everywhere.remove(run, hosts, id, removed)


def _forget(tx: Tx, id: str) -> None:
    tx.change(group.rule.delete().where(group.rule.c.group_id == id))
    tx.change(group.group.delete().where(group.group.c.id == id))
    tag.remove(tx, id)
    work.forget(tx, "group", id)


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """A group that a host refuses stays as it is there: closed where it is not known."""
    raise Failure(f"group {id} was refused: {reason}")
