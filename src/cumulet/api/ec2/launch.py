"""Launching: all the rows of new instances in one transaction, and the engine woken for each."""

from __future__ import annotations

from typing import Any, Unpack, cast

from cumulet.api.actions import Item, Result, action
from cumulet.api.context import Context
from cumulet.api.ec2 import client_tokens
from cumulet.api.ec2.encryption import check_key, sealed
from cumulet.api.ec2.image_disks import origin_for
from cumulet.api.ec2.image_rows import launchable
from cumulet.api.ec2.instance_profiles import found_profile
from cumulet.api.ec2.instance_view import items, reservations
from cumulet.api.ec2.launch_boot import boot_of, metadata_of
from cumulet.api.ec2.launch_checks import Launch, checked, within_quotas
from cumulet.api.ec2.launch_disks import Disk, disks
from cumulet.api.ec2.launch_network import Network, find_network, wish_of
from cumulet.api.ec2.launch_placement import Places, find_places
from cumulet.api.ec2.launch_request import LaunchRequest
from cumulet.api.ec2.template_rows import applied
from cumulet.api.ec2.validation import missing
from cumulet.api.ec2.volume_rows import check_able, check_quota
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import (
    Tx,
    account,
    attachment,
    image_disk,
    image_use,
    instance,
    interface,
    key_pair,
    profile,
    snapshot,
    tag,
    volume,
    work,
)
from cumulet.model.database import Row
from cumulet.wire.models import load
from cumulet.wire.names import python_name


@action()
def run_instances(ctx: Context, **request: Unpack[LaunchRequest]) -> Result:
    """Write down new instances that should run; the engine starts them."""
    asked, of_template = request, dict[str, str]()
    if request.get("launch_template"):
        request, of_template = _with_template(ctx, request)
    if not request.get("image_id"):
        raise missing("ImageId")
    launch, wish = checked(ctx, request), wish_of(request)
    reservation = ids.new("reservation")
    with ctx.write() as tx:
        earlier = _claim_token(ctx, tx, asked, reservation)
        if earlier is not None:
            return _launched(ctx, tx, earlier)
        account.hold(tx, ctx.account)
        image = launchable(tx, ctx.account, request["image_id"])
        boots = boot_of(tx, ctx.account, image, request.get("kernel_id", ""), request.get("ramdisk_id", ""))
        kept, given = image_disk.of(tx, image.id), request.get("block_device_mappings") or []
        wanted = disks(image, kept, given, origin_for(tx, ctx.account, kept))
        network = find_network(tx, ctx.account, ctx.config.zone_names(), request, wish, launch.most)
        named = request.get("iam_instance_profile")
        held = found_profile(tx, ctx.account, named) if named else None
        columns = (
            launch.columns
            | boots
            | metadata_of(image, launch.columns)
            | _of_key(tx, ctx.account, request.get("key_name", ""))
        )
        wanted = _encrypted(ctx, tx, network.subnet.zone, wanted)
        count = _allowed(ctx, tx, launch, network)
        check_quota(ctx, tx, count * len(wanted), count * sum(disk.shape.size_gib for disk in wanted))
        places = find_places(ctx, tx, request.get("placement") or {}, network.subnet.zone, count)
        made = _write_instances(tx, image, network, columns | {"reservation": reservation}, places)
        _write_parts(tx, made, network, wanted, launch.tags)
        tag.put_new(tx, ctx.account, made, "instance", of_template)
        if held is not None:
            for id in made:
                profile.associate(tx, ctx.account, id, held)
        work.wake_new(tx, "instance", made)
        return _launched(ctx, tx, reservation)


def _with_template(ctx: Context, request: LaunchRequest) -> tuple[LaunchRequest, dict[str, str]]:
    """The request with what its launch template says, and the tags by which AWS says so of instances."""
    members = {python_name(name): name for name in load("ec2").input("RunInstances").members}
    with ctx.read() as tx:
        whole, version = applied(tx, ctx.account, {members[name]: value for name, value in request.items()})
    tags = {"aws:ec2launchtemplate:id": version.template, "aws:ec2launchtemplate:version": str(version.number)}
    return cast(LaunchRequest, {python_name(name): value for name, value in whole.items()}), tags


def _claim_token(ctx: Context, tx: Tx, request: LaunchRequest, reservation: str) -> str | None:
    """The reservation that an earlier request with the same client token has made; None if this is the first.

    Raises `Refusal` IdempotentParameterMismatch or IdempotentInstanceTerminated.
    """
    token, result = request.get("client_token", ""), {"reservation": reservation}
    found = client_tokens.earlier(tx, ctx.account, "RunInstances", token, request, result)
    return str(found["reservation"]) if found is not None else None


def _launched(ctx: Context, tx: Tx, reservation: str) -> Result:
    rows = instance.of_reservation(tx, ctx.account, reservation)
    living = [row.id for row in rows if row.state != "terminated"]
    if not living:
        raise Refusal(
            "IdempotentInstanceTerminated",
            "The request to launch an instance uses the same client token as a previous request for which the "
            "instance has been terminated.",
        )
    shown: Item = reservations(items(ctx, tx, [row.id for row in rows]))[0]
    return shown


def _of_key(tx: Tx, account: str, name: str) -> dict[str, str]:
    if not name:
        return {}
    row = key_pair.named(tx, account, name)
    if row is None:
        raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")
    return {"key_name": row.name, "public_key": row.public_key}


def _allowed(ctx: Context, tx: Tx, launch: Launch, network: Network) -> int:
    """How many instances there will be: as many as quota and subnet allow; raises `Refusal` for fewer than wanted."""
    most = within_quotas(ctx, tx, launch)
    if launch.fewest < most:
        most = min(most, max(launch.fewest, interface.free_count(tx, network.subnet)))
    return most


def _write_instances(tx: Tx, image: Row, network: Network, columns: dict[str, Any], places: Places) -> list[str]:
    shared = {
        **columns,
        **places.columns,
        "account": network.subnet.account,
        "image": image.id,
        "image_file": image.image_file,
        "architecture": image.architecture,
        "root_device": image.root_device,
        "zone": network.subnet.zone,
        "vpc": network.subnet.vpc,
        "subnet": network.subnet.id,
        "desired": "running",
        "state": "pending",
        "created": tx.now,
        "launched": tx.now,
    }
    made = [ids.new("instance") for _ in places.partitions]
    rows = (
        {**shared, "id": id, "launch_index": index, "partition_number": partition}
        for index, (id, partition) in enumerate(zip(made, places.partitions, strict=True))
    )
    tx.insert(instance.instance, *rows)
    return made


def _encrypted(ctx: Context, tx: Tx, zone: str, wanted: list[Disk]) -> list[Disk]:
    """The disks, encrypted where the account's new volumes are; raises `Refusal` where that cannot be."""
    if account.encrypts_volumes(tx, ctx.account):
        wanted = [disk._replace(encrypted=True) for disk in wanted]
    for disk in wanted:
        check_key(ctx, disk.key_id, encrypted=disk.encrypted)
        origin = snapshot.find(tx, disk.snapshot) if disk.snapshot is not None else None
        check_able(tx, zone, sealed=disk.encrypted or bool(origin and origin.sealed))
    return wanted


def _write_parts(
    tx: Tx, made: list[str], network: Network, wanted: list[Disk], tags: dict[str, dict[str, str]]
) -> None:
    """Their network interfaces, their disks, and the tags of all of them."""
    account = network.subnet.account
    nics = _write_interfaces(tx, made, network)
    volumes = [id for disk in wanted for id in _write_disks(tx, made, network, disk)]
    work.rest_new(tx, "interface", nics)
    work.rest_new(tx, "volume", volumes)
    for kind, resources in (("instance", made), ("network-interface", nics), ("volume", volumes)):
        tag.put_new(tx, account, resources, kind, tags[kind])


def _write_disks(tx: Tx, made: list[str], network: Network, disk: Disk) -> list[str]:
    """One of these disks for each of the instances; gives the volumes' ids."""
    account = network.subnet.account
    volumes = [ids.new("volume") for _ in made]
    shared = {"account": account, "zone": network.subnet.zone, "image_file": disk.image_file, "created": tx.now}
    origin = snapshot.find(tx, disk.snapshot) if disk.snapshot is not None else None
    if origin is not None:
        shared |= {"snapshot": origin.id, "base": image_use.base_of(tx, source=origin.id)}
    shared |= disk.shape._asdict()
    keys = {id: sealed(tx, disk.encrypted, origin) for id in volumes}
    tx.insert(volume.volume, *({**shared, "id": id, "sealed": key} for id, key in keys.items()))
    held = {"account": account, "device": disk.device, "slot": disk.slot}
    held |= {"delete_on_termination": disk.delete_on_termination}
    pairs = zip(volumes, made, strict=True)
    attachment.add(tx, *({**held, "volume": id, "instance": owner} for id, owner in pairs))
    return volumes


def _write_interfaces(tx: Tx, made: list[str], network: Network) -> list[str]:
    values: dict[str, object] = {
        "wants_public_ip": network.wants_public_ip,
        "description": network.description,
        "attached": tx.now,
    }
    if network.ip is None:
        return interface.create_many(tx, made, values, network.subnet, network.groups)
    return [interface.create(tx, {**values, "instance": made[0]}, network.subnet, network.ip, network.groups)]
