"""What an account may have."""

from __future__ import annotations

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.validation import GROUPS_PER_INTERFACE, invalid
from cumulet.identity import quotas
from cumulet.model import account, vpc


@action()
def describe_account_attributes(ctx: Context, attribute_names: list[str] | None = None) -> Result:
    """The account's limits, and its default VPC."""
    with ctx.read() as tx:
        default = vpc.default(tx, ctx.account)
        own = account.find(tx, ctx.account)
    instances, addresses = (quotas.of_row(own, ctx.config, name) for name in ("instances", "addresses"))
    known = {
        "supported-platforms": "VPC",
        "default-vpc": default.id if default is not None else "none",
        "max-instances": str(instances),
        "max-elastic-ips": str(addresses),
        "vpc-max-elastic-ips": str(addresses),
        "vpc-max-security-groups-per-interface": str(GROUPS_PER_INTERFACE),
    }
    for name in attribute_names or []:
        if name not in known:
            raise invalid(name, "attributeName", f"Expecting one of {', '.join(known)}.")
    shown = [name for name in known if not attribute_names or name in attribute_names]
    return {
        "AccountAttributes": [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": known[name]}]} for name in shown
        ]
    }
