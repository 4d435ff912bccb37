"""What a new image must have whatever it is made of: a name of its own, and room in the account's quota."""

from __future__ import annotations

import re

from cumulet.api.context import Context
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, image

_NAME = re.compile(r"[a-zA-Z0-9()\[\] ./\-'@_]{3,128}")


def check_name(name: str) -> None:
    """Raises `Refusal` InvalidAMIName.Malformed."""
    if not _NAME.fullmatch(name):
        raise Refusal(
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '[', "
            f"']', ' ', '.', '/', '-', \"'\", '@' and '_'; {name[:140]!r} does not.",
        )


def check_new(ctx: Context, tx: Tx, name: str) -> None:
    """Raises `Refusal` AmiLimitExceeded or InvalidAMIName.Duplicate."""
    most = ctx.quota(tx, "images")
    if image.count(tx, ctx.account) >= most:
        raise Refusal("AmiLimitExceeded", f"The maximum number of AMIs has been reached: it is {most}.")
    if image.named(tx, ctx.account, name) is not None:
        raise Refusal("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by an AMI of this account.")
