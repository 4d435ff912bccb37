"""Describing instances."""

from __future__ import annotations

from cumulet.api.actions import Item, Result, describes
from cumulet.api.context import Context
from cumulet.api.ec2.instance_filters import FILTERS
from cumulet.api.ec2.instance_view import items, reservations


def _answer(shown: list[Item]) -> Result:
    return {"Reservations": reservations(shown)}


@describes(
    "Reservations",
    id="InstanceId",
    ids="instance_ids",
    missing="InvalidInstanceID.NotFound",
    malformed="InvalidInstanceID.Malformed",
    prefix="i-",
    filters=FILTERS,
    answer=_answer,
    accepts={"IncludeManagedResources": "no instance here is managed by a service of AWS"},
)
def describe_instances(ctx: Context, instance_ids: list[str] | None = None) -> list[Item]:
    """The account's instances, terminated ones for as long as they are visible."""
    with ctx.read() as tx:
        return items(ctx, tx, instance_ids)
