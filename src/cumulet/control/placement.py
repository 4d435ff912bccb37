"""Where an instance runs: a pure choice among the hosts that are known, and for each host why it was not chosen.

What may bar a host is the list `FILTERS`; among the hosts that pass, `placement_policy` orders: `spread` takes the one
with most memory left, `pack` the one with least that suffices.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import NamedTuple

from cumulet.control.fleet import Fleet, Host, Shelf
from cumulet.lib import contract
from cumulet.model.capacity import NOTHING, Amount

FEW = 4
"""So many hosts are chosen: the best, and others in case that somebody is quicker there."""
NOBODY: frozenset[str] = frozenset()


class Neighbours(NamedTuple):
    """What the other instances of a placement group ask of the host, by the names of hosts and racks."""

    near: frozenset[str] = NOBODY
    """Hosts that come first."""
    within_racks: frozenset[str] = NOBODY
    """If there are any: no other racks."""
    apart_hosts: frozenset[str] = NOBODY
    apart_racks: frozenset[str] = NOBODY
    by_rack: bool = False
    """Only hosts whose rack is known."""


class Wish(NamedTuple):
    """What an instance asks of its host."""

    account: str
    zone: str
    wanted: Amount = NOTHING
    type: str = ""
    architecture: str = "x86_64"
    boot: str = "bios"
    requires: dict[str, str] = {}
    tenancy: str = "default"
    named: str = ""
    """The one host that an administrator has asked for, disabled or dedicated though it may be."""
    home: str = ""
    """The host where its disks are: it runs there or nowhere, and what the host is otherwise does not matter."""
    near: frozenset[str] = NOBODY
    """Hosts that have all the snapshots of which its disks are to be made: others have to copy these first."""
    unreached: str = ""
    """A host that has one of those snapshots and which no other host reaches."""
    store: str = ""
    """The shared directory that has its disks, while no host keeps them."""
    neighbours: Neighbours = Neighbours()
    encrypts: bool = False
    """It is to keep encrypted volumes."""


class Choice(NamedTuple):
    host: str
    because: str


class Filter(NamedTuple):
    """`why_not` says what bars a host, or nothing; `title` is short, as in "3 disabled"."""

    title: str
    why_not: Callable[[Host, Wish], str]
    shared: bool = False
    """Whether the answer is the same for all the hosts of a shelf (`Fleet`)."""
    at_home: bool = False
    """Whether it bars also the host where the instance's disks are."""


class Reason(NamedTuple):
    """What bars a host: the filter's title, and in detail."""

    title: str
    text: str


def choose(fleet: Fleet, wish: Wish, policy: str) -> list[Choice]:
    """Hosts that would do, the best first and only a few; none if there is none."""
    only = wish.home or wish.named
    if only:
        because = "its disks are here" if wish.home else "an administrator asked for this host"
        return [Choice(only, because)] if only in fleet.hosts and not barred(fleet.hosts[only], wish) else []
    found = _near(fleet, wish, wish.neighbours.near, "others of its placement group are here")
    found += _near(fleet, wish, wish.near, "the snapshots of its disks are here") if not found else []
    if len(found) < FEW:
        found += [_said(host, policy) for host in islice(_best(fleet, wish, policy), FEW)]
    return found


def _near(fleet: Fleet, wish: Wish, names: frozenset[str], because: str) -> list[Choice]:
    """Those of these hosts that would do, with the most memory left first."""
    known = [fleet.hosts[name] for name in names if name in fleet.hosts]
    able = sorted((-host.left.memory_mib, host.name) for host in known if not barred(host, wish))
    return [Choice(name, because) for _, name in able[:FEW]]


def _said(host: Host, policy: str) -> Choice:
    which = "most memory left" if policy == "spread" else "least memory left that suffices"
    return Choice(host.name, f"{policy}: of the hosts that would do, it had {which}, {host.left.memory_mib:.10g} MiB")


def _best(fleet: Fleet, wish: Wish, policy: str) -> Iterator[Host]:
    """The hosts that would do, the best first."""
    shelves = [shelf for shelf in fleet.shelves.values() if _may_be_on(fleet.hosts[shelf[0][2]], wish)]
    if policy == "pack":
        ordered = heapq.merge(*(_upwards(shelf, wish.wanted.memory_mib) for shelf in shelves))
    else:
        ordered = heapq.merge(*(_downwards(shelf, wish.wanted.memory_mib) for shelf in shelves), reverse=True)
    for _, _, name in ordered:
        host = fleet.hosts[name]
        if not any(filter.why_not(host, wish) for filter in _OWN):
            yield host


def _may_be_on(example: Host, wish: Wish) -> bool:
    return not any(filter.why_not(example, wish) for filter in _SHARED)


def _upwards(shelf: Shelf, least: float) -> Iterator[tuple[float, float, str]]:
    return (shelf[index] for index in range(bisect_left(shelf, (least, 0.0, "")), len(shelf)))


def _downwards(shelf: Shelf, least: float) -> Iterator[tuple[float, float, str]]:
    return takewhile(lambda entry: entry[0] >= least, reversed(shelf))


def barred(host: Host, wish: Wish) -> Reason | None:
    """What bars the host from this instance first, in the order of `FILTERS`; None: it would do."""
    at_home = host.name == wish.home
    for filter in FILTERS:
        if (filter.at_home or not at_home) and (text := filter.why_not(host, wish)):
            return Reason(filter.title, text)
    return None


def reasons(fleet: Fleet, wish: Wish) -> dict[str, Reason]:
    """What bars each host; those that would do are not in it."""
    return {name: reason for name, host in fleet.hosts.items() if (reason := barred(host, wish)) is not None}


def shortage(fleet: Fleet, wish: Wish, found: dict[str, Reason]) -> str:
    """What was missing, for the user: how many hosts lack what, and how near the best has come."""
    asked = f"There is no room for a {wish.type} ({_shown(wish.wanted)}) in {wish.zone}"
    only = wish.home or wish.named
    if only:
        return f"{asked} on {only}: {found[only].text if only in found else 'there is no such host'}."
    counted = Counter(reason.title for reason in found.values()).most_common()
    said = ", ".join(f"{number} {title}" for title, number in counted)
    short = [fleet.hosts[name] for name, reason in found.items() if reason.title in _SHORT]
    best = max(short, key=lambda host: (host.left.memory_mib, host.left.vcpus), default=None)
    nearest = f" Of those, {best.name} has most memory: {_shown(best.left)} left." if best is not None else ""
    hosts = f"{len(fleet.hosts)} host{'s' if len(fleet.hosts) != 1 else ''}"
    return f"{asked}: of {hosts}, {said}.{nearest}"


def _shown(amount: Amount) -> str:
    disk = f", {amount.disk_gib:.10g} GiB of disk" if amount.disk_gib else ""
    vcpus = f"{amount.vcpus:.10g} vCPU{'s' if amount.vcpus != 1 else ''}"
    return f"{vcpus}, {amount.memory_mib:.10g} MiB of memory{disk}"


def _elsewhere(host: Host, wish: Wish) -> str:
    if wish.home:
        return f"its disks are on {wish.home}" if host.name != wish.home else ""
    return f"{wish.named} was asked for" if wish.named not in ("", host.name) else ""


def _unreached(host: Host, wish: Wish) -> str:
    bars = wish.unreached and not wish.home and host.name not in wish.near
    return f"a snapshot of its disks is on {wish.unreached}, which other hosts do not reach" if bars else ""


def _zone(host: Host, wish: Wish) -> str:
    return "" if wish.zone in host.zones else f"it is in {', '.join(sorted(host.zones))}, not in {wish.zone}"


def _store(host: Host, wish: Wish) -> str:
    return "" if wish.store in ("", host.store) else "it has not mounted the directory where its disks are (volume_dir)"


def _architecture(host: Host, wish: Wish) -> str:
    runs = ", ".join(sorted(host.architectures))
    return "" if wish.architecture in host.architectures else f"it runs {runs}, and the image is {wish.architecture}"


def _boot(host: Host, wish: Wish) -> str:
    return "" if wish.boot in host.boots else f"it cannot start a guest by {wish.boot}, as the image needs"


def _encryption(host: Host, wish: Wish) -> str:
    return "" if host.encrypts or not wish.encrypts else "its program is of an earlier version: it encrypts no volumes"


def _dedication(host: Host, wish: Wish) -> str:
    owner = host.attributes.get("dedicated_to", "")
    if wish.named or owner == wish.account:
        return ""
    if owner:
        return "it is dedicated to another account"
    return "it is not dedicated to the account" if wish.tenancy != "default" else ""


def _attributes(host: Host, wish: Wish) -> str:
    lacking = [f"{key}={value}" for key, value in wish.requires.items() if host.attributes.get(key) != value]
    return f"it has not {', '.join(lacking)}, which a {wish.type} requires" if lacking else ""


def _disabled(host: Host, wish: Wish) -> str:
    return "" if host.enabled or wish.named else "it is disabled: `cumulet host enable` would admit new instances"


def _group(host: Host, wish: Wish) -> str:
    asked = wish.neighbours
    if asked.by_rack and not host.rack:
        return "nobody says in which rack it is"
    if asked.within_racks and host.rack not in asked.within_racks:
        return f"others of its placement group are in the rack {', '.join(sorted(asked.within_racks))}"
    if host.name in asked.apart_hosts:
        return "it has an instance that must be apart from it (placement group)"
    if host.rack and host.rack in asked.apart_racks:
        return f"its rack {host.rack} has an instance that must be apart from it (placement group)"
    return ""


def _vcpus(host: Host, wish: Wish) -> str:
    return _too_little(host.left.vcpus, wish.wanted.vcpus, "vCPUs")


def _memory(host: Host, wish: Wish) -> str:
    return _too_little(host.left.memory_mib, wish.wanted.memory_mib, "MiB of memory")


def _disk(host: Host, wish: Wish) -> str:
    return _too_little(host.left.disk_gib, wish.wanted.disk_gib, "GiB of disk")


def _too_little(left: float, wanted: float, what: str) -> str:
    return f"it has {left:.10g} {what} left, and {wanted:.10g} are wanted" if left < wanted and wanted else ""


def _silence(host: Host, wish: Wish) -> str:
    return "" if host.alive else "its compute, network or volume service is not heard"


def _contract(host: Host, wish: Wish) -> str:
    gap = contract.gap(host.contract)
    return f"{gap}: upgrade whichever is older" if gap else ""


NOT_HEARD = "not heard"
_SHORT = ("with too few vCPUs left", "with too little memory left", "with too little disk left")
FILTERS = (
    Filter("not the host in question", _elsewhere),
    Filter("without a snapshot of its disks, whose host has no tunnel_address", _unreached),
    Filter("in another zone", _zone, shared=True),
    Filter("without the directory of its disks", _store, shared=True),
    Filter("of another architecture", _architecture, shared=True),
    Filter("unable to boot the image", _boot, shared=True),
    Filter("unable to encrypt volumes", _encryption, shared=True),
    Filter("not dedicated as it should be", _dedication, shared=True),
    Filter("without an attribute that the instance type requires", _attributes, shared=True),
    Filter("disabled", _disabled, shared=True),
    Filter("of another version", _contract, shared=True, at_home=True),
    Filter("barred by its placement group", _group),
    Filter(_SHORT[0], _vcpus, at_home=True),
    Filter(_SHORT[1], _memory, at_home=True),
    Filter(_SHORT[2], _disk, at_home=True),
    Filter(NOT_HEARD, _silence, shared=True, at_home=True),
)
"""In the order in which they are told; silence is the last, so that whatever it bars would do but for it."""
_SHARED = tuple(filter for filter in FILTERS if filter.shared)
_OWN = tuple(filter for filter in FILTERS if not filter.shared)
