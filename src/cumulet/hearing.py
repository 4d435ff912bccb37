"""What the control plane does with what hosts say: heartbeats, and guests that have changed.

A host that says what it has said before costs one statement: that it is heard. What it has is looked at by a sweep when
the digest of that is another one; from time to time all is done anew, whatever was known.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from cumulet.agent.heartbeat import Beat, Changed, Heard, Report
from cumulet.bus.names import may_speak_for
from cumulet.lib.config import AGENTS
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.model import Database, Tx, capacity, host, host_lease, instance, vpc_host, work
from cumulet.model.database import retried

log = Log("hearing")
IN_FULL_SECONDS = 60.0
"""So often all of a heartbeat is written down, though nothing of it has changed."""


class Known(NamedTuple):
    """The last heartbeat that was written down in full, and when."""

    beat: Beat
    at: float


class Hearing:
    """Answers the reports of hosts, of which each is heard by any of the schedulers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, tuple[str, ...]], Known] = {}

    def answer(self, message: bytes, sender: str) -> bytes:
        """A report of a host; raises `Failure` for one in another host's name."""
        report: Report = msgspec.json.decode(message, type=Report)
        if not may_speak_for(sender, report.host):
            log.warning("refused a report", host=report.host, sender=sender)
            raise Failure(f"{sender} may not report for {report.host}")
        return msgspec.json.encode(retried(lambda: self._write_down(report)))

    def _write_down(self, report: Report) -> Heard | None:
        with self._database.write() as tx:
            if isinstance(report, Changed):
                look_at(tx, report)
                return None
            which = report.host, tuple(report.roles)
            known = self._known.get(which)
            if known is not None and known.beat == report and tx.now - known.at < IN_FULL_SECONDS:
                heard = hear_again(tx, report)
                if heard is not None:
                    return heard
            self._known[which] = Known(report, tx.now)
            return hear(tx, report)


def hear_again(tx: Tx, beat: Beat) -> Heard | None:
    """Write down that a host is heard which says nothing new; None where it has been silent, or is not known."""
    number = beat.lease or 0
    if beat.fence_seconds:
        number = host_lease.renew(tx, beat.host, number, beat.fence_seconds)
    if number != (beat.lease or 0) or _old_agents(beat) or not host.heard_again(tx, beat.host, beat.roles):
        return None
    return Heard(lease=number)


def hear(tx: Tx, beat: Beat) -> Heard:
    """Write down a heartbeat, and see to it that what the host has is swept; nothing, where its lease is over."""
    agents = [role for role in beat.roles if role in AGENTS]
    if agents:
        describe(tx, beat)
    number = host_lease.renew(tx, beat.host, beat.lease, beat.fence_seconds) if beat.lease is not None else 0
    if beat.lease not in (None, number):
        return Heard(lease=number)
    known = host.services_of(tx, beat.host)
    silent = any(host.is_silent(tx, known[role]) for role in beat.roles if role in known)
    if silent:
        work.wake_unreached(tx)
    changed = {role for role in agents if role in known and known[role].seen != beat.seen.get(role, "")}
    for role in agents if silent else {*changed, *_old_agents(beat)}:
        work.wake(tx, "sweep", f"{role}.{beat.host}")
    for role in beat.roles:
        host.heard(tx, role, beat.host, beat.zones[0] if beat.zones else "", beat.contract, beat.seen.get(role, ""))
    for id in [*(f"{role}.{beat.host}" for role in agents), *(["lease"] if beat.fence_seconds else []), "cloud"]:
        if work.find(tx, "sweep", id) is None:
            work.wake(tx, "sweep", id)
    return Heard(lease=number)


def _old_agents(beat: Beat) -> list[str]:
    """The roles whose guests may change without a word: an agent of the first contract does not say what it has."""
    return ["compute"] if "compute" in beat.roles and "compute" not in beat.seen else []


def describe(tx: Tx, beat: Beat) -> None:
    """Write down what a host can carry, and where it is; its VPCs are looked at when that has changed."""
    values = {"zones": beat.zones, "vcpus": beat.vcpus, "memory_mib": beat.memory_mib, "disk_gib": beat.disk_gib}
    values["disk_exact"] = beat.disk_exact
    network = {"address": beat.address, "guest_mtu": beat.guest_mtu}
    known = host.find(tx, beat.host)
    # the roles of a machine may be several processes: only the one that runs guests knows what guests it can run
    facts = {"facts": beat.facts, "store": beat.store} if "compute" in beat.roles else {}
    host.describe(tx, beat.host, {**values, **network, **facts})
    if known is None:
        capacity.recount(tx, beat.host)
    if known is not None and known.address != beat.address:
        vpc_host.wake_of_host(tx, beat.host)


def look_at(tx: Tx, changed: Changed) -> None:
    """Have a guest looked at that is not as it was, if it is one of that host's."""
    row = instance.find(tx, changed.instance)
    if row is not None and changed.host in (row.host, row.moving_to):
        work.wake(tx, "instance", changed.instance)
