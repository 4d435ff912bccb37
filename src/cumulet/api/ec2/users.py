"""Whom a list asks for: accounts by their ids, and AWS's words for some of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cumulet.lib.errors import Refusal

OWNERS = ("self", "amazon", "aws-marketplace", "aws-backup-vault")
"""EC2 API Reference: "DescribeImages", `Owner.N`."""
USERS = ("self", "all")
_ACCOUNT = re.compile(r"[0-9]{12}")


def check_users(users: Iterable[str] | None, words: tuple[str, ...]) -> None:
    """Raises `Refusal` InvalidUserID.Malformed for what is neither the id of an account nor one of `words`."""
    for user in users or []:
        if user not in words and not _ACCOUNT.fullmatch(user):
            text = f'Invalid user id: "{user}". Expecting the 12 digits of an account, or {", ".join(words)}.'
            raise Refusal("InvalidUserID.Malformed", text)
