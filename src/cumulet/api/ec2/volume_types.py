"""AWS's volume types: what sizes they have, what limits can be asked for (EC2 User Guide: "EBS volume types")."""

from __future__ import annotations

from typing import NamedTuple

from cumulet.api.ec2.validation import invalid, missing
from cumulet.lib.errors import Refusal


class VolumeType(NamedTuple):
    """Sizes in GiB; the limits that may be asked for, (0, 0) where none may; and most IOPS for each GiB."""

    smallest: int
    largest: int
    iops: tuple[int, int] = (0, 0)
    iops_per_gib: int = 0
    throughput: tuple[int, int] = (0, 0)
    needs_iops: bool = False


TYPES = {
    "gp3": VolumeType(1, 65536, iops=(3000, 80000), iops_per_gib=500, throughput=(125, 2000)),
    "gp2": VolumeType(1, 16384),
    "io1": VolumeType(4, 16384, iops=(100, 64000), iops_per_gib=50, needs_iops=True),
    "io2": VolumeType(4, 65536, iops=(100, 256000), iops_per_gib=1000, needs_iops=True),
    "st1": VolumeType(125, 16384),
    "sc1": VolumeType(125, 16384),
    "standard": VolumeType(1, 1024),
}
ROOT_TYPES = ("gp3", "gp2", "io1", "io2", "standard")
DEFAULT = "gp3"
"""AWS's own default was gp2 once; who asks for nothing gets what Terraform and the console ask for."""


class Shape(NamedTuple):
    """A volume's type, size and limits: 0 where none is asked for."""

    type: str
    size_gib: int
    iops: int = 0
    throughput: int = 0


def shaped(type: str, size_gib: int, iops: int | None, throughput: int | None) -> Shape:
    """A volume that can be; raises `Refusal` for what the type does not allow."""
    kind = TYPES.get(type)
    if kind is None:
        raise Refusal("UnknownVolumeType", f"Unsupported volume type '{type}' for volume creation. {_known()}")
    if not kind.smallest <= size_gib <= kind.largest:
        raise Refusal(
            "InvalidParameterValue",
            f"Volume of {size_gib}GiB is {'too small' if size_gib < kind.smallest else 'too large'} for volume type "
            f"{type}; it has {kind.smallest} to {kind.largest} GiB.",
        )
    _check_iops(kind, type, size_gib, iops)
    _check_throughput(kind, type, iops, throughput)
    return Shape(type, size_gib, iops or 0, throughput or 0)


def _known() -> str:
    return f"There are: {', '.join(TYPES)}."


def _check_iops(kind: VolumeType, type: str, size_gib: int, iops: int | None) -> None:
    if iops is None:
        if kind.needs_iops:
            raise missing("iops")
        return
    fewest, most = kind.iops
    if not most:
        raise Refusal("InvalidParameterCombination", f"The parameter iops is not supported for {type} volumes.")
    if not fewest <= iops <= most:
        raise invalid(iops, "iops", f"A volume of type {type} has {fewest} to {most} IOPS.")
    if iops > max(size_gib * kind.iops_per_gib, fewest):
        raise Refusal(
            "InvalidParameterValue",
            f"Iops to volume size ratio of {iops / size_gib:.1f} is too high; maximum is {kind.iops_per_gib}.",
        )


def _check_throughput(kind: VolumeType, type: str, iops: int | None, throughput: int | None) -> None:
    if throughput is None:
        return
    least, most = kind.throughput
    if not most:
        raise Refusal("InvalidParameterCombination", f"The parameter throughput is not supported for {type} volumes.")
    if not least <= throughput <= most:
        raise invalid(throughput, "throughput", f"A volume of type {type} has {least} to {most} MiB/s.")
    if throughput * 4 > (iops or kind.iops[0]):
        raise Refusal(
            "InvalidParameterValue",
            f"Throughput (MiBps) to iops ratio of {throughput / (iops or kind.iops[0]):.2f} is too high; maximum is "
            "0.25 MiBps per iops.",
        )


def performance(type: str, size_gib: int, iops: int, throughput: int) -> dict[str, int]:
    """What AWS shows of a volume's speed: what was asked for, or what the type has by itself."""
    if type == "gp3":
        return {"Iops": iops or 3000, "Throughput": throughput or 125}
    if type == "gp2":
        return {"Iops": min(max(100, 3 * size_gib), 16000)}
    return {"Iops": iops} if iops else {}
