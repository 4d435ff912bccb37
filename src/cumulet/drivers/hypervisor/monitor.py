"""What QEMU is asked and told past libvirt, of the disks of a guest that runs: libvirt has no call for it."""

from __future__ import annotations

import json
import time
from typing import Any

import libvirt_qemu

from cumulet.drivers.hypervisor.domain_xml import disk_alias
from cumulet.lib import crash
from cumulet.lib.errors import Failure

_PATIENCE = 2.0


def node_of(domain: Any, name: str) -> str | None:
    """QEMU's name of what is behind the disk; None where the guest has no such disk."""
    found = inserted(domain, name)
    return str(found["node-name"]) if found else None


def inserted(domain: Any, name: str) -> dict[str, Any]:
    """What QEMU says of what is behind a disk; nothing where it has no such device."""
    device = f"/machine/peripheral/{disk_alias(name)}/"
    found = [one for one in ask(domain, "query-block") if (one.get("qdev") or "").startswith(device)]
    return dict(found[0].get("inserted") or {}) if found else {}


def switch(domain: Any, node: str, files: list[dict[str, Any]]) -> None:
    """Have the device that uses `node` use the last of these files instead, which are opened in this order.

    QEMU mirrors nothing at all (sync=none) from the one to the other and switches over. Called again, it goes on with
    what was begun. Raises `Failure` where that cannot be, or takes too long.
    """
    target = files[-1]["node-name"]
    if target not in jobs(domain):
        for file in reversed(files):
            attempt(domain, "blockdev-del", {"node-name": file["node-name"]})
        for file in files:
            ask(domain, "blockdev-add", file)
            crash.point("hypervisor.switch.opened")
        ask(domain, "blockdev-mirror", {"job-id": target, "device": node, "target": target, "sync": "none"})
        crash.point("hypervisor.switch.begun")
    end = time.monotonic() + _PATIENCE
    while (known := jobs(domain)).get(target) is not None:
        if known[target]:
            attempt(domain, "block-job-complete", {"device": target})
        if time.monotonic() > end:
            raise Failure(f"QEMU has not switched from {node} to {target} within {_PATIENCE:g} s")
        time.sleep(0.02)
    crash.point("hypervisor.switch.made")


def jobs(domain: Any) -> dict[str, bool]:
    """The block jobs by name, and whether each is ready to switch."""
    return {job["device"]: bool(job.get("ready")) for job in ask(domain, "query-block-jobs")}


def ask(domain: Any, command: str, arguments: dict[str, Any] | None = None) -> Any:
    """What QEMU answers; raises `Failure` for an error."""
    answer = attempt(domain, command, arguments)
    if "error" in answer:
        raise Failure(f"{command} in the guest {domain.name()}: {answer['error'].get('desc')}")
    return answer["return"]


def attempt(domain: Any, command: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """What QEMU answers, and be it an error."""
    question = {"execute": command, **({"arguments": arguments} if arguments else {})}
    answer: dict[str, Any] = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(question), 0))
    return answer
