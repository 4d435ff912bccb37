"""What must be true of a VPC: with guests on several hosts, each of these knows where those of the others are."""

from __future__ import annotations

from cumulet.control import everywhere
from cumulet.drivers.specs import PeerSpec, VpcSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Failure, Impossible
from cumulet.lib.log import Log
from cumulet.model import vlan, vpc, vpc_host, work
from cumulet.model.database import Row

log = Log("vpc")


def reconcile(run: Run, id: str) -> None:
    with run.read() as tx:
        row, number = vpc.by_id(tx, id), vlan.of(tx, id)
        guests = vpc_host.guests(tx, id)
        there, also = vpc_host.hosts(tx, id), vpc_host.also(tx, id)
    places = also | {guest.host: guest.address for guest in guests}
    joined = {host for host, address in places.items() if address}
    wanted = joined if row is not None and len(joined) > 1 else set()
    _say_who_is_alone(id, places)
    if row is not None:
        _make(run, row, number, guests, wanted, there)
    _remove(run, id, there - wanted)
    if row is None:
        with run.write() as tx:
            vlan.free(tx, id)
            work.forget(tx, "vpc", id)


def _make(run: Run, row: Row, number: int, guests: list[Row], wanted: set[str], there: set[str]) -> None:
    if wanted - there:
        with run.write() as tx:
            tx.insert(vpc_host.vpc_host, *({"vpc": row.id, "host": host} for host in sorted(wanted - there)))
    everywhere.ensure(run, {host: _spec(row, number, guests, host) for host in wanted})


def _spec(row: Row, number: int, guests: list[Row], host: str) -> VpcSpec:
    elsewhere = [guest for guest in guests if guest.host != host and guest.address]
    peers = [PeerSpec(ip=guest.ip, via=guest.address) for guest in elsewhere]
    return VpcSpec(id=row.id, cidr=row.cidr, vni=row.vni, vlan=number, peers=peers)


def _remove(run: Run, id: str, hosts: set[str]) -> None:
    table = vpc_host.vpc_host

    def removed(host: str) -> None:
        with run.write() as tx:
            tx.change(table.delete().where(table.c.vpc == id, table.c.host == host))

    everywhere.remove(run, hosts, id, removed)


def _say_who_is_alone(id: str, places: dict[str, str]) -> None:
    alone = vpc_host.without_address(places)
    if alone:
        log.warning("guests reach no other host: no tunnel_address", vpc=id, hosts=alone)


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """A tunnel that a host refuses stays as it is there."""
    raise Failure(f"vpc {id} was refused: {reason}")
