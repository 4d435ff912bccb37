"""The rest of the categories: services, networks, addresses, types, images, instances, volumes, the database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cumulet.lib.errors import Failure
from cumulet.nova_manage.table import Arguments, Cumulet, action

BINARIES = {"image": "glance-api", "object": "nova-objectstore"}
"""What a role's program was called, where it was not nova-ROLE."""


def _lines(form: str, head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    return "\n".join((form % row).rstrip() for row in [head, *rows])


def _text(value: Any) -> str:
    return "None" if value is None else str(value)


@action("db", "sync", "version", needs=0)
def sync(cloud: Cumulet, given: Arguments) -> str:
    return cloud.say("db", "sync")


@action("db", "version")
def db_version(cloud: Cumulet, given: Arguments) -> str:
    return str(cloud.ask("db", "version")["version"])


@action("service", "list", "host", "service", needs=0)
def list_services(cloud: Cumulet, given: Arguments) -> str:
    rows = []
    for one in cloud.ask("service", "list"):
        binary = BINARIES.get(one["binary"], f"nova-{one['binary']}")
        if given.get("host", one["host"]) == one["host"] and given.get("service", binary) == binary:
            heard = datetime.fromtimestamp(datetime.now(UTC).timestamp() - one["heard_seconds_ago"], UTC)
            status, smiley = "enabled" if one["enabled"] else "disabled", ":-)" if one["alive"] else "XXX"
            rows.append((binary, one["host"], one["zone"], status, smiley, f"{heard:%Y-%m-%d %H:%M:%S}"))
    head = ("Binary", "Host", "Zone", "Status", "State", "Updated_At")
    return _lines("%-16s %-36s %-16s %-10s %-5s %-10s", head, rows)


@action("service", "enable", "host", "service", needs=1)
def enable_service(cloud: Cumulet, given: Arguments) -> str:
    return _switch(cloud, given, "enable")


@action("service", "disable", "host", "service", needs=1)
def disable_service(cloud: Cumulet, given: Arguments) -> str:
    return _switch(cloud, given, "disable")


def _switch(cloud: Cumulet, given: Arguments, act: str) -> str:
    service = given.get("service", "nova-compute")
    if service != "nova-compute":
        raise Failure(f"a host is {act}d as a whole, by its nova-compute, and not by its {service}")
    cloud.ask("host", act, given["host"])
    return ""


@action("service", "describe_resource", "host")
def describe_resource(cloud: Cumulet, given: Arguments) -> str:
    found = cloud.ask("host", "show", given["host"])
    rows = [
        (found["name"], "(total)", *_amounts(found["limit"])),
        (found["name"], "(used_now)", *_amounts(found["used"])),
    ]
    rows += [(found["name"], one["account"], *_amounts(one)) for one in found["accounts"]]
    return _lines("%-16s %-16s %6s %10s %8s", ("HOST", "PROJECT", "cpu", "mem(mb)", "hdd"), rows)


def _amounts(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{one[part]:.10g}" for part in ("vcpus", "memory_mib", "disk_gib"))


@action("host", "list", "zone", needs=0)
def list_hosts(cloud: Cumulet, given: Arguments) -> str:
    rows = [
        (one["name"], zone)
        for one in cloud.ask("host", "list")
        for zone in one["zones"]
        if given.get("zone", zone) == zone
    ]
    return _lines("%-25s\t%-15s", ("host", "zone"), rows)


_CUT = ("label", "fixed_range_v4", "num_networks", "network_size")
_UNMEANT = "multi_host vlan vpn fixed_range_v6 gateway_v6 bridge bridge_interface dns1 dns2 project_id priority uuid"


@action("network", "create", *_CUT, *_UNMEANT.split(), needs=1)
def create_network(cloud: Cumulet, given: Arguments) -> str:
    """What is left out comes from the flags fixed_range, num_networks and network_size."""
    unmeant = [name for name in given if name not in _CUT]
    cut = ["--count", given.get("num_networks", "1"), "--size", given.get("network_size", "256")]
    cloud.ask("network", "create", given["label"], given.get("fixed_range_v4", "10.0.0.0/8"), *cut)
    return f"without a meaning today: {', '.join(unmeant)}" if unmeant else ""


@action("network", "list")
def list_networks(cloud: Cumulet, given: Arguments) -> str:
    form = "%-5s\t%-18s\t%-15s\t%-15s\t%-15s\t%-15s\t%-15s\t%-15s\t%-15s"
    head = ("id", "IPv4", "IPv6", "start address", "DNS1", "DNS2", "VlanID", "project", "uuid")
    found = enumerate(cloud.ask("network", "list"), 1)
    rows = [
        (
            *(n, one["cidr"], "None", _start(one["cidr"]), "None", "None"),
            *(_text(one["vlan"]), _text(one["account"]), "None"),
        )
        for n, one in found
    ]
    return _lines(form, head, rows)


def _start(cidr: str) -> str:
    import ipaddress

    return str(ipaddress.IPv4Network(cidr)[4])


@action("network", "delete", "fixed_range")
def delete_network(cloud: Cumulet, given: Arguments) -> str:
    return cloud.say("network", "remove", given["fixed_range"])


@action("floating", "create", "ip_range", "pool", "interface", needs=1)
def create_floating(cloud: Cumulet, given: Arguments) -> str:
    cloud.ask("pool", "create", given["ip_range"])
    return ""


@action("floating", "delete", "ip_range")
def delete_floating(cloud: Cumulet, given: Arguments) -> str:
    cloud.ask("pool", "remove", given["ip_range"])
    return ""


@action("floating", "list", "host", needs=0)
def list_floating(cloud: Cumulet, given: Arguments) -> str:
    """Those that are taken, one a line, and how many of each range are free."""
    taken = [one for one in cloud.ask("address", "list") if given.get("host", one["host"]) == one["host"]]
    lines = [f"{_text(one['host'])}\t{one['address']}\t{_text(one['instance'])}" for one in taken]
    pools = [] if "host" in given else cloud.ask("pool", "list")
    return "\n".join([*lines, *(f"None\t{one['addresses']}\t{one['size'] - one['taken']} free" for one in pools)])


@action("fixed", "list", "host", needs=0)
def list_fixed(cloud: Cumulet, given: Arguments) -> str:
    found = cloud.ask("interface", "list", *(["--host", given["host"]] if "host" in given else []))
    head = ("network", "IP address", "MAC address", "hostname", "host")
    rows = [(one["network"], one["address"], one["mac"], one["instance"], _text(one["host"])) for one in found]
    return _lines("%-18s\t%-15s\t%-17s\t%-15s\t%s", head, rows)


_FLAVOR = ("name", "memory", "cpu", "local_gb", "flavor", "swap", "rxtx_quota", "rxtx_cap")


@action("flavor", "create", *_FLAVOR, needs=5)
def create_flavor(cloud: Cumulet, given: Arguments) -> str:
    if given["name"] in [one["name"] for one in cloud.ask("type", "list")]:
        raise Failure(f"there is an instance type {given['name']} already")
    cloud.ask("type", "add", given["name"], given["cpu"], given["memory"])
    return f"{given['name']} created"


@action("flavor", "delete", "name", "purge", needs=1)
def delete_flavor(cloud: Cumulet, given: Arguments) -> str:
    cloud.say("type", "remove", given["name"])
    return f"{given['name']} deleted"


@action("flavor", "list", "name", needs=0)
def list_flavors(cloud: Cumulet, given: Arguments) -> str:
    found = [one for one in cloud.ask("type", "list") if given.get("name", one["name"]) == one["name"]]
    return "\n".join(
        f"{one['name']}: Memory: {one['memory_mib']}MB, VCPUS: {one['vcpus']}, Storage: 0GB, FlavorID: {number}, "
        "Swap: 0MB, RXTX Quota: 0GB, RXTX Cap: 0MB"
        for number, one in enumerate(found, 1)
    )


_IMAGE = ("path", "owner", "name", "is_public", "architecture", "container_format", "disk_format")


@action("image", "image_register", *_IMAGE, needs=2)
def register_image(cloud: Cumulet, given: Arguments) -> str:
    words = ["--account", given["owner"]]
    words += ["--name", given["name"]] if "name" in given else []
    words += ["--public"] if given.get("is_public", "T").upper().startswith("T") else []
    made = cloud.ask("image", "import", given["path"], *words)
    return f"Image registered to {made['id']}."


@action("vm", "list", "host", needs=0)
def list_instances(cloud: Cumulet, given: Arguments) -> str:
    form = "%-10s %-15s %-10s %-10s %-26s %-9s %-9s %-9s  %-10s %-10s %-10s %-5s"
    head = ("instance", "node", "type", "state", "launched", "image", "kernel", "ramdisk")
    more = ("project", "user", "zone", "index")
    words = ["--host", given["host"]] if "host" in given else []
    return _lines(form, (*head, *more), [_instance(one) for one in cloud.ask("instance", "list", *words)])


def _instance(one: dict[str, Any]) -> tuple[Any, ...]:
    launched = f"{datetime.fromtimestamp(one['launched'], UTC):%Y-%m-%d %H:%M:%S}"
    front = (one["id"], _text(one["host"]), one["type"], one["state"], launched, one["image"], "None", "None")
    return (*front, one["account"], "None", one["zone"], one["launch_index"])


@action("volume", "delete", "volume_id")
def delete_volume(cloud: Cumulet, given: Arguments) -> str:
    return cloud.say("volume", "delete", given["volume_id"])


@action("volume", "reattach", "volume_id")
def reattach_volume(cloud: Cumulet, given: Arguments) -> str:
    """The instance that has it is looked at now, as it would be by itself."""
    found = {one["id"]: one["instance"] for one in cloud.ask("volume", "list")}
    if found.get(given["volume_id"]) is None:
        raise Failure(f"the volume {given['volume_id']} is in no instance")
    cloud.ask("instance", "reset", found[given["volume_id"]])
    return ""


@action("config", "list")
def list_config(cloud: Cumulet, given: Arguments) -> str:
    return "\n".join(f"{one['key']}={one['value']}" for one in cloud.ask("config"))


@action("shell", "python")
def python(cloud: Cumulet, given: Arguments) -> str:
    return cloud.run("shell")


@action("shell", "run", "shell", needs=0)
def run_shell(cloud: Cumulet, given: Arguments) -> str:
    return cloud.run("shell")


@action("shell", "script", "path")
def script(cloud: Cumulet, given: Arguments) -> str:
    return cloud.run("shell", "--script", given["path"])


@action("version", "list")
def version(cloud: Cumulet, given: Arguments) -> str:
    from cumulet import __version__

    return f"{__version__} (cumulet)"
