"""Finding the images that a request names, with AWS's refusals for those that are not there."""

from __future__ import annotations

from cumulet.api.id_forms import check_id
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, image
from cumulet.model.database import Row

PREFIXES = ("ami-", "aki-", "ari-")


def usable(tx: Tx, account: str, id: str) -> Row:
    """An image that the account may use, deregistered or not.

    Raises `Refusal` InvalidAMIID.Malformed or InvalidAMIID.NotFound.
    """
    check_id(id, "InvalidAMIID.Malformed", *PREFIXES)
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
    if row.kind != "machine":
        raise Refusal(
            "InvalidParameterValue", f"The image '{id}' is a {row.kind} image; instances are launched from an ami-…."
        )
    _check_available(row)
    return row


def booting(tx: Tx, account: str, id: str, kind: str) -> Row:
    """A kernel or ramdisk image that guests can boot with; raises `Refusal`."""
    row = registered(tx, account, id)
    if row.kind != kind:
        raise Refusal("InvalidParameterValue", f"The image '{id}' is a {row.kind} image, not a {kind} image.")
    _check_available(row)
    return row


def _check_available(row: Row) -> None:
    if row.state != "available":
        why = f": {row.reason}" if row.reason else ""
        state = row.state or "without its file"
        raise Refusal("InvalidAMIID.Unavailable", f"The image ID '{row.id}' is not available; it is {state}{why}")


def owned(tx: Tx, account: str, id: str) -> Row:
    """An image of the account's own, not deregistered; raises `Refusal` AuthFailure for another account's."""
    row = registered(tx, account, id)
    if row.account != account:
        raise Refusal("AuthFailure", f"Not authorized for image:{id}", 403)
    return row
