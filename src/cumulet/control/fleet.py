"""The fleet: what this process knows of the hosts, kept so that the best of ten thousand is found in microseconds.

It is a snapshot, up to a second old, and changed by what this process places itself. That does no harm, because what
is promised is promised by a conditional update of the host's row (`model.capacity`): whoever goes by old knowledge is
refused there, looks again and chooses anew.

Hosts that are alike in all that can be asked for, but not in what they have left, stand together on a shelf, in the
order of the memory that they have left: what is asked for is compared with each shelf once, not with each host.
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_left, insort
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import msgspec

from cumulet.lib.config import Config
from cumulet.lib.contract import CONTRACT
from cumulet.lib.instance_types import Kind, catalogue
from cumulet.model import Tx, instance_type
from cumulet.model import host as hosts
from cumulet.model.capacity import NOTHING, Amount, limits
from cumulet.model.database import Row

ANY_HOSTS_SAY = {"architectures": ["x86_64"], "boots": ["bios", "kernel"]}
"""What is taken of a host whose agent does not say."""
FEW = 500
Shelf = list[tuple[float, float, str]]
"""Memory left, a number by lot, and name of each host, in this order: the lot parts equals, in each process anew, so
that several schedulers do not all try the same host."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What can be asked of a host, and what it has left."""

    name: str
    zones: frozenset[str] = frozenset()
    architectures: frozenset[str] = frozenset({"x86_64"})
    boots: frozenset[str] = frozenset({"bios", "kernel"})
    encrypts: bool = False
    """Whether it can keep encrypted volumes."""
    attributes: dict[str, str] = {}
    store: str = ""
    """The name of its directory of volumes, if it shares that with others."""
    enabled: bool = True
    alive: bool = True
    heard: float = 0.0
    """When all that a guest needs there was heard."""
    contract: int = CONTRACT
    """Of its services, the one that is furthest from this program's."""
    revision: int = 0
    limit: Amount = NOTHING
    """The most that it may promise."""
    used: Amount = NOTHING

    @property
    def left(self) -> Amount:
        (vcpus, memory, disk), used = self.limit, self.used
        return Amount(vcpus - used.vcpus, memory - used.memory_mib, disk - used.disk_gib)

    @property
    def rack(self) -> str:
        """Empty where nobody has said it."""
        return self.attributes.get("rack", "")


class _Place(NamedTuple):
    shelf: tuple[object, ...]
    entry: tuple[float, float, str]


class _Promises(NamedTuple):
    revision: int
    used: Amount


class _Signs(NamedTuple):
    """The signs of life of a host."""

    alive: bool
    enabled: bool
    heard: float
    contract: int


class Fleet:
    """The hosts by name, and on their shelves. `lock` is held by whoever looks at the shelves or changes them."""

    def __init__(self, config: Config, chance: random.Random | None = None) -> None:
        self.hosts: dict[str, Host] = {}
        self.shelves: dict[tuple[object, ...], Shelf] = {}
        self.lock = threading.RLock()
        self._reading = threading.Lock()
        self._read_at = float("-inf")
        self._config = config
        self._chance = chance or random.Random()
        self._places: dict[str, _Place] = {}
        self._asked_for: list[str] = []
        self._ask_for(catalogue(config))

    def put(self, host: Host) -> None:
        """Know this of a host from now on."""
        with self.lock:
            self.drop(host.name)
            place = _Place(self._shelf_of(host), (_order(host), self._chance.random(), host.name))
            insort(self.shelves.setdefault(place.shelf, []), place.entry)
            self.hosts[host.name], self._places[host.name] = host, place

    def drop(self, name: str) -> None:
        """Know nothing of a host any more."""
        with self.lock:
            place = self._places.pop(name, None)
            if place is None:
                return
            shelf = self.shelves[place.shelf]
            shelf.pop(bisect_left(shelf, place.entry))
            if not shelf:
                del self.shelves[place.shelf]
            del self.hosts[name]

    def take(self, name: str, amount: Amount) -> None:
        """So much more of the host is promised."""
        with self.lock:
            known = self.hosts.get(name)
            if known is not None:
                used = Amount(*(one + more for one, more in zip(known.used, amount, strict=True)))
                self.put(msgspec.structs.replace(known, used=used))

    def refresh(self, read: Callable[[], AbstractContextManager[Tx]], moment: float) -> None:
        """Know all that had been written down at `moment`; others who want the same wait and need not read."""
        with self._reading:
            if self._read_at > moment:
                return
            with read() as tx:
                self.learn(tx)
                self._read_at = tx.now

    def learn(self, tx: Tx) -> None:
        """Know what is written down now."""
        signs = {row.host: _signs(row, tx.now) for row in hosts.presence(tx)}
        news: dict[str, _Promises] = {}
        for name, revision, vcpus, memory, disk in hosts.promises(tx):
            used = (vcpus, memory, disk)
            if name in signs and self._is_news(name, revision, used, signs[name]):
                news[name] = _Promises(revision, Amount(*used))
        self._ask_for(instance_type.catalogue(tx, self._config))
        described = self._describe(tx, [name for name in news if not self._knows(name, news[name].revision)])
        with self.lock:
            for name in self.hosts.keys() - signs.keys():
                self.drop(name)
            for name, promises in news.items():
                known = described.get(name) or self.hosts[name]
                changes = {**signs[name]._asdict(), "used": promises.used}
                self.put(msgspec.structs.replace(known, **changes))

    def _ask_for(self, types: dict[str, Kind]) -> None:
        """Hosts that differ in what a type requires stand on different shelves."""
        asked = sorted({key for kind in types.values() for key in kind.requires} | {"dedicated_to"})
        with self.lock:
            if asked != self._asked_for:
                self._asked_for = asked
                for host in list(self.hosts.values()):
                    self.put(host)

    def _is_news(self, name: str, revision: int, used: tuple[int, int, int], signs: _Signs) -> bool:
        known = self.hosts.get(name)
        if known is None or known.revision != revision or known.used != used:
            return True
        if not signs.alive and known.heard != signs.heard:
            return True
        return (known.alive, known.enabled, known.contract) != (signs.alive, signs.enabled, signs.contract)

    def _knows(self, name: str, revision: int) -> bool:
        return name in self.hosts and self.hosts[name].revision == revision

    def _describe(self, tx: Tx, names: list[str]) -> dict[str, Host]:
        rows = hosts.all(tx) if len(names) > FEW else hosts.named(tx, names)
        return {row.name: self._described(row) for row in rows}

    def _described(self, row: Row) -> Host:
        facts = {**ANY_HOSTS_SAY, **row.facts}
        return Host(
            name=row.name,
            zones=frozenset(row.zones),
            architectures=frozenset(facts["architectures"]),
            boots=frozenset(facts["boots"]),
            encrypts="encrypts" in facts,
            attributes=hosts.attributes_of(row),
            store=row.store,
            revision=row.revision,
            limit=limits(row, self._config),
        )

    def _shelf_of(self, host: Host) -> tuple[object, ...]:
        """All that `placement.FILTERS` may ask of every host of a shelf at once."""
        asked_for = tuple(host.attributes.get(key) for key in self._asked_for)
        return (
            host.zones,
            host.architectures,
            host.boots,
            host.encrypts,
            asked_for,
            host.store,
            host.enabled,
            host.alive,
            host.contract,
        )


def _signs(row: Any, now: float) -> _Signs:
    """A host that has not all the services that a guest needs has not been heard."""
    heard = row.heard if row.roles == len(hosts.GUEST_ROLES) else 0.0
    furthest = max(row.oldest, row.newest, key=lambda contract: abs(contract - CONTRACT))
    return _Signs(heard > now - hosts.LIVE_SECONDS, bool(row.enabled), heard, furthest)


def _order(host: Host) -> float:
    """The memory left; nothing where another thing is used up, as nobody needs to look at such a host."""
    left = host.left
    return left.memory_mib if left.vcpus >= 1 and left.disk_gib >= 1 else 0.0
