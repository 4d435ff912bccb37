"""What must be true of a network interface: its tap, rules, DHCP and metadata are on its guest's host, or nowhere."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from cumulet.control import lost
from cumulet.control.instance import refuse
from cumulet.drivers.specs import InterfaceSpec, MetadataSpec, ProfileSpec
from cumulet.engine.engine import Run
from cumulet.lib.errors import Impossible, Later
from cumulet.model import (
    Tx,
    address,
    address_pool,
    group,
    host,
    instance,
    interface,
    profile,
    subnet,
    tag,
    vpc_host,
    work,
)
from cumulet.model.database import Row


def reconcile(run: Run, id: str) -> None:
    row, held, spec, beside = _read(run, id)
    if held is not None and profile.is_stale(held, run.clock.now()):
        with run.write() as tx:
            profile.renew(tx, held)
        row, held, spec, beside = _read(run, id)
    if row is None:
        with run.write() as tx:
            work.forget(tx, "interface", id)
    elif spec is not None:
        _make(run, row, spec)
        _say_reached(run, row)
        _leave_other_host(run, row, spec, beside)
        _stand_by(run, row, spec, beside)
    else:
        _leave_host(run, row)


class _Read(NamedTuple):
    """An interface; where it is wanted, also its guest's instance profile, what is to be there, and `_beside`."""

    row: Row | None
    held: Row | None = None
    spec: InterfaceSpec | None = None
    beside: str = ""


def _read(run: Run, id: str) -> _Read:
    with run.read() as tx:
        row = interface.find(tx, id)
        if row is None or row.wanted <= 0:
            return _Read(row)
        held = profile.of_instance(tx, row.instance)
        guest = instance.find(tx, row.instance)
        spec = _spec(tx, row, guest, held, run.settings.region) if row.host else None
        return _Read(row, held, spec, _beside(row, guest))


def _make(run: Run, row: Row, spec: InterfaceSpec) -> None:
    network = run.driver("network", row.host)
    if row.announced != spec.public_ip:
        if row.announced is not None:
            network.ensure(msgspec.structs.replace(spec, public_ip=None))
        with run.write() as tx:
            interface.announce(tx, row.id, spec.public_ip)
            _pass_on(tx, row)
        if row.announced is not None:
            raise Later(0.0, "the order with its new address needs a higher number than the one without any")
    network.ensure(spec)


def _pass_on(tx: Tx, row: Row) -> None:
    """Its host does not answer for its public address any more: whose address that is now, his host says so again.

    For as long as both answered, the neighbourhood may have believed the wrong one.
    """
    holder = address.holder(tx, row.announced) if row.announced is not None else None
    if holder not in (None, row.id):
        work.wake(tx, "interface", holder)


def _say_reached(run: Run, row: Row) -> None:
    if row.reached == row.wanted:
        return
    with run.write() as tx:
        if not interface.say_reached(tx, row.id, row.wanted):
            return
        work.wake(tx, "instance", row.instance)
        if interface.is_staged(row):
            _have_others_know(tx, row)


def _have_others_know(tx: Tx, row: Row) -> None:
    """Its groups and its VPC are as they should be on all hosts; while its guest starts, so as not to delay that."""
    group.wake_of_interface(tx, row.id)
    vpc_host.wake_vpc(tx, row.vpc)


def _beside(row: Row, guest: Row | None) -> str:
    """The host that its guest is moving to while it runs; empty: none."""
    return str(guest.moving_to) if guest is not None and guest.moves_live and guest.moving_to != row.host else ""


def _leave_other_host(run: Run, row: Row, spec: InterfaceSpec, beside: str) -> None:
    """Its guest came from there, or does not go there any more, or starts there after all.

    Whose public address it is, is said once more.
    """
    if row.also_on in ("", beside):
        return
    if row.also_on != row.host:
        lost.remove(run, "network", row.also_on, row.id)
    table = interface.interface
    mine = table.update().where(table.c.id == row.id, table.c.also_on == row.also_on)
    with run.write() as tx:
        tx.change(mine.values(also_on="", stands_by=False))
        _have_others_know(tx, row)
        work.wake(tx, "instance", row.instance)
    run.driver("network", row.host).ensure(spec)


def _stand_by(run: Run, row: Row, spec: InterfaceSpec, beside: str) -> None:
    """Where its guest is going to, all is ready but the way to it."""
    if not beside:
        return
    table = interface.interface
    mine = table.update().where(table.c.id == row.id, table.c.host == row.host, table.c.wanted == row.wanted)
    if row.also_on != beside:
        with run.write() as tx:
            if not tx.change(mine.values(also_on=beside, stands_by=False)):
                raise Later(0.0, "the interface has changed meanwhile")
            _have_others_know(tx, row)
    waiting = msgspec.structs.replace(spec, public_ip=None, public_range=None, stands_by=True)
    run.driver("network", beside).ensure(waiting)
    if row.also_on != beside or not row.stands_by:
        with run.write() as tx:
            tx.change(mine.where(table.c.also_on == beside).values(stands_by=True))
            work.wake(tx, "instance", row.instance)


def _leave_host(run: Run, row: Row) -> None:
    """Nothing of it is on a host; where it should be absent, its row and its addresses go too."""
    for name in filter(None, (row.also_on, row.host)):
        lost.remove(run, "network", name, row.id)
    table = interface.interface
    with run.write() as tx:
        mine = table.update().where(table.c.id == row.id, table.c.wanted == 0, table.c.also_on == row.also_on)
        if not tx.change(mine.values(host=None, also_on="", stands_by=False, reached=0, announced=None)):
            return
        _pass_on(tx, row)
        _have_others_know(tx, row)
        if row.desired == "absent":
            _delete(tx, row.id)
            profile.remove(tx, row.instance)
        work.wake(tx, "instance", row.instance)


def _delete(tx: Tx, id: str) -> None:
    address.release_automatic(tx, id)
    address.disassociate(tx, id)
    interface.set_groups(tx, id, [])
    tag.remove(tx, id)
    tx.change(interface.interface.delete().where(interface.interface.c.id == id))
    work.forget(tx, "interface", id)


def _profile(tx: Tx, held: Row | None) -> ProfileSpec | None:
    if held is None:
        return None
    told = profile.credentials(tx, held)
    return ProfileSpec(arn=held.arn, id=held.profile, **(msgspec.structs.asdict(told) if told is not None else {}))


def _spec(tx: Tx, row: Row, guest: Row | None, held: Row | None, region: str) -> InterfaceSpec:
    ranges = subnet.ranges(tx, row.subnet)
    assert guest is not None and ranges is not None
    public = address.of_interface(tx, row.id)
    hostname = "ip-" + row.ip.replace(".", "-")
    groups = group.of_interface(tx, row.id)
    return InterfaceSpec(
        id=row.id,
        vpc=row.vpc,
        vpc_cidr=ranges.vpc_cidr,
        subnet_cidr=ranges.subnet_cidr,
        mac=row.mac,
        ip=row.ip,
        groups=[found.id for found in groups],
        public_ip=public.public_ip if public is not None else None,
        public_range=address_pool.of(tx, public.public_ip) if public is not None else None,
        hostname=hostname,
        mtu=host.guest_mtu(tx, row.host),
        source_dest_check=row.source_dest_check,
        metadata=_metadata(tx, guest, row, groups, region, _profile(tx, held)),
    )


def _metadata(tx: Tx, guest: Row, row: Row, groups: list[Row], region: str, told: ProfileSpec | None) -> MetadataSpec:
    options: dict[str, Any] = guest.metadata_options
    suffix = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return MetadataSpec(
        instance_id=guest.id,
        account_id=guest.account,
        owner_id=guest.account,
        image_id=guest.image,
        kernel_id=guest.kernel,
        ramdisk_id=guest.ramdisk,
        instance_type=guest.type,
        reservation_id=guest.reservation,
        launch_index=guest.launch_index,
        hostname=f"ip-{row.ip.replace('.', '-')}.{suffix}",
        region=region,
        zone=guest.zone,
        key_name=guest.key_name,
        public_key=guest.public_key,
        user_data=guest.user_data,
        security_groups=[found.name for found in groups],
        security_group_ids=[found.id for found in groups],
        tags=tag.of(tx, guest.id),
        tags_enabled=options.get("InstanceMetadataTags") == "enabled",
        launched_at=guest.launched or guest.created,
        architecture=guest.architecture,
        block_devices={"ami": guest.root_device, "root": guest.root_device},
        http_endpoint=options.get("HttpEndpoint", "enabled") == "enabled",
        http_tokens=options.get("HttpTokens", "optional"),
        hop_limit=options.get("HttpPutResponseHopLimit", 1),
        subnet_id=row.subnet,
        vpc_id=row.vpc,
        profile=told,
    )


def give_up(run: Run, id: str, reason: Impossible) -> None:
    """An interface that cannot be: its instance cannot run."""
    with run.write() as tx:
        row = interface.find(tx, id)
        if row is not None:
            refuse(tx, row.instance, reason.code, reason.message)
