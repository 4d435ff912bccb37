"""A disk that is exported at another address than when the guest was started: the guest is led on to it as it runs.

QEMU connects again to the address that it was given, and libvirt changes the source of no hard disk. So QEMU is told
to switch to a connection to the new address, and then to another one that has libvirt's names of the first, by which
libvirt resizes and closes it. What libvirt shows of the disk is the address at which it began.
"""

from __future__ import annotations

import socket
from typing import Any
from xml.etree import ElementTree

from cumulet.drivers.hypervisor.domain_xml import export_port
from cumulet.drivers.hypervisor.monitor import ask, attempt, node_of, switch
from cumulet.drivers.specs import DiskSpec
from cumulet.lib.errors import Failure

_PREFIX = "led-"
_SECONDS = 2.0


def ensure(domain: Any, disk: DiskSpec, there: ElementTree.Element) -> None:
    """Have an exported disk, whose XML is `there`, be the one at the address of its spec; raises `Failure` where nobody
    serves it there. One by iSCSI is left alone: QEMU waits for its old address before it does anything else."""
    source = there.find("source[@protocol='nbd']")
    if source is None:
        return
    own, between = f"libvirt-{source.get('index')}", _PREFIX + disk.name[-16:]
    node = node_of(domain, disk.name)
    if node not in (f"{own}-format", f"{between}-format"):
        return  # it has been cut
    files = {one["node-name"]: one["file"] for one in ask(domain, "query-named-block-nodes", {"flat": True})}
    place = f"{disk.export}:{export_port(disk)}"
    if node == f"{own}-format" and f"//{place}/" in files[f"{own}-storage"]:
        if not files.keys().isdisjoint(_names(between)):
            _forget(domain, between)
        return
    _check_served(disk)
    if node == f"{own}-format":
        switch(domain, node, _files(between, own, disk))
    switch(domain, f"{between}-format", _files(own, own, disk))
    _forget(domain, between)


def _files(prefix: str, own: str, disk: DiskSpec) -> list[dict[str, Any]]:
    """As libvirt opens them, by names that begin with `prefix`; it has made the credentials for `own`."""
    storage, format = _names(prefix)
    server = {"type": "inet", "host": disk.export, "port": str(export_port(disk))}
    nbd: dict[str, Any] = {"driver": "nbd", "server": server, "export": disk.name}
    nbd |= {"tls-creds": f"obj{own}-storage_tls0"} if disk.tls else {}
    how = {"read-only": False, "discard": "unmap", "cache": {"direct": False, "no-flush": False}}
    return [{"node-name": storage, **nbd, **how}, {"node-name": format, "driver": "raw", "file": storage, **how}]


def _names(prefix: str) -> tuple[str, str]:
    return f"{prefix}-storage", f"{prefix}-format"


def _forget(domain: Any, between: str) -> None:
    """Close what was open on the way."""
    storage, format = _names(between)
    attempt(domain, "block-job-cancel", {"device": format, "force": True})  # of somebody who has died meanwhile
    for name in (format, storage):
        attempt(domain, "blockdev-del", {"node-name": name})


def _check_served(disk: DiskSpec) -> None:
    """QEMU would wait for a host that does not answer before it does anything else."""
    try:
        socket.create_connection((disk.export, export_port(disk)), timeout=_SECONDS).close()
    except OSError as e:
        raise Failure(f"{disk.volume} at {disk.export}, TCP port {export_port(disk)}: {e}") from e
