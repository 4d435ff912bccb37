"""Taking a disk from a guest by force: behind the device that the guest still sees, its file is swapped for nothing.

A guest that does not run its drivers never lets go of a device. So QEMU is told to switch from the disk to a null
device: a few milliseconds later the volume's file is closed, what the guest writes goes nowhere, and it reads zeros.
The dead device goes when the guest restarts.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from cumulet.drivers.hypervisor.monitor import ask, attempt, inserted, node_of, switch

_PREFIX = "cut-"
_LIBVIRTS = re.compile(r"libvirt-\d+-(format|storage)")


def done(domain: Any, names: list[str]) -> list[str]:
    """Those of these disks behind which there is nothing any more."""
    return [name for name in names if (node_of(domain, name) or "").startswith(_PREFIX)]


def cut(domain: Any, name: str, disk: ElementTree.Element) -> None:
    """Take the file from behind the disk of this name, whose XML is `disk`; raises `Failure` if that takes too long."""
    node, nothing = node_of(domain, name), _PREFIX + name[-20:]
    if node is None:
        return
    if node != nothing:
        size = int(inserted(domain, name)["image"]["virtual-size"])
        switch(domain, node, [{"driver": "null-co", "node-name": nothing, "size": size, "read-zeroes": True}])
    for element in (*disk.iterfind("source"), *disk.iter("backingStore")):
        for kind in ("format", "storage"):
            attempt(domain, "blockdev-del", {"node-name": f"libvirt-{element.get('index')}-{kind}"})


def touch(domain: Any, name: str) -> None:
    """Have QEMU read a sector of the disk, whatever comes of that: a connection that was lost it makes anew when it is
    to read or write, and the request that finds that out fails."""
    node = node_of(domain, name)
    if node is not None:
        attempt(domain, "human-monitor-command", {"command-line": f'qemu-io {node} "read 0 512"'})


def close_all_but(domain: Any, indexes: list[str]) -> None:
    """Close the files that libvirt opened for disks that are gone: where it fails to, it forgets that they are open.

    `indexes` are its numbers of those that are there. QEMU refuses to close what is used.
    """
    known = {f"libvirt-{index}-{kind}" for index in indexes for kind in ("format", "storage")}
    nodes = [node["node-name"] for node in ask(domain, "query-named-block-nodes", {"flat": True})]
    for node in sorted(node for node in nodes if _LIBVIRTS.fullmatch(node) and node not in known):  # format first
        attempt(domain, "blockdev-del", {"node-name": node})
