"""Taking a disk from a guest by force: behind the device that the guest still sees, its file is swapped for nothing.

A guest that does not run its drivers never lets go of a device. So QEMU is told to mirror nothing at all (sync=none)
from the disk to a null device and to switch over to that: a few milliseconds later the volume's file is closed, what
the guest writes goes nowhere, and it reads zeros. The dead device goes when the guest restarts. libvirt has no call
for any of that.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from xml.etree import ElementTree

import libvirt_qemu

from cumulet.drivers.hypervisor.domain_xml import disk_alias
from cumulet.lib.errors import Failure

_PREFIX = "cut-"
_LIBVIRTS = re.compile(r"libvirt-\d+-(format|storage)")
_PATIENCE = 2.0


def done(domain: Any, names: list[str]) -> list[str]:
    """Those of these disks behind which there is nothing any more."""
    return [name for name in names if (_node(domain, name) or "").startswith(_PREFIX)]


def cut(domain: Any, name: str, disk: ElementTree.Element) -> None:
    """Take the file from behind the disk of this name, whose XML is `disk`; raises `Failure` if that takes too long."""
    node, nothing = _node(domain, name), _PREFIX + name[-20:]
    if node is None:
        return
    if node != nothing:
        _switch(domain, node, nothing, int(_inserted(domain, name)["image"]["virtual-size"]))
    for element in (*disk.iterfind("source"), *disk.iter("backingStore")):
        for kind in ("format", "storage"):
            _try(domain, "blockdev-del", {"node-name": f"libvirt-{element.get('index')}-{kind}"})


def touch(domain: Any, name: str) -> None:
    """Have QEMU read a sector of the disk, whatever comes of that: a connection that was lost it makes anew when it is
    to read or write, and the request that finds that out fails."""
    node = _node(domain, name)
    if node is not None:
        _try(domain, "human-monitor-command", {"command-line": f'qemu-io {node} "read 0 512"'})


def close_all_but(domain: Any, indexes: list[str]) -> None:
    """Close the files that libvirt opened for disks that are gone: where it fails to, it forgets that they are open.

    `indexes` are its numbers of those that are there. QEMU refuses to close what is used.
    """
    known = {f"libvirt-{index}-{kind}" for index in indexes for kind in ("format", "storage")}
    nodes = [node["node-name"] for node in _ask(domain, "query-named-block-nodes", {"flat": True})]
    for node in sorted(node for node in nodes if _LIBVIRTS.fullmatch(node) and node not in known):  # format first
        _try(domain, "blockdev-del", {"node-name": node})


def _switch(domain: Any, node: str, nothing: str, size: int) -> None:
    if nothing not in _jobs(domain):
        _try(domain, "blockdev-del", {"node-name": nothing})
        _ask(domain, "blockdev-add", {"driver": "null-co", "node-name": nothing, "size": size, "read-zeroes": True})
        _ask(domain, "blockdev-mirror", {"job-id": nothing, "device": node, "target": nothing, "sync": "none"})
    end = time.monotonic() + _PATIENCE
    while (jobs := _jobs(domain)).get(nothing) is not None:
        if jobs[nothing]:
            _try(domain, "block-job-complete", {"device": nothing})
        if time.monotonic() > end:
            raise Failure(f"taking {node} from its guest by force: QEMU has not switched within {_PATIENCE:g} s")
        time.sleep(0.02)


def _jobs(domain: Any) -> dict[str, bool]:
    """The block jobs by name, and whether each is ready to switch."""
    return {job["device"]: bool(job.get("ready")) for job in _ask(domain, "query-block-jobs")}


def _node(domain: Any, name: str) -> str | None:
    found = _inserted(domain, name)
    return str(found["node-name"]) if found else None


def _inserted(domain: Any, name: str) -> dict[str, Any]:
    """What QEMU says of what is behind a disk; nothing where it has no such device."""
    device = f"/machine/peripheral/{disk_alias(name)}/"
    found = [one for one in _ask(domain, "query-block") if (one.get("qdev") or "").startswith(device)]
    return dict(found[0].get("inserted") or {}) if found else {}


def _ask(domain: Any, command: str, arguments: dict[str, Any] | None = None) -> Any:
    answer = _try(domain, command, arguments)
    if "error" in answer:
        raise Failure(f"{command} in the guest {domain.name()}: {answer['error'].get('desc')}")
    return answer["return"]


def _try(domain: Any, command: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """What QEMU answers, and be it an error."""
    question = {"execute": command, **({"arguments": arguments} if arguments else {})}
    answer: dict[str, Any] = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(question), 0))
    return answer
