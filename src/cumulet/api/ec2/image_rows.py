"""Finding the images that a request names, with AWS's refusals for those that are not there."""

from __future__ import annotations

from cumulet.lib.errors import Refusal
from cumulet.model import Tx, image
from cumulet.model.database import Row


def usable(tx: Tx, account: str, id: str) -> Row:
    """An image that the account may use, deregistered or not.

    Raises `Refusal` InvalidAMIID.Malformed or InvalidAMIID.NotFound.
    """
    if not id.startswith("ami-"):
        raise Refusal("InvalidAMIID.Malformed", f'Invalid id: "{id}" (expecting "ami-...")')
    row = image.usable(tx, account, id)
    if row is None:
        raise Refusal("InvalidAMIID.NotFound", f"The image id '[{id}]' does not exist")
    return row


def registered(tx: Tx, account: str, id: str) -> Row:
    """An image that the account may use now; raises `Refusal` InvalidAMIID.Unavailable for a deregistered one."""
    row = usable(tx, account, id)
    if row.deregistered:
        raise Refusal("InvalidAMIID.Unavailable", f"The image id '[{id}]' is no longer available")
    return row


def launchable(tx: Tx, account: str, id: str) -> Row:
    """An image that instances can be launched from; raises `Refusal` InvalidAMIID.Unavailable for one that is not."""
    row = registered(tx, account, id)
    if row.state != "available":
        why = f": {row.reason}" if row.reason else ""
        state = row.state or "without its file"
        raise Refusal("InvalidAMIID.Unavailable", f"The image ID '{id}' is not available; it is {state}{why}")
    return row


def owned(tx: Tx, account: str, id: str) -> Row:
    """An image of the account's own, not deregistered; raises `Refusal` AuthFailure for another account's."""
    row = registered(tx, account, id)
    if row.account != account:
        raise Refusal("AuthFailure", f"Not authorized for image:{id}", 403)
    return row
