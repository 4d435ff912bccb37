"""The later life of an image: disabled, deprecated, and protected from being deregistered."""

from __future__ import annotations

from datetime import datetime

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.image_rows import owned
from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.model import image
from cumulet.model.database import Row

_YEAR = 366 * 24 * 3600.0
_MOST_YEARS, _MOST_YEARS_PUBLIC = 10, 2
_MINUTE = 60


@action()
def disable_image(ctx: Context, image_id: str) -> Result:
    """Nothing can be launched from the image, nobody else has it, and it is shown only where that is asked for."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        if row.state not in ("available", "disabled"):
            raise Refusal("IncorrectState", f"The image '{row.id}' is {row.state}; only an available one is disabled.")
        image.SHARES.close(tx, row.id)
        image.change(tx, row.id, disabled=True)
    return {"Return": True}


@action()
def enable_image(ctx: Context, image_id: str) -> Result:
    """The image is available again, to its account alone."""
    with ctx.write() as tx:
        image.change(tx, owned(tx, ctx.account, image_id).id, disabled=False)
    return {"Return": True}


@action()
def enable_image_deprecation(ctx: Context, image_id: str, deprecate_at: datetime) -> Result:
    """From then on the image is shown to others only where they ask for it; it can still be launched."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        moment = deprecate_at.timestamp() // _MINUTE * _MINUTE
        if moment < tx.now - _MINUTE:
            raise invalid(deprecate_at, "deprecateAt", "It is in the past.")
        years, begun = (_MOST_YEARS_PUBLIC, row.created) if row.public else (_MOST_YEARS, tx.now)
        if moment > begun + years * _YEAR:
            since = "after its creation, since it is public" if row.public else "from now"
            raise invalid(deprecate_at, "deprecateAt", f"The latest is {years} years {since}.")
        image.change(tx, row.id, deprecates=moment)
    return {"Return": True}


@action()
def disable_image_deprecation(ctx: Context, image_id: str) -> Result:
    """The image is not deprecated, and will not be."""
    with ctx.write() as tx:
        image.change(tx, owned(tx, ctx.account, image_id).id, deprecates=None)
    return {"Return": True}


@action()
def enable_image_deregistration_protection(ctx: Context, image_id: str, with_cooldown: bool = False) -> Result:
    """The image cannot be deregistered before that is allowed again; with a cooldown not for a day after that."""
    word = image.COOLDOWN if with_cooldown else "enabled-without-cooldown"
    with ctx.write() as tx:
        image.change(tx, owned(tx, ctx.account, image_id).id, protection=word, protected_until=None)
    return {"Return": word}


@action()
def disable_image_deregistration_protection(ctx: Context, image_id: str) -> Result:
    """The image can be deregistered: now, or where it was protected with a cooldown after a day."""
    with ctx.write() as tx:
        row = owned(tx, ctx.account, image_id)
        if row.protection != image.UNPROTECTED:
            until = tx.now + image.COOLDOWN_SECONDS if row.protection == image.COOLDOWN else None
            image.change(tx, row.id, protection=image.UNPROTECTED, protected_until=until)
    return {"Return": image.UNPROTECTED}


def check_unprotected(row: Row, now: float) -> None:
    """Raises `Refusal` OperationNotPermitted for an image that must not be deregistered now."""
    if row.protection != image.UNPROTECTED:
        raise Refusal(
            "OperationNotPermitted",
            f"The image '{row.id}' is protected from being deregistered ({row.protection}): disable its deregistration "
            "protection first.",
        )
    if row.protected_until is not None and row.protected_until > now:
        left = (row.protected_until - now) / 3600
        text = f"The image '{row.id}' was protected with a cooldown: it can be deregistered in {left:.1f} hours."
        raise Refusal("OperationNotPermitted", text)
