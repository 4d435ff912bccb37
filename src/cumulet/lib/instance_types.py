"""The instance types: the m1 family of the first OpenStack, today's common families of AWS, and the operator's own."""

from __future__ import annotations

import msgspec

from cumulet.lib.config import Config


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance type is. A vCPU is a thread, as AWS counts them."""

    name: str
    vcpus: int
    memory_mib: int
    threads_per_core: int = 1
    burstable: bool = False
    credits: str = ""
    """What a burstable one may do by default: standard or unlimited; empty where it has no credits."""
    current: bool = True
    """Whether AWS counts it among its current generation."""
    nitro: bool = False
    requires: dict[str, str] = {}
    """Attributes that a host must have to take one."""

    @property
    def cores(self) -> int:
        return max(1, self.vcpus // self.threads_per_core)


_M1 = {"tiny": (1, 512), "small": (1, 2048), "medium": (2, 4096), "large": (4, 8192), "xlarge": (8, 16384)}
"""As OpenStack seeded its table in 2012 (migration 008); m1.tiny is not one of AWS's."""
_T2 = {
    "nano": (1, 512),
    "micro": (1, 1024),
    "small": (1, 2048),
    "medium": (2, 4096),
    "large": (2, 8192),
    "xlarge": (4, 16384),
    "2xlarge": (8, 32768),
}
_T3 = {size: (max(vcpus, 2), memory) for size, (vcpus, memory) in _T2.items()}
_M5 = {
    "large": (2, 8192),
    "xlarge": (4, 16384),
    "2xlarge": (8, 32768),
    "4xlarge": (16, 65536),
    "8xlarge": (32, 131072),
    "12xlarge": (48, 196608),
    "16xlarge": (64, 262144),
    "24xlarge": (96, 393216),
}
_R5 = {size: (vcpus, 2 * memory) for size, (vcpus, memory) in _M5.items()}
_C5 = {
    "large": (2, 4096),
    "xlarge": (4, 8192),
    "2xlarge": (8, 16384),
    "4xlarge": (16, 32768),
    "9xlarge": (36, 73728),
    "12xlarge": (48, 98304),
    "18xlarge": (72, 147456),
    "24xlarge": (96, 196608),
}
"""vCPUs and MiB of memory by size (https://aws.amazon.com/ec2/instance-types/)."""


def catalogue(config: Config) -> dict[str, Kind]:
    """All the instance types by name; the operator's `instance_types` add to the table or replace a row of it."""
    if not config.instance_types:
        return _STANDARD
    added = {
        name: Kind(name=name, vcpus=own.vcpus, memory_mib=own.memory_mib, requires=own.requires)
        for name, own in config.instance_types.items()
    }
    return _STANDARD | added


def _family(family: str, sizes: dict[str, tuple[int, int]], shared: Kind) -> dict[str, Kind]:
    found = {}
    for size, (vcpus, memory) in sizes.items():
        name = f"{family}.{size}"
        found[name] = msgspec.structs.replace(shared, name=name, vcpus=vcpus, memory_mib=memory)
    return found


_PLAIN = Kind(name="", vcpus=0, memory_mib=0)
_NITRO = msgspec.structs.replace(_PLAIN, threads_per_core=2, nitro=True)

_STANDARD: dict[str, Kind] = {
    **_family("m1", _M1, msgspec.structs.replace(_PLAIN, current=False)),
    **_family("t2", _T2, msgspec.structs.replace(_PLAIN, burstable=True, credits="standard")),
    **_family("t3", _T3, msgspec.structs.replace(_NITRO, burstable=True, credits="unlimited")),
    **_family("m5", _M5, _NITRO),
    **_family("c5", _C5, _NITRO),
    **_family("r5", _R5, _NITRO),
}
