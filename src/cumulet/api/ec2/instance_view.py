"""From rows to AWS's Instance: all that belongs to many instances is read in a handful of queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cumulet.api.actions import Item
from cumulet.api.context import Context
from cumulet.api.ec2.instance_profiles import shown
from cumulet.api.ec2.instance_rows import state
from cumulet.api.ec2.validation import private_dns_name
from cumulet.lib.dns_names import public_name
from cumulet.lib.zones import zone_id
from cumulet.model import (
    Tx,
    address,
    attachment,
    group,
    instance,
    instance_type,
    interface,
    placement_group,
    profile,
    tag,
)
from cumulet.model.database import Row

Groups = list[dict[str, str]]


class Around(NamedTuple):
    """What belongs to the instances that are shown, by instance; `addresses` and `groups` by interface."""

    nics: dict[str, list[Row]]
    disks: dict[str, list[Row]]
    tags: dict[str, list[dict[str, str]]]
    troubles: dict[str, Row]
    addresses: dict[str, Row]
    groups: dict[str, Groups]
    placement_groups: dict[str, str]
    """Id to name."""
    profiles: dict[str, Item]
    """Instance to its profile."""
    shows_hosts: bool
    """Whether the host is shown of each, not only of those on a dedicated host: to an administrator."""


def items(ctx: Context, tx: Tx, ids: list[str] | None = None) -> list[Item]:
    """The account's instances (or those of these ids that it has), in the order of their launch.

    Each is AWS's Instance with its reservation's id and owner; `reservations` makes the answer of these.
    """
    rows = instance.of_account(tx, ctx.account) if ids is None else instance.of_ids(tx, ctx.account, ids)
    around = _around(tx, ctx, rows, ids is None)
    threads = {name: kind.threads_per_core for name, kind in instance_type.catalogue(tx, ctx.config).items()}
    return [_item(row, around, ctx.config.region, threads.get(row.type, 1)) for row in rows]


def reservations(shown: list[Item]) -> list[Item]:
    """Instances as AWS answers with them: those that were launched together are together."""
    found: dict[str, Item] = {}
    for item in shown:
        id, owner = item.pop("ReservationId"), item.pop("OwnerId")
        if id not in found:
            found[id] = {"ReservationId": id, "OwnerId": owner, "Groups": [], "Instances": []}
        found[id]["Instances"].append(item)
    return list(found.values())


def _around(tx: Tx, ctx: Context, rows: list[Row], whole: bool) -> Around:
    account, ids = ctx.account, [row.id for row in rows]
    nics = interface.of_account(tx, account) if whole else interface.of_instances(tx, ids)
    disks = attachment.disks_of_account(tx, account) if whole else attachment.disks_of(tx, ids)
    nic_ids = [nic.id for nic in nics]
    held = address.of_account(tx, account) if whole else address.of_interfaces(tx, nic_ids)
    groups = interface.groups_of_account(tx, account) if whole else interface.groups_of(tx, nic_ids)
    profiles = profile.of_account(tx, account) if whole else profile.of_instances(tx, ids)
    together = placement_group.of_account(tx, account) if any(row.placement_group for row in rows) else []
    return Around(
        nics=_by(nics, lambda nic: nic.instance),
        disks=_by(disks, lambda disk: disk.instance),
        tags=tag.of_account(tx, account, ["instance"]) if whole else tag.of_resources(tx, ids),
        troubles=instance.troubles(tx, account) if any(_may_be_held_up(tx, row) for row in rows) else {},
        addresses=_reaching(held),
        groups=_named(tx, account, groups),
        placement_groups={row.id: row.name for row in together},
        profiles={row.instance: shown(row) for row in profiles},
        shows_hosts=ctx.principal.administrator,
    )


def _may_be_held_up(tx: Tx, row: Row) -> bool:
    """Nobody has looked yet at one that is made in this transaction."""
    return row.state in instance.UNFINISHED and row.created < tx.now


def _by(rows: list[Row], key: Callable[[Row], str | None]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if (owner := key(row)) is not None:
            found.setdefault(owner, []).append(row)
    return found


def _reaching(held: list[Row]) -> dict[str, Row]:
    """Interface to the address that reaches it: its Elastic IP before the one that comes and goes."""
    found: dict[str, Row] = {}
    for row in held:
        if row.interface is not None and (row.allocation is not None or row.interface not in found):
            found[row.interface] = row
    return found


def _named(tx: Tx, account: str, groups: dict[str, list[str]]) -> dict[str, Groups]:
    named = {row.id: {"GroupId": row.id, "GroupName": row.name} for row in group.of_account(tx, account)}
    same: dict[tuple[str, ...], Groups] = {}
    found = {}
    for nic, ids in groups.items():
        key = tuple(ids)
        if key not in same:
            same[key] = [named[id] for id in ids if id in named]
        found[nic] = same[key]
    return found


def _item(row: Row, around: Around, region: str, threads: int) -> Item:
    nics = [_nic(nic, row, around, region) for nic in around.nics.get(row.id, [])]
    item = {
        "ReservationId": row.reservation,
        "OwnerId": row.account,
        "InstanceId": row.id,
        "ImageId": row.image,
        "KernelId": row.kernel or None,
        "RamdiskId": row.ramdisk or None,
        "State": state(row.state),
        "PrivateDnsName": "",
        "PublicDnsName": "",
        "StateTransitionReason": row.transition_reason,
        "StateReason": _reason(row, around.troubles.get(row.id)),
        "KeyName": row.key_name or None,
        "AmiLaunchIndex": row.launch_index,
        "InstanceType": row.type,
        "LaunchTime": row.launched or row.created,
        "UsageOperationUpdateTime": row.created,
        "Placement": _placement(row, around, region),
        "Architecture": row.architecture,
        "BlockDeviceMappings": [_disk(disk) for disk in around.disks.get(row.id, [])],
        "ClientToken": row.client_token,
        "NetworkInterfaces": nics,
        "RootDeviceName": row.root_device,
        "SecurityGroups": nics[0]["Groups"] if nics else [],
        "Tags": around.tags.get(row.id, []),
        "IamInstanceProfile": around.profiles.get(row.id),
        "BootMode": BOOT_MODES.get(row.boot),
        "CurrentInstanceBootMode": BOOT_MODES.get(row.boot),
        **_SAME_FOR_ALL,
        **_options(row, threads),
    }
    return item | _where(row, nics[0]) if nics else item


def _placement(row: Row, around: Around, region: str) -> Item:
    on_dedicated = row.tenancy == "host"
    return {
        "Affinity": row.attributes.get("Affinity", "default") if on_dedicated else None,
        "AvailabilityZone": row.zone,
        "AvailabilityZoneId": zone_id(region, row.zone),
        "GroupId": row.placement_group,
        "GroupName": around.placement_groups.get(row.placement_group or "", ""),
        "HostId": row.host if on_dedicated or around.shows_hosts else None,
        "PartitionNumber": row.partition_number,
        "Tenancy": row.tenancy,
    }


def _options(row: Row, threads: int) -> Item:
    """What the request has chosen, or the default of it."""
    attributes: dict[str, Any] = row.attributes
    cpus = {"CoreCount": max(1, row.vcpus // threads), "ThreadsPerCore": min(threads, row.vcpus)}
    return {
        "Monitoring": {"State": "enabled" if attributes.get("Monitoring") else "disabled"},
        "EbsOptimized": attributes.get("EbsOptimized", False),
        "EnaSupport": attributes.get("EnaSupport", False),
        "CpuOptions": attributes.get("CpuOptions") or cpus,
        "MetadataOptions": metadata_options(row),
        "MaintenanceOptions": maintenance_options(row),
    }


_SAME_FOR_ALL: Item = {
    "ProductCodes": [],
    "Hypervisor": "xen",
    "RootDeviceType": "ebs",
    "VirtualizationType": "hvm",
    "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
    "HibernationOptions": {"Configured": False},
    "EnclaveOptions": {"Enabled": False},
    "Operator": {"Managed": False},
    "PlatformDetails": "Linux/UNIX",
    "UsageOperation": "RunInstances",
    "PrivateDnsNameOptions": {
        "HostnameType": "ip-name",
        "EnableResourceNameDnsARecord": False,
        "EnableResourceNameDnsAAAARecord": False,
    },
}
"""AWS says xen of its Nitro guests as well."""
BOOT_MODES = {"bios": "legacy-bios", "uefi": "uefi"}
"""Our word for how an image boots to AWS's; a direct kernel boot has none."""


def _where(row: Row, nic: Item) -> Item:
    """What AWS shows of the first network interface as the instance's own."""
    reached = nic.get("Association") or {}
    return {
        "SubnetId": row.subnet,
        "VpcId": row.vpc,
        "PrivateIpAddress": nic["PrivateIpAddress"],
        "PrivateDnsName": nic["PrivateDnsName"],
        "PublicIpAddress": reached.get("PublicIp"),
        "PublicDnsName": reached.get("PublicDnsName", ""),
        "SourceDestCheck": nic["SourceDestCheck"],
    }


def _nic(nic: Row, row: Row, around: Around, region: str) -> Item:
    name = private_dns_name(nic.ip, region)
    reached = _association(around.addresses.get(nic.id), row.account, region)
    private = {"Primary": True, "PrivateDnsName": name, "PrivateIpAddress": nic.ip}
    return {
        "NetworkInterfaceId": nic.id,
        "SubnetId": nic.subnet,
        "VpcId": nic.vpc,
        "Description": nic.description,
        "OwnerId": row.account,
        "Status": "in-use",
        "MacAddress": nic.mac,
        "PrivateIpAddress": nic.ip,
        "PrivateDnsName": name,
        "SourceDestCheck": nic.source_dest_check,
        "Groups": around.groups.get(nic.id, []),
        "Ipv6Addresses": [],
        "InterfaceType": "interface",
        "Association": reached,
        "PrivateIpAddresses": [{**private, "Association": reached} if reached else private],
        "Attachment": {
            "AttachmentId": nic.attachment,
            "AttachTime": nic.attached or nic.created,
            "DeleteOnTermination": nic.delete_on_termination,
            "DeviceIndex": nic.device_index,
            "NetworkCardIndex": 0,
            "Status": "attaching" if row.state == "pending" else "attached",
        },
    }


def _association(found: Row | None, account: str, region: str) -> Item | None:
    if found is None:
        return None
    return {
        "IpOwnerId": "amazon" if found.allocation is None else account,
        "PublicDnsName": public_name(found.public_ip, region),
        "PublicIp": found.public_ip,
    }


def _disk(disk: Row) -> Item:
    ebs = {
        "AttachTime": disk.attached,
        "DeleteOnTermination": disk.delete_on_termination,
        "Status": attach_status(disk),
        "VolumeId": disk.id,
    }
    return {"DeviceName": disk.device, "Ebs": ebs}


def attach_status(disk: Row) -> str:
    """AWS's word for how far an attachment has come."""
    return "detaching" if disk.desired == "absent" else str(disk.attach_state)


def disks_of(tx: Tx, row: Row) -> list[Item]:
    """The instance's BlockDeviceMappings."""
    return [_disk(disk) for disk in attachment.disks(tx, row.id)]


def _reason(row: Row, trouble: Row | None) -> Item | None:
    """Why it is as it is; for what is on its way, what holds it up."""
    if trouble is not None and trouble.tries > 0:
        return {"Code": "Server.InternalError", "Message": f"Server.InternalError: {trouble.error}"}
    if row.reason_code:
        return {"Code": row.reason_code, "Message": row.reason}
    if row.state == "pending":
        return {"Code": "pending", "Message": trouble.error if trouble is not None else "pending"}
    return None


def metadata_options(row: Row) -> Item:
    """AWS's InstanceMetadataOptionsResponse; what is written down holds at once."""
    return {"State": "applied", **METADATA_DEFAULTS, **row.metadata_options}


METADATA_DEFAULTS = {
    "HttpTokens": "optional",
    "HttpPutResponseHopLimit": 1,
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}


def maintenance_options(row: Row) -> Item:
    attributes: dict[str, Any] = row.attributes
    return {"AutoRecovery": attributes.get("AutoRecovery", "default"), "RebootMigration": "default"}
