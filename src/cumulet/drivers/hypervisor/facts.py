"""What the hypervisor driver writes into a domain's metadata: all that it must know and libvirt would not tell.

libvirt forgets why a domain is off when it is restarted, and never knew which start it was and whether we stopped it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args
from xml.etree import ElementTree

NAMESPACE = "urn:cumulet:guest:1"
PREFIX = "cumulet"

Mark = Literal["new", "up", "ours", "shutdown", "crashed", "moved"]


_MARKS: dict[str, Mark] = {mark: mark for mark in get_args(Mark)}


@dataclass(frozen=True)
class Facts:
    """A guest's id, the number of its start, the host's boot id at that time, and how far it has come."""

    id: str
    generation: int
    boot: str
    mark: Mark = "new"
    """new: not started yet; up: started; ours: we stop it; shutdown, crashed: it ended by itself; moved: elsewhere."""

    def marked(self, mark: Mark) -> Facts:
        """The same with another mark."""
        return replace(self, mark=mark)

    def ended(self, boot: str) -> str:
        """Why a domain that is off is off (`Seen.ended`), on a host whose boot id is `boot` now."""
        if self.mark in ("new", "ours"):
            return ""
        if self.mark == "up":
            return "lost" if boot != self.boot else "crashed"
        return self.mark

    def xml(self) -> str:
        """The metadata element."""
        fields = {"id": self.id, "generation": str(self.generation), "boot": self.boot, "mark": self.mark}
        return ElementTree.tostring(ElementTree.Element("guest", fields), encoding="unicode")


def parse(xml: str) -> Facts | None:
    """The facts in a metadata element, or None where it is not one of ours."""
    element = ElementTree.fromstring(xml)
    id, boot, generation, mark = (element.get(name, "") for name in ("id", "boot", "generation", "mark"))
    if element.tag.rpartition("}")[2] != "guest" or not id or not generation.isdecimal():
        return None
    return Facts(id, int(generation), boot, _MARKS.get(mark, "up"))
