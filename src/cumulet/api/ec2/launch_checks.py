"""What of a launch can be checked before anything is counted, and what comes of it for the instances' rows."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

from cumulet.api.context import Context
from cumulet.api.ec2 import client_tokens
from cumulet.api.ec2.launch_placement import affinity
from cumulet.api.ec2.launch_request import CpuOptions, LaunchRequest
from cumulet.api.ec2.metadata_options import check_tags, options_of
from cumulet.api.ec2.tagging import tags_for
from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.lib.instance_types import Kind
from cumulet.model import Tx, instance, instance_type

DEFAULT_TYPE = "m1.small"
MOST_USER_DATA = 16 * 1024
TAGGED = ("instance", "volume", "network-interface")


class Launch(NamedTuple):
    """A launch that can be: the columns that all its instances share, and their tags by resource type."""

    fewest: int
    most: int
    columns: dict[str, Any]
    tags: dict[str, dict[str, str]]


def checked(ctx: Context, request: LaunchRequest) -> Launch:
    """The launch that is asked for; raises `Refusal` for what cannot be."""
    fewest, most = _counts(request)
    with ctx.read() as tx:
        kind = kind_named(ctx, tx, request.get("instance_type") or DEFAULT_TYPE)
    refuse_unsupported(request)
    tags = {resource: tags_for(request.get("tag_specifications"), resource, TAGGED) for resource in TAGGED}
    options = options_of(dict(request.get("metadata_options") or {}))
    if options.get("InstanceMetadataTags") == "enabled":
        check_tags(list(tags["instance"]))
    cpus = _cpu_options(kind, request.get("cpu_options"))
    columns = {
        "type": kind.name,
        "vcpus": cpus["CoreCount"] * cpus["ThreadsPerCore"] if cpus else kind.vcpus,
        "memory_mib": kind.memory_mib,
        "user_data": user_data(request.get("user_data") or ""),
        "shutdown_behavior": shutdown_behavior(request.get("instance_initiated_shutdown_behavior") or "stop"),
        "disable_api_termination": request.get("disable_api_termination", False),
        "disable_api_stop": request.get("disable_api_stop", False),
        "metadata_options": options,
        "attributes": _attributes(kind, cpus, request),
        "client_token": client_tokens.checked(request.get("client_token") or ""),
    }
    return Launch(fewest, most, columns, tags)


def within_quotas(ctx: Context, tx: Tx, launch: Launch) -> int:
    """How many of the instances the account may have; raises `Refusal` for fewer than are wanted."""
    limits = ctx.quotas(tx, "instances", "vcpus", "memory_gib")
    have = instance.use(tx, ctx.account)
    vcpus, memory = launch.columns["vcpus"], launch.columns["memory_mib"]
    left = {
        "instances": limits["instances"] - have.instances,
        "vcpus": (limits["vcpus"] - have.vcpus) // vcpus,
        "memory_gib": (limits["memory_gib"] * 1024 - have.memory_mib) // memory,
    }
    for name, number in left.items():
        if number < launch.fewest:
            raise _exceeded(name, launch.fewest, limits[name], max(number, 0))
    return int(min(launch.most, *left.values()))


def _exceeded(name: str, wanted: int, limit: int, left: int) -> Refusal:
    if name == "instances":
        return Refusal(
            "InstanceLimitExceeded",
            f"You have requested more instances ({wanted}) than your current instance limit of {limit} allows for the "
            f"specified instance type: {left} are left.",
        )
    if name == "vcpus":
        return Refusal(
            "VcpuLimitExceeded",
            f"You have requested more vCPU capacity than your current vCPU limit of {limit} allows for the instance "
            f"bucket that the specified instance type belongs to: {left} of this type are left.",
        )
    return Refusal(
        "MemoryLimitExceeded",
        f"You have requested more memory than your current limit of {limit} GiB allows: {left} of this type are left.",
    )


def kind_named(ctx: Context, tx: Tx, name: str) -> Kind:
    """The instance type of this name; raises `Refusal` InvalidParameterValue."""
    kind = instance_type.catalogue(tx, ctx.config).get(name)
    if kind is None:
        text = f"The following supplied instance types do not exist: [{name}]"
        raise Refusal("InvalidParameterValue", text)
    return kind


def user_data(text: str) -> str:
    """The Base64 of what the guest is given, as it is kept; raises `Refusal`."""
    try:
        plain = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data") from None
    if len(plain) > MOST_USER_DATA:
        raise Refusal("InvalidParameterValue", f"User data is limited to {MOST_USER_DATA} bytes; it has {len(plain)}.")
    return base64.b64encode(plain).decode()


def shutdown_behavior(value: str) -> str:
    if value not in ("stop", "terminate"):
        raise invalid(value, "instanceInitiatedShutdownBehavior", "Expecting stop or terminate.")
    return value


def recovery(value: str) -> str:
    if value not in ("default", "disabled"):
        raise invalid(value, "autoRecovery", "Expecting default or disabled.")
    return value


def cpu_credits(value: str) -> str:
    if value not in ("standard", "unlimited"):
        raise invalid(value, "cpuCredits", "Expecting standard or unlimited.")
    return value


def refuse_unsupported(request: LaunchRequest) -> None:
    """Raises `Refusal` for values of known parameters that this cloud cannot make true."""
    dns = request.get("private_dns_name_options") or {}
    reservation = request.get("capacity_reservation_specification") or {}
    wrong = {
        "HibernationOptions.Configured": (request.get("hibernation_options") or {}).get("Configured", False),
        "EnclaveOptions.Enabled": (request.get("enclave_options") or {}).get("Enabled", False),
        "PrivateDnsNameOptions": dns.get("HostnameType", "ip-name") != "ip-name"
        or dns.get("EnableResourceNameDnsARecord", False)
        or dns.get("EnableResourceNameDnsAAAARecord", False),
        "CapacityReservationSpecification": reservation.get("CapacityReservationPreference", "open")
        not in ("open", "none"),
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise Refusal("UnsupportedOperation", f"The value of the parameter {name} is not supported by this cloud.")


def _counts(request: LaunchRequest) -> tuple[int, int]:
    fewest, most = request["min_count"], request["max_count"]
    if fewest < 1:
        raise invalid(fewest, "minCount", "Expecting a positive integer.")
    if most < 1:
        raise invalid(most, "maxCount", "Expecting a positive integer.")
    if fewest > most:
        raise Refusal(
            "InvalidParameterCombination",
            f"The parameter minCount ({fewest}) must not be greater than the parameter maxCount ({most}).",
        )
    return fewest, most


def _cpu_options(kind: Kind, options: CpuOptions | None) -> dict[str, int]:
    """The cores and threads that are asked for, of those that the type has; empty: all of them."""
    if not options:
        return {}
    cores, threads = options.get("CoreCount", 0), options.get("ThreadsPerCore", 0)
    if not 1 <= cores <= kind.cores or not 1 <= threads <= kind.threads_per_core:
        raise Refusal(
            "InvalidParameterCombination",
            f"The {kind.name} instance type has 1 to {kind.cores} cores of 1 to {kind.threads_per_core} threads; "
            f"CoreCount {cores} and ThreadsPerCore {threads} are not among them.",
        )
    return {"CoreCount": cores, "ThreadsPerCore": threads}


def _attributes(kind: Kind, cpus: dict[str, int], request: LaunchRequest) -> dict[str, Any]:
    """What is kept only to be shown again."""
    attributes: dict[str, Any] = {"CpuOptions": cpus} if cpus else {}
    attributes |= affinity(request.get("placement") or {})
    if (request.get("monitoring") or {}).get("Enabled"):
        attributes["Monitoring"] = True
    if request.get("ebs_optimized"):
        attributes["EbsOptimized"] = True
    if wanted := (request.get("maintenance_options") or {}).get("AutoRecovery"):
        attributes["AutoRecovery"] = recovery(wanted)
    if credits := (request.get("credit_specification") or {}).get("CpuCredits"):
        if not kind.burstable:
            raise Refusal(
                "InvalidParameterCombination",
                f"The CreditSpecification can be given for burstable instance types only; {kind.name} is not one.",
            )
        attributes["CpuCredits"] = cpu_credits(credits)
    return attributes
