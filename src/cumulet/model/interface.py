"""Network interfaces: an address in a subnet, its groups, and the guest that it is in."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import subnet as subnets
from cumulet.model.database import Row, Tx
from cumulet.model.schema import flag, id_column, metadata, moment, text, whole
from cumulet.model.work import wake

interface = sa.Table(
    "interface",
    metadata,
    id_column(key=True),
    id_column("account", index=True),
    id_column("vpc", index=True),
    id_column("subnet"),
    text("zone", 64),
    id_column("instance", index=True),
    text("desired", 10, default="present"),
    text("host", 64, default=None),
    text("also_on", 64),
    flag("stands_by"),
    whole("wanted"),
    whole("reached"),
    text("ip", 15),
    text("mac", 17),
    whole("device_index"),
    id_column("attachment"),
    moment("attached"),
    flag("delete_on_termination", True),
    flag("source_dest_check", True),
    flag("wants_public_ip"),
    text("announced", 15, default=None),
    text("description"),
    moment("created"),
    sa.UniqueConstraint("subnet", "ip"),
)
"""`wanted` and `reached` are steps of the instance's start number g (its generation): 2g, the tap is made; 2g + 1,
it is in its VPC, the guest holding it; 0, it is on no host. `announced` is the public address that its host may answer
for. `also_on` is another host that it may be on: its guest comes from there, or goes there, where it `stands_by`."""

TRIES = 5
"""How often addresses are chosen anew when somebody else has been quicker."""

interface_group = sa.Table(
    "interface_group",
    metadata,
    id_column("interface", key=True),
    sa.Column("group_id", sa.String(40), primary_key=True, index=True),
)


def create(tx: Tx, values: dict[str, object], subnet: Row, ip: str | None, groups: Iterable[str]) -> str:
    """A new interface at `ip`, or at any free address of `subnet`; gives its id.

    Raises `Refusal` InvalidIPAddress.InUse or InsufficientFreeAddressesInSubnet.
    """
    row = {**values, "id": ids.new("interface"), "mac": ids.mac(), "attachment": ids.new("attachment")}
    row |= {"account": subnet.account, "vpc": subnet.vpc, "subnet": subnet.id, "zone": subnet.zone, "created": tx.now}
    _insert_at_free_address(tx, row, subnet, ip)
    set_groups(tx, str(row["id"]), groups)
    return str(row["id"])


def create_many(
    tx: Tx, instances: list[str], values: dict[str, object], subnet: Row, groups: Iterable[str]
) -> list[str]:
    """A new interface for each of these instances, at any free addresses of `subnet`; gives their ids.

    Raises `Refusal` InsufficientFreeAddressesInSubnet when there are not so many.
    """
    base = {**values, "account": subnet.account, "vpc": subnet.vpc, "subnet": subnet.id, "zone": subnet.zone}
    for _ in range(TRIES):
        free = subnets.free_addresses(subnet, taken(tx, subnet.id), len(instances))
        if len(free) < len(instances):
            break
        made = [
            {**base, "id": ids.new("interface"), "mac": ids.mac(), "attachment": ids.new("attachment")}
            | {"instance": instance, "ip": ip, "created": tx.now}
            for instance, ip in zip(instances, free, strict=True)
        ]
        if _insert(tx, *made):
            pairs = ({"interface": row["id"], "group_id": group} for row in made for group in dict.fromkeys(groups))
            tx.insert(interface_group, *pairs)
            return [str(row["id"]) for row in made]
    raise _full(subnet)


def _full(subnet: Row) -> Refusal:
    return Refusal(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances.",
    )


def _insert_at_free_address(tx: Tx, row: dict[str, object], subnet: Row, ip: str | None) -> None:
    for address in [ip] if ip else subnets.candidates(subnet.cidr):
        if _insert(tx, row | {"ip": address}):
            return
    if ip:
        raise Refusal("InvalidIPAddress.InUse", f"The specified address {ip} is already in use.")
    last = subnets.free_address(tx, subnet, taken(tx, subnet.id))
    if last is None or not _insert(tx, row | {"ip": last}):
        raise _full(subnet)


def _insert(tx: Tx, *rows: dict[str, object]) -> bool:
    try:
        with tx.attempt():
            tx.insert(interface, *rows)
    except IntegrityError:
        return False
    return True


def taken(tx: Tx, subnet: str) -> set[str]:
    """The addresses in use in a subnet."""
    return {row.ip for row in tx.all(_TAKEN, of=subnet)}


_TAKEN = sa.select(interface.c.ip).where(interface.c.subnet == sa.bindparam("of"))


def set_groups(tx: Tx, id: str, groups: Iterable[str]) -> None:
    tx.change(interface_group.delete().where(interface_group.c.interface == id))
    tx.insert(interface_group, *({"interface": id, "group_id": group} for group in dict.fromkeys(groups)))


def groups(tx: Tx, id: str) -> list[str]:
    """The ids of the interface's groups, in a stable order."""
    query = sa.select(interface_group.c.group_id).where(interface_group.c.interface == id)
    return list(tx.connection.scalars(query.order_by(interface_group.c.group_id)))


def find(tx: Tx, id: str) -> Row | None:
    return tx.first(_FIND, of=id)


_FIND = sa.select(interface).where(interface.c.id == sa.bindparam("of"))


def of_instance(tx: Tx, instance: str) -> list[Row]:
    return tx.all(_OF_INSTANCE, of=instance)


_OF_INSTANCE = sa.select(interface).where(interface.c.instance == sa.bindparam("of")).order_by(interface.c.device_index)


def of_instances(tx: Tx, instances: list[str]) -> list[Row]:
    return tx.all(_OF_INSTANCES, of=instances)


_OF_INSTANCES = (
    sa.select(interface)
    .where(interface.c.instance.in_(sa.bindparam("of", expanding=True)))
    .order_by(interface.c.instance, interface.c.device_index)
)


def of_account(tx: Tx, account: str) -> list[Row]:
    return tx.all(_OF_ACCOUNT, of=account)


_OF_ACCOUNT = (
    sa.select(interface).where(interface.c.account == sa.bindparam("of")).order_by(interface.c.created, interface.c.id)
)


def groups_of_account(tx: Tx, account: str) -> dict[str, list[str]]:
    """Interface id to the ids of its groups, for all interfaces of an account."""
    return _by_interface(tx.all(_GROUPS_OF_ACCOUNT, of=account))


_GROUPS_OF_ACCOUNT = (
    sa.select(interface_group)
    .join(interface, interface.c.id == interface_group.c.interface)
    .where(interface.c.account == sa.bindparam("of"))
    .order_by(interface_group.c.group_id)
)


def _by_interface(rows: list[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.interface, []).append(row.group_id)
    return found


def groups_of(tx: Tx, interfaces: list[str]) -> dict[str, list[str]]:
    """Interface id to the ids of its groups, for these interfaces."""
    return _by_interface(tx.all(_GROUPS_OF, of=interfaces))


_GROUPS_OF = (
    sa.select(interface_group)
    .where(interface_group.c.interface.in_(sa.bindparam("of", expanding=True)))
    .order_by(interface_group.c.group_id)
)


def free_count(tx: Tx, subnet: Row) -> int:
    """How many addresses of a subnet can still be given out."""
    prefix = int(str(subnet.cidr).partition("/")[2])
    size: int = 2 ** (32 - prefix)
    return size - len(subnets.RESERVED) - len(taken(tx, subnet.id))


def used_counts(tx: Tx, account: str) -> dict[str, int]:
    """Subnet id to the number of its addresses in use, for all subnets of an account that have any."""
    query = sa.select(interface.c.subnet, sa.func.count().label("used")).where(interface.c.account == account)
    return {row.subnet: int(row.used) for row in tx.all(query.group_by(interface.c.subnet))}


def change(tx: Tx, id: str, **values: object) -> None:
    """Change what does not decide where the interface is, and have it looked at."""
    tx.update(interface, {"id": id}, **values)
    wake(tx, "interface", id)


def announce(tx: Tx, id: str, public_ip: str | None) -> None:
    """From now on the interface's host may answer for this public address."""
    tx.update(interface, {"id": id}, announced=public_ip)


def want(tx: Tx, instance: str, step: int) -> None:
    """Have an instance's interfaces brought to this step."""
    tx.change(_WANT, of=instance, step=step)
    for row in of_instance(tx, instance):
        wake(tx, "interface", row.id)


_WANT = (
    interface.update()
    .where(interface.c.instance == sa.bindparam("of"), interface.c.wanted < sa.bindparam("step"))
    .values(wanted=sa.bindparam("step"))
)


def say_arrived(tx: Tx, row: Row, there: str) -> None:
    """Its guest is on this host, where its tap is to be plugged; it is to leave the other one."""
    values = {"host": there, "also_on": row.host, "stands_by": False, "reached": interface.c.wanted - 1}
    tx.change(interface.update().where(interface.c.id == row.id, interface.c.host == row.host).values(**values))
    wake(tx, "interface", row.id)


def is_staged(row: Row) -> bool:
    """Whether what is wanted of it is a tap for a guest to be started with."""
    return bool(row.wanted > 0 and row.wanted % 2 == 0)


def say_reached(tx: Tx, id: str, step: int) -> bool:
    """Its host has brought it to this step; False if another is wanted by now."""
    return tx.change(_SAY_REACHED, of=id, step=step) > 0


_SAY_REACHED = (
    interface.update()
    .where(interface.c.id == sa.bindparam("of"), interface.c.wanted == sa.bindparam("step"))
    .values(reached=sa.bindparam("step"))
)
