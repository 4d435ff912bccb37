"""Volumes in Ceph that guests of other hosts open by themselves: which they are, and that it is over when it ends.

There is nothing to serve. What an export of this kind is for is its end: whoever has the volume open then is shut out
by Ceph, however far from here, and whether or not that host is heard.
"""

from __future__ import annotations

from pathlib import Path

from cumulet.drivers.contract import Seen
from cumulet.lib import crash, files
from cumulet.lib.log import Log
from cumulet.lib.rbd import Pool

log = Log("volumes")


class Opened:
    """A file for each, by the export's id, with the volume's: after a restart it must be known what is to end."""

    def __init__(self, directory: Path, pool: Pool) -> None:
        self._directory = directory
        self._pool = pool

    def put(self, id: str, volume: str) -> None:
        """From now on a guest of another host may have it open."""
        self._directory.mkdir(parents=True, exist_ok=True)
        files.write(self._directory / id, volume.encode(), durable=True)

    def end(self, id: str) -> None:
        """No guest has it open by this export any more, not even one whose host is not heard."""
        file = self._directory / id
        try:
            volume = file.read_text()
        except FileNotFoundError:
            return
        self._shut_out(volume, id)
        if self._pool.size(volume) is not None:
            self._pool.bar(volume, id)
        crash.point("volume.opened.barred")
        self._shut_out(volume, id)  # the guest's host may have been back in between
        crash.point("volume.opened.shut_out")
        file.unlink(missing_ok=True)

    def _shut_out(self, volume: str, id: str) -> None:
        """Not whoever was given the volume since: this host may have been away for long."""
        for address in self._pool.shut_out(volume, of=id):
            log.warning("a guest had it open still, and is shut out", volume=volume, export=id, address=address)

    def seen(self) -> list[Seen]:
        """Those that there are."""
        names = [file.name for file in self._directory.glob("volattach-*") if not file.suffix]
        return [Seen(id=id) for id in sorted(names)]

    def look(self, id: str) -> Seen | None:
        """One of them."""
        return Seen(id=id) if (self._directory / id).exists() else None
