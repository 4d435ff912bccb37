"""Instance profiles of instances: through them a guest has the credentials of a role."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy.exc import IntegrityError

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2 import instance_rows
from cumulet.api.ec2.validation import exactly_one
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, entity, instance, profile
from cumulet.model.database import Row


class ProfileName(TypedDict, total=False):
    Arn: str
    Name: str


def found_profile(tx: Tx, account: str, named: ProfileName) -> Row:
    """The account's instance profile; raises `Refusal` InvalidParameterValue."""
    arn, name = named.get("Arn", ""), named.get("Name", "")
    exactly_one(**{"iamInstanceProfile.arn": arn, "iamInstanceProfile.name": name})
    row = entity.named(tx, account, "instance-profile", name or arn.rpartition("/")[2])
    if row is None or arn and arn != entity.arn_of(row):
        what, value = ("ARN", arn) if arn else ("name", name)
        text = (
            f"Value ({value}) for parameter iamInstanceProfile.{what.lower()} is invalid. Invalid IAM Instance Profile "
        )
        raise Refusal("InvalidParameterValue", text + what)
    return row


@action()
def associate_iam_instance_profile(ctx: Context, iam_instance_profile: ProfileName, instance_id: str) -> Result:
    """The guest is told credentials of the profile's role, and gets new ones before they end."""
    with ctx.write() as tx:
        row = instance_rows.settable(instance_rows.one(tx, ctx.account, instance_id))
        wanted = found_profile(tx, ctx.account, iam_instance_profile)
        try:
            with tx.attempt():
                id = profile.associate(tx, ctx.account, row.id, wanted)
        except IntegrityError:
            raise Refusal("IncorrectState", f"There is an existing association for instance {row.id}") from None
        profile.tell(tx, row.id)
        return {"IamInstanceProfileAssociation": _view(_found(tx, ctx, id), "associating")}


@action()
def disassociate_iam_instance_profile(ctx: Context, association_id: str) -> Result:
    """The guest is told nothing of credentials any more; those that it has end by themselves."""
    with ctx.write() as tx:
        row = _found(tx, ctx, association_id)
        profile.remove(tx, row.instance)
        profile.tell(tx, row.instance)
    return {"IamInstanceProfileAssociation": _view(row, "disassociating")}


@action()
def replace_iam_instance_profile_association(
    ctx: Context, iam_instance_profile: ProfileName, association_id: str
) -> Result:
    """Another profile for the same instance, by an association with another id."""
    with ctx.write() as tx:
        row = _found(tx, ctx, association_id)
        wanted = found_profile(tx, ctx.account, iam_instance_profile)
        profile.remove(tx, row.instance)
        id = profile.associate(tx, ctx.account, row.instance, wanted)
        profile.tell(tx, row.instance)
        return {"IamInstanceProfileAssociation": _view(_found(tx, ctx, id), "associating")}


@describes(
    "IamInstanceProfileAssociations",
    id="AssociationId",
    ids="association_ids",
    missing="InvalidAssociationID.NotFound",
    filters={"instance-id": "InstanceId", "state": "State"},
)
def describe_iam_instance_profile_associations(ctx: Context) -> list[Item]:
    """Those of the account's instances that are not terminated."""
    with ctx.read() as tx:
        living = {row.id for row in instance.of_account(tx, ctx.account) if row.desired != "terminated"}
        return [_view(row, "associated") for row in profile.of_account(tx, ctx.account) if row.instance in living]


def _found(tx: Tx, ctx: Context, id: str) -> Row:
    """The association of an instance that is not terminated; raises `Refusal`."""
    row = profile.find(tx, ctx.account, id)
    guest = instance.find(tx, row.instance) if row is not None else None
    if row is None or guest is None or guest.desired == "terminated":
        raise Refusal("InvalidAssociationID.NotFound", f"An invalid association-id of '{id}' was given")
    return row


def _view(row: Row, state: str) -> Item:
    return {
        "AssociationId": row.id,
        "InstanceId": row.instance,
        "IamInstanceProfile": shown(row),
        "State": state,
        "Timestamp": row.created,
    }


def shown(row: Row) -> Item:
    """As an instance shows it."""
    return {"Arn": row.arn, "Id": row.profile}
