"""The cables of a laboratory: a bridge between hosts, one for public addresses, and a namespace as the world.

All of it is in the network namespace of whoever calls, which should be one of the laboratory's own.
"""

from __future__ import annotations

from cumulet.lib.command import run

CONTROLLER = "10.99.0.1"
WORLD = "world"
WORLD_ADDRESS = "192.0.2.2"
POOL = "198.51.100.0/24"


def address(number: int) -> str:
    """Of the host with this number (1, 2, …) among the hosts."""
    return f"10.99.0.{10 + number}"


def make() -> None:
    """Both bridges, the controller's address, and the world behind the public one."""
    _ip(
        "link set lo up",
        "link add underlay type bridge",
        f"addr add {CONTROLLER}/24 dev underlay",
        "link set underlay up",
        "link add public type bridge",
        "link set public up",
        f"netns add {WORLD}",
        f"link add w-public type veth peer name eth0 netns {WORLD}",
        "link set w-public master public",
        "link set w-public up",
    )
    _in(
        WORLD,
        "link set lo up",
        f"addr add {WORLD_ADDRESS}/24 dev eth0",
        "link set eth0 up",
        f"route add {POOL} dev eth0",
    )


def plug(host: str, number: int) -> None:
    """A host's namespace with its two cables, new."""
    _ip(
        f"netns add {host}",
        f"link add u-{host} type veth peer name eth0 netns {host}",
        f"link set u-{host} master underlay",
        f"link set u-{host} up",
        f"link add p-{host} type veth peer name pub0 netns {host}",
        f"link set p-{host} master public",
        f"link set p-{host} up",
    )
    _in(
        host,
        "link set lo up",
        f"addr add {address(number)}/24 dev eth0",
        "link set eth0 up",
        f"addr add 192.0.2.{10 + number}/24 dev pub0",
        "link set pub0 up",
        f"route add default via {WORLD_ADDRESS}",
        f"route add {POOL} dev pub0",
    )


def unplug(host: str) -> None:
    """No namespace of this host any more, nor what it had."""
    for link in (f"u-{host}", f"p-{host}"):
        run(
            ["ip", "link", "delete", link], check=False
        )  # else it goes with the namespace: some time after the next line
    _ip(f"netns delete {host}")


def cut(host: str) -> None:
    """The host reaches nobody, and nobody it, but by the public addresses of its guests."""
    _ip(f"link set u-{host} down")


def heal(host: str) -> None:
    """The host is reached again."""
    _ip(f"link set u-{host} up")


def _ip(*lines: str) -> None:
    for line in lines:
        run(["ip", *line.split()])


def _in(namespace: str, *lines: str) -> None:
    _ip(*(f"-n {namespace} {line}" for line in lines))
