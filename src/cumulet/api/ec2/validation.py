"""What several actions check in the same way, with AWS's codes and words; and names that are made from others."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cumulet.api.context import Context
from cumulet.api.id_forms import check_id
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, group, interface, vpc
from cumulet.model.database import Row

GROUPS_PER_INTERFACE = 16
LONGEST_NAME = 255
OF_ALL = ("image", "snapshot")
"""Their ARNs name no account, since others may use them."""
_DESCRIBED = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*")
_SET = "a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"


def found(row: Row | None, code: str, message: str) -> Row:
    """The row, if there is one; else raises `Refusal` with AWS's not-found code."""
    if row is None:
        raise Refusal(code, message)
    return row


def invalid(value: object, parameter: str, why: str) -> Refusal:
    """AWS's words for a value that cannot be."""
    return Refusal("InvalidParameterValue", f"Value ({value}) for parameter {parameter} is invalid. {why}")


def missing(parameter: str) -> Refusal:
    return Refusal("MissingParameter", f"The request must contain the parameter {parameter}")


def exactly_one(**given: object) -> None:
    """Raises `Refusal` unless one of these parameters is given, and no other."""
    present = [name for name, value in given.items() if value]
    if not present:
        raise missing(" or ".join(given))
    if len(present) > 1:
        raise Refusal(
            "InvalidParameterCombination",
            f"The parameter {present[0]} cannot be used with the parameter {present[1]}",
        )


def described(value: str, what: str) -> str:
    """A description that a security group or a rule may have; raises `Refusal` InvalidParameterValue."""
    if len(value) > LONGEST_NAME or not _DESCRIBED.fullmatch(value):
        raise Refusal(
            "InvalidParameterValue",
            f"Invalid {what} description. Valid descriptions are strings less than 256 characters "
            f"from the following set:  {_SET}",
        )
    return value


def described_freely(value: str, what: str) -> str:
    """A description that a snapshot, an image or a task may have; raises `Refusal` InvalidParameterValue."""
    if not value.isascii():
        text = f"Invalid {what} description. Character sets beyond ASCII are not supported."
        raise Refusal("InvalidParameterValue", text)
    if len(value) > LONGEST_NAME:
        text = f"Invalid {what} description. It has {len(value)} characters; {LONGEST_NAME} is the limit."
        raise Refusal("InvalidParameterValue", text)
    return value


def group_in_vpc(tx: Tx, account: str, vpc_id: str, id: str) -> Row:
    """The account's group with this id, which must be of this VPC; raises `Refusal` InvalidGroup.NotFound."""
    row = found_group(tx, account, id)
    if row.vpc != vpc_id:
        raise Refusal("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
    return row


def found_group(tx: Tx, account: str, id: str) -> Row:
    """The account's group with this id; raises `Refusal` InvalidGroupId.Malformed or InvalidGroup.NotFound."""
    check_id(id, "InvalidGroupId.Malformed", "sg-")
    return found(group.present(tx, account, id), "InvalidGroup.NotFound", f"The security group '{id}' does not exist")


def named_group(tx: Tx, account: str, vpc_id: str, name: str) -> Row:
    """The VPC's group of this name; raises `Refusal` InvalidGroup.NotFound."""
    text = f"The security group '{name}' does not exist in default VPC '{vpc_id}'"
    return found(group.named(tx, account, vpc_id, name), "InvalidGroup.NotFound", text)


def groups_of_interface(tx: Tx, account: str, vpc_id: str, groups: Iterable[str]) -> list[str]:
    """The ids of groups that an interface in this VPC may have together, each once; raises `Refusal`."""
    ids = [group_in_vpc(tx, account, vpc_id, id).id for id in dict.fromkeys(groups)]
    if len(ids) > GROUPS_PER_INTERFACE:
        raise Refusal(
            "SecurityGroupsPerInterfaceLimitExceeded",
            f"The maximum number of security groups per interface has been reached: it is {GROUPS_PER_INTERFACE}.",
        )
    return ids


def found_interface(tx: Tx, account: str, id: str) -> Row:
    """The account's network interface with this id; raises `Refusal`."""
    check_id(id, "InvalidNetworkInterfaceId.Malformed", "eni-")
    row = interface.find(tx, id)
    return found(
        row if row is not None and row.account == account else None,
        "InvalidNetworkInterfaceID.NotFound",
        f"The networkInterface ID '{id}' does not exist",
    )


def check_region(ctx: Context, name: str) -> None:
    """Raises `Refusal` InvalidParameterValue for another region than this cloud's."""
    if name != ctx.config.region:
        raise invalid(name, "sourceRegion", f"This cloud has one region, {ctx.config.region}.")


def arn(ctx: Context, kind: str, id: str) -> str:
    """The resource's name in AWS's whole world; `kind` is AWS's resource type."""
    owner = "" if kind in OF_ALL else ctx.account
    return f"arn:aws:ec2:{ctx.config.region}:{owner}:{kind}/{id}"


def derived(prefix: str, id: str) -> str:
    """An id for what always comes with another resource: the same digits after another prefix."""
    return f"{prefix}-{id.rpartition('-')[2]}"


def private_dns_name(ip: str, region: str) -> str:
    """The name of a private address, as AWS makes it."""
    suffix = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{ip.replace('.', '-')}.{suffix}"


def default_vpc(tx: Tx, account: str) -> Row:
    """The account's default VPC; raises `Refusal` VPCIdNotSpecified if it has none."""
    return found(vpc.default(tx, account), "VPCIdNotSpecified", "No default VPC for this user")
