"""The lives of instances that move to another host while they run."""

from __future__ import annotations

from contextlib import suppress

from crash.lives import Life, reboot, stop, terminate
from crash.site import Site
from crash.volume_lives import attach, beside, create_volume, migrate

from cumulet.control import moving
from cumulet.drivers.hypervisor.fake import FakeHypervisor
from cumulet.lib.errors import Failure


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


def _cancel_on_the_way(site: Site, found: list[str]) -> None:
    """It is on its way when the operator ends that, or has come to its end already."""
    _move(site, found)
    for _ in range(8):
        site.engine.run_due()
    _cancel(site, found)


def _move_and_cancel(site: Site, found: list[str]) -> None:
    _move(site, found)
    _cancel(site, found)


def _refused_and_cancelled(site: Site, found: list[str]) -> None:
    """It is to move by a stop when the operator ends that."""
    _refused_and_stopped(site, found)
    for _ in range(8):
        site.engine.run_due()
    _cancel(site, found)


def _cancel(site: Site, found: list[str]) -> None:
    with site.database.write() as tx, suppress(Failure):
        moving.cancel(tx, site.config, found[0])


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


def _beside_with_encrypted(site: Site) -> list[str]:
    """It has an encrypted volume on its own host."""
    found = [*beside(site), create_volume(site, "h2", encrypted=True)]
    site.settle()
    attach(site, found[1], found[0])
    site.settle()
    return found


LIVES = [
    Life("migrate live", beside, _move, ["running"], every=4),
    Life("migrate live, and terminate on the way", beside, _terminate_on_the_way, ["terminated"], every=6),
    Life("migrate live, and cancel on the way", beside, _cancel_on_the_way, ["running"], every=6),
]
"""One line for each kind of life, as in `crash.lives`."""
LONG_LIVES = [
    *(life._replace(name=f"{life.name}, at each point", every=1) for life in LIVES),
    Life("migrate live with an encrypted volume", _beside_with_encrypted, _move, ["running"], every=3),
    Life("migrate live and terminate", beside, _move_and_terminate, ["terminated"]),
    Life("migrate live and stop", beside, _move_and_stop, ["stopped"]),
    Life("migrate live and reboot", beside, _move_and_reboot, ["running"]),
    Life("migrate live and cancel", beside, _move_and_cancel, ["running"]),
    Life("migrate live in vain, and cancel", beside, _refused_and_cancelled, ["running"]),
    Life("migrate live in vain", beside, _refused, ["running"]),
    Life("migrate live in vain, then by a stop", beside, _refused_and_stopped, ["running"]),
]
"""Those that take minutes (`make test-slow`)."""
