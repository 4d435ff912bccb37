"""What several hosts have at once: one that is away does not keep the others from what is theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cumulet.drivers.specs import Spec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Unreachable


def ensure(run: Run, specs: Mapping[str, Spec]) -> None:
    """Order each host its spec; raises `Unreachable` at the end, if hosts were away."""
    _each(run, specs, lambda host: run.driver("network", host).ensure(specs[host]))


def remove(run: Run, hosts: Iterable[str], id: str, removed: Callable[[str], None]) -> None:
    """Order each host to remove the thing, and write that down; raises `Unreachable` at the end, if hosts were away."""

    def take_away(host: str) -> None:
        run.driver("network", host).remove(id)
        removed(host)

    _each(run, hosts, take_away)


def _each(run: Run, hosts: Iterable[str], order: Callable[[str], None]) -> None:
    missed = []
    for host in sorted(hosts):
        try:
            order(host)
        except Unreachable as e:
            missed.append(str(e))
    if missed:
        raise Unreachable(f"{run.kind} {run.id} is not as it should be everywhere: {'; '.join(missed)}")
