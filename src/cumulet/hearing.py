"""What the control plane does with what hosts say: heartbeats, and guests that have changed.

Hosts that say what they have said before cost two statements for all that are heard in a moment. What a host has is
looked at by a sweep when the digest of that is another one; from time to time all is done anew, whatever was known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from cumulet.agent.heartbeat import Beat, Changed, Heard, Report
from cumulet.bus.contract import Said
from cumulet.bus.names import may_speak_for
from cumulet.lib.config import AGENTS
from cumulet.lib.errors import Away, Conflict, Failure, Unsure
from cumulet.lib.log import Log
from cumulet.model import Database, Tx, capacity, host, host_lease, instance, vpc_host, work
from cumulet.model.database import retried

log = Log("hearing")
IN_FULL_SECONDS = 60.0
"""So often all of a heartbeat is written down, though nothing of it has changed."""


Which = tuple[str, tuple[str, ...]]
"""A process of a host: the host, and its roles there."""


class Known(NamedTuple):
    """The last heartbeat that was written down in full, and when."""

    beat: Beat
    at: float


class Hearing:
    """Answers the reports of hosts, of which each is heard by any of the schedulers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[Which, Known] = {}

    def answer(self, said: list[Said]) -> list[bytes | Failure]:
        """To each report its answer, or a `Failure`: for one in another host's name, or that cannot be written down."""
        read = [_read(each) for each in said]
        reports = [report for report in read if not isinstance(report, Failure)]
        try:
            answers: Iterator[bytes | Failure] = iter(self._write_down(reports) if reports else [])
        except (Conflict, Away, Unsure):
            raise
        except Exception:  # noqa: BLE001 - what one host says does not keep others from being heard
            answers = iter([self._alone(report) for report in reports])
        return [report if isinstance(report, Failure) else next(answers) for report in read]

    def _alone(self, report: Report) -> bytes | Failure:
        try:
            return self._write_down([report])[0]
        except Exception as e:  # noqa: BLE001 - as above
            log.exception("a report could not be written down", host=report.host)
            return Failure(f"the report of {report.host} could not be written down: {type(e).__name__}")

    def _write_down(self, reports: list[Report]) -> list[bytes]:
        """All of them in one transaction."""
        new: dict[Which, Known] = {}

        def write() -> list[Heard | None]:
            new.clear()
            with self._database.write() as tx:
                beats = [report for report in reports if isinstance(report, Beat)]
                again = hear_again(tx, [beat for beat in beats if self._is_known(tx, beat)])
                return [_hear_one(tx, report, again, new) for report in reports]

        answers = retried(write)
        self._known |= new
        return [msgspec.json.encode(answer) for answer in answers]

    def _is_known(self, tx: Tx, beat: Beat) -> bool:
        known = self._known.get(_which(beat))
        return known is not None and known.beat == beat and tx.now - known.at < IN_FULL_SECONDS


def _read(said: Said) -> Report | Failure:
    try:
        report: Report = msgspec.json.decode(said.message, type=Report)
    except msgspec.MsgspecError as e:
        log.warning("a report cannot be read", sender=said.sender, error=e)
        return Failure(f"a report cannot be read: {e}")
    if may_speak_for(said.sender, report.host):
        return report
    log.warning("refused a report", host=report.host, sender=said.sender)
    return Failure(f"{said.sender} may not report for {report.host}")


def _which(beat: Beat) -> Which:
    return beat.host, tuple(beat.roles)


def _hear_one(tx: Tx, report: Report, again: Mapping[Which, Heard], new: dict[Which, Known]) -> Heard | None:
    if isinstance(report, Changed):
        look_at(tx, report)
        return None
    which = _which(report)
    if which in again:
        return again[which]
    new[which] = Known(report, tx.now)
    return hear(tx, report)


def hear_again(tx: Tx, beats: list[Beat]) -> dict[Which, Heard]:
    """Write down that hosts are heard which say nothing new; not those that have been silent, or are not known."""
    alike: dict[tuple[tuple[str, ...], int, float], list[Beat]] = {}
    for beat in beats:
        if not _old_agents(beat):
            alike.setdefault((tuple(beat.roles), beat.lease or 0, beat.fence_seconds), []).append(beat)
    heard: dict[Which, Heard] = {}
    for (roles, lease, seconds), group in alike.items():
        names = sorted({beat.host for beat in group})
        renewed = not seconds or host_lease.renew_again(tx, names, lease, seconds)
        if renewed and host.heard_again(tx, names, roles):
            heard |= {(name, roles): Heard(lease=lease) for name in names}
        elif len(names) > 1:
            for name in names:
                heard |= hear_again(tx, [next(beat for beat in group if beat.host == name)])
    return heard


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
