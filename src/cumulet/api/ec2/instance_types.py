"""Instance types and where they are offered."""

from __future__ import annotations

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context
from cumulet.api.ec2.validation import invalid
from cumulet.api.filters import never
from cumulet.lib.errors import Refusal
from cumulet.lib.instance_types import Kind
from cumulet.lib.zones import zone_id
from cumulet.model import instance_type

_FILTERS = {
    "auto-recovery-supported": "AutoRecoverySupported",
    "bare-metal": "BareMetal",
    "burstable-performance-supported": "BurstablePerformanceSupported",
    "current-generation": "CurrentGeneration",
    "dedicated-hosts-supported": "DedicatedHostsSupported",
    **never(
        "ebs-info.attachment-limit-type",
        "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps",
        "ebs-info.ebs-optimized-info.baseline-iops",
        "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps",
        "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps",
        "ebs-info.ebs-optimized-info.maximum-iops",
        "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps",
        "ebs-info.maximum-ebs-attachments",
        "instance-storage-info.disk.count",
        "instance-storage-info.disk.size-in-gb",
        "instance-storage-info.disk.type",
        "instance-storage-info.encryption-support",
        "instance-storage-info.nvme-support",
        "instance-storage-info.total-size-in-gb",
        "network-info.bandwidth-weightings",
        "network-info.efa-info.maximum-efa-interfaces",
        "network-info.flexible-ena-queues-support",
        "nitro-tpm-info.supported-versions",
        "processor-info.supported-features",
        "processor-info.sustained-clock-speed-in-ghz",
        "reboot-migration-support",
    ),
    "ebs-info.ebs-optimized-support": "EbsInfo.EbsOptimizedSupport",
    "ebs-info.encryption-support": "EbsInfo.EncryptionSupport",
    "ebs-info.nvme-support": "EbsInfo.NvmeSupport",
    "free-tier-eligible": "FreeTierEligible",
    "hibernation-supported": "HibernationSupported",
    "hypervisor": "Hypervisor",
    "instance-storage-supported": "InstanceStorageSupported",
    "instance-type": "InstanceType",
    "memory-info.size-in-mib": "MemoryInfo.SizeInMiB",
    "network-info.efa-supported": "NetworkInfo.EfaSupported",
    "network-info.ena-support": "NetworkInfo.EnaSupport",
    "network-info.encryption-in-transit-supported": "NetworkInfo.EncryptionInTransitSupported",
    "network-info.ipv4-addresses-per-interface": "NetworkInfo.Ipv4AddressesPerInterface",
    "network-info.ipv6-addresses-per-interface": "NetworkInfo.Ipv6AddressesPerInterface",
    "network-info.ipv6-supported": "NetworkInfo.Ipv6Supported",
    "network-info.maximum-network-cards": "NetworkInfo.MaximumNetworkCards",
    "network-info.maximum-network-interfaces": "NetworkInfo.MaximumNetworkInterfaces",
    "network-info.network-performance": "NetworkInfo.NetworkPerformance",
    "nitro-enclaves-support": "NitroEnclavesSupport",
    "nitro-tpm-support": "NitroTpmSupport",
    "processor-info.supported-architecture": "ProcessorInfo.SupportedArchitectures",
    "supported-boot-mode": "SupportedBootModes",
    "supported-root-device-type": "SupportedRootDeviceTypes",
    "supported-usage-class": "SupportedUsageClasses",
    "supported-virtualization-type": "SupportedVirtualizationTypes",
    "vcpu-info.default-cores": "VCpuInfo.DefaultCores",
    "vcpu-info.default-threads-per-core": "VCpuInfo.DefaultThreadsPerCore",
    "vcpu-info.default-vcpus": "VCpuInfo.DefaultVCpus",
    "vcpu-info.valid-cores": "VCpuInfo.ValidCores",
    "vcpu-info.valid-threads-per-core": "VCpuInfo.ValidThreadsPerCore",
}


@describes(
    "InstanceTypes",
    id="InstanceType",
    filters=dict(_FILTERS),
    accepts={"IncludeUnsupportedInRegion": "every type that this cloud has is there in its one region"},
)
def describe_instance_types(ctx: Context, instance_types: list[str] | None = None) -> list[Item]:
    """What an instance of each type gets."""
    with ctx.read() as tx:
        known = instance_type.catalogue(tx, ctx.config)
    wanted = instance_types or list(known)
    lacking = sorted(name for name in set(wanted) if name not in known)
    if lacking:
        text = f"The following supplied instance types do not exist: [{', '.join(lacking)}]"
        raise Refusal("InvalidInstanceType", text)
    return [_item(known[name]) for name in dict.fromkeys(wanted)]


@describes(
    "InstanceTypeOfferings",
    id="InstanceType",
    filters={"instance-type": "InstanceType", "location": "Location"},
)
def describe_instance_type_offerings(ctx: Context, location_type: str = "region") -> list[Item]:
    """Where each type can be run: everywhere."""
    zones = ctx.config.zone_names()
    places = {
        "region": [ctx.config.region],
        "availability-zone": zones,
        "availability-zone-id": [zone_id(ctx.config.region, zone) for zone in zones],
    }
    if location_type not in places:
        raise invalid(location_type, "locationType", f"Expecting one of {', '.join(places)}.")
    with ctx.read() as tx:
        known = instance_type.catalogue(tx, ctx.config)
    return [
        {"InstanceType": name, "LocationType": location_type, "Location": place}
        for name in known
        for place in places[location_type]
    ]


def _item(kind: Kind) -> Item:
    return {
        "InstanceType": kind.name,
        "CurrentGeneration": kind.current,
        "FreeTierEligible": False,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": "nitro" if kind.nitro else "xen",
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": _vcpus(kind),
        "MemoryInfo": {"SizeInMiB": kind.memory_mib},
        "InstanceStorageSupported": False,
        "EbsInfo": {
            "EbsOptimizedSupport": "supported",
            "EncryptionSupport": "supported",
            "NvmeSupport": "unsupported",
        },
        "NetworkInfo": _network(),
        "PlacementGroupInfo": {"SupportedStrategies": ["cluster", "partition", "spread"]},
        "HibernationSupported": False,
        "BurstablePerformanceSupported": kind.burstable,
        "DedicatedHostsSupported": False,
        "AutoRecoverySupported": True,
        "SupportedBootModes": ["legacy-bios", "uefi"],
        "NitroEnclavesSupport": "unsupported",
        "NitroTpmSupport": "unsupported",
    }


def _vcpus(kind: Kind) -> Item:
    return {
        "DefaultVCpus": kind.vcpus,
        "DefaultCores": kind.cores,
        "DefaultThreadsPerCore": kind.threads_per_core,
        "ValidCores": list(range(1, kind.cores + 1)),
        "ValidThreadsPerCore": list(range(1, kind.threads_per_core + 1)),
    }


def _network() -> Item:
    """What is true of each of this cloud's guests: one virtio card with one IPv4 address."""
    card = {"NetworkCardIndex": 0, "NetworkPerformance": "Shared", "MaximumNetworkInterfaces": 1}
    return {
        "NetworkPerformance": "Shared",
        "MaximumNetworkInterfaces": 1,
        "MaximumNetworkCards": 1,
        "DefaultNetworkCardIndex": 0,
        "NetworkCards": [card],
        "Ipv4AddressesPerInterface": 1,
        "Ipv6AddressesPerInterface": 0,
        "Ipv6Supported": False,
        "EnaSupport": "unsupported",
        "EfaSupported": False,
        "EncryptionInTransitSupported": False,
    }
