"""What was deleted in Ceph: it is out of the way by another name at once, and its bytes go in the background.

Any host goes on with it. What others stand on goes with the last of these, which Ceph sees to.
"""

from __future__ import annotations

from cumulet.lib import crash
from cumulet.lib.errors import CumuletError
from cumulet.lib.log import Log
from cumulet.lib.rbd import Pool
from cumulet.lib.works import Work

log = Log("removing")
DELETED = "gone-"


def set_aside(pool: Pool, name: str, id: str, there: list[str]) -> None:
    """What has this name, of the id, is to be removed; `there` are the names that are taken."""
    number = 1
    while f"{DELETED}{id}-{number}" in there or not pool.rename(name, f"{DELETED}{id}-{number}"):
        number += 1


class Removing(Work):
    """Removes all that was deleted. What somebody uses still, or another host removes, is left for the next time."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(f"remove from {pool.name}")
        self._pool = pool

    def run(self) -> None:
        tried = set[str]()
        try:
            while left := [name for name in self._pool.volumes() if name.startswith(DELETED) and name not in tried]:
                tried.update(left)
                for name in left:
                    self._remove(name)
        except CumuletError as e:
            log.warning("nothing is removed until the next time", pool=self._pool.name, error=e)

    def _remove(self, name: str) -> None:
        try:
            for moment in self._pool.moments(name):
                self._pool.let_go(name, moment)
                crash.point("volume.removing.moment")
            if not self._pool.remove(name):
                log.warning("deleted, and used still", volume=name)
            crash.point("volume.removing.removed")
        except CumuletError as e:
            log.warning("deleted, and not removed yet", volume=name, error=e)
