"""The lives of instances that move to another host while they run."""

from __future__ import annotations

from crash.lives import Life, reboot, stop, terminate
from crash.site import Site
from crash.volume_lives import beside, migrate

from cumulet.drivers.hypervisor.fake import FakeHypervisor


def _move(site: Site, found: list[str]) -> None:
    migrate(site, found[0], "live")


def _move_and_terminate(site: Site, found: list[str]) -> None:
    _move(site, found)
    terminate(site, found[0])


def _terminate_on_the_way(site: Site, found: list[str]) -> None:
    """It is on its way when it is to go."""
    _move(site, found)
    for _ in range(8):
        site.engine.run_due()
    terminate(site, found[0])


def _move_and_stop(site: Site, found: list[str]) -> None:
    _move(site, found)
    stop(site, found[0])


def _move_and_reboot(site: Site, found: list[str]) -> None:
    _move(site, found)
    reboot(site, found[0])


def _refused(site: Site, found: list[str]) -> None:
    """The hypervisor cannot, so that it stays."""
    _refuse(site)
    _move(site, found)


def _refused_and_stopped(site: Site, found: list[str]) -> None:
    """The hypervisor cannot, so that it moves by a stop and a start."""
    _refuse(site)
    migrate(site, found[0], "live or cold")


def _refuse(site: Site) -> None:
    for agent in site.agents():
        if isinstance(agent.driver, FakeHypervisor):
            agent.driver.refuses_to_leave = True


LIVES = [
    Life("migrate live", beside, _move, ["running"], every=4),
    Life("migrate live, and terminate on the way", beside, _terminate_on_the_way, ["terminated"], every=6),
]
"""One line for each kind of life, as in `crash.lives`."""
LONG_LIVES = [
    *(life._replace(name=f"{life.name}, at each point", every=1) for life in LIVES),
    Life("migrate live and terminate", beside, _move_and_terminate, ["terminated"]),
    Life("migrate live and stop", beside, _move_and_stop, ["stopped"]),
    Life("migrate live and reboot", beside, _move_and_reboot, ["running"]),
    Life("migrate live in vain", beside, _refused, ["running"]),
    Life("migrate live in vain, then by a stop", beside, _refused_and_stopped, ["running"]),
]
"""Those that take minutes (`make test-slow`)."""
