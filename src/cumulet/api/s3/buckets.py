"""Buckets: list, create, head, locate, delete."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import IntegrityError

from cumulet.api.s3 import access, acl, errors
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.names import check_bucket_name, is_bucket_name
from cumulet.api.s3.operations import operation
from cumulet.identity import quotas
from cumulet.model import Tx, account, bucket, bucket_count, upload
from cumulet.model import object as objects
from cumulet.model.database import Row

OWNERSHIPS = ("BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced")
MAX_BUCKETS = 10_000


@operation("ListBuckets", "MaxBuckets ContinuationToken Prefix BucketRegion")
def list_buckets(call: Call, given: Given) -> Result:
    access.require_own(call, "s3:ListAllMyBuckets", "arn:aws:s3:::*")
    most = given.get("MaxBuckets", MAX_BUCKETS)
    if not 1 <= most <= MAX_BUCKETS:
        raise errors.invalid_argument(f"MaxBuckets is 1 to {MAX_BUCKETS}.", "max-buckets", str(most))
    with call.read() as tx:
        found = bucket.of_account(tx, call.account)
        names = account.of_canonical(tx, [call.canonical_id])
    prefix, after = given.get("Prefix", ""), given.get("ContinuationToken", "")
    if given.get("BucketRegion", call.config.region) != call.config.region:
        found = []
    if "ContinuationToken" in given and not is_bucket_name(after):
        raise errors.invalid_argument("The continuation token provided is incorrect", "continuation-token", after)
    found = [row for row in found if row.name.startswith(prefix) and row.name > after]
    listed = [_listed(call, row) for row in found[:most]]
    result: Result = {"Owner": acl.owner_of(call.canonical_id, names), "Buckets": listed}
    if len(found) > most:
        result["ContinuationToken"] = found[most - 1].name
    return result | ({"Prefix": prefix} if "Prefix" in given else {})


def _listed(call: Call, row: Row) -> dict[str, Any]:
    return {"Name": row.name, "CreationDate": _whole(row.created), "BucketRegion": call.config.region}


def _whole(time: float) -> float:
    return float(int(time))


@operation(
    "CreateBucket",
    "CreateBucketConfiguration ACL GrantFullControl GrantRead GrantReadACP GrantWrite GrantWriteACP ObjectOwnership "
    "ObjectLockEnabledForBucket",
)
def create_bucket(call: Call, given: Given) -> Answer:
    configuration = given.get("CreateBucketConfiguration") or {}
    if "LocationConstraint" in configuration:
        call.context["s3:LocationConstraint"] = configuration["LocationConstraint"]
    access.require_own(call, "s3:CreateBucket", f"arn:aws:s3:::{call.bucket_name}")
    check_bucket_name(call.bucket_name)
    _check_location(call, configuration)
    settings = _settings(call, given, configuration)
    with call.write() as tx:
        existing = bucket.find(tx, call.bucket_name)
        if existing is not None:
            return _exists(call, tx, existing, given)
        _check_quota(call, tx)
        grants = acl.requested(tx, given, call.canonical_id)
        _check_list(settings, grants)
        settings |= {"acl": grants} if grants is not None else {}
        locked = bool(given.get("ObjectLockEnabledForBucket"))
        values = {"name": call.bucket_name, "account": call.account, "owner": call.canonical_id, "settings": settings}
        try:
            with tx.attempt():
                bucket.create(tx, values | {"object_lock": locked, "versioning": "Enabled" if locked else ""})
        except IntegrityError:
            raise _taken(call.bucket_name) from None
    return Answer(200, [("Location", f"/{call.bucket_name}")])


def _settings(call: Call, given: Given, configuration: Given) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    ownership = given.pop("ObjectOwnership", None) or call.config.object_ownership
    if ownership not in OWNERSHIPS:
        raise errors.invalid_argument("Invalid x-amz-object-ownership header", "x-amz-object-ownership", ownership)
    if ownership != "ObjectWriter" or given.get("ObjectOwnership"):
        settings["ownership"] = {"Rules": [{"ObjectOwnership": ownership}]}
    if configuration.get("Tags"):
        settings["tagging"] = configuration["Tags"]
    if given.get("ObjectLockEnabledForBucket"):
        settings["object_lock"] = {"ObjectLockEnabled": "Enabled"}
    return settings


def _check_location(call: Call, configuration: Given) -> None:
    location = configuration.get("LocationConstraint")
    for name in configuration.keys() - {"LocationConstraint", "Tags"}:
        raise errors.unsupported(f"The element {name} of CreateBucketConfiguration", "it has no directory buckets.")
    region = call.config.region
    if location is None or location == region or (location == "" and region == "us-east-1"):
        return
    why = "The specified location-constraint is not valid"
    raise errors.S3Refusal(
        "InvalidLocationConstraint", f"{why}: this cloud has {region}.", 400, LocationConstraint=location
    )


def _check_list(settings: dict[str, Any], grants: list[acl.Grant] | None) -> None:
    ownership = (settings.get("ownership") or {}).get("Rules", [{}])[0].get("ObjectOwnership")
    if grants is not None and ownership == access.ENFORCED and len(grants) > 1:
        why = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        raise errors.S3Refusal("InvalidBucketAclWithObjectOwnership", why, 400)


def _check_quota(call: Call, tx: Tx) -> None:
    most = quotas.limit(tx, call.config, call.account, "buckets")
    if most and bucket.used(tx, call.account)[0] >= most:
        why = "You have attempted to create more buckets than allowed"
        raise errors.S3Refusal("TooManyBuckets", f"{why}: {most}", 400)


def _exists(call: Call, tx: Tx, row: Row, given: Given) -> Answer:
    """In us-east-1 who makes a bucket again gets its list as in the request, as ever (BucketAlreadyOwnedByYou)."""
    if row.account != call.account:
        raise _taken(row.name)
    if call.config.region == "us-east-1":
        grants = acl.requested(tx, given, row.owner)
        access.refuse_lists(row, grants)
        access.refuse_public(row, grants or [])
        bucket.put(tx, row.name, acl=grants)
        return Answer(200, [("Location", f"/{row.name}")])
    why = "Your previous request to create the named bucket succeeded and you already own it."
    raise errors.S3Refusal("BucketAlreadyOwnedByYou", why, 409, BucketName=row.name)


def _taken(name: str) -> errors.S3Refusal:
    why = "The requested bucket name is not available. The bucket namespace is shared by all users of the system."
    return errors.S3Refusal(
        "BucketAlreadyExists", f"{why} Please select a different name and try again.", 409, BucketName=name
    )


@operation("HeadBucket", needs=("s3:ListBucket", "READ"))
def head_bucket(call: Call, given: Given) -> Answer:
    region = call.config.region
    return Answer(200, [("x-amz-bucket-region", region), ("x-amz-access-point-alias", "false")])


@operation("GetBucketLocation", needs=("s3:GetBucketLocation", ""))
def get_bucket_location(call: Call, given: Given) -> Result:
    return {"LocationConstraint": "" if call.config.region == "us-east-1" else call.config.region}


@operation("DeleteBucket", needs=("s3:DeleteBucket", ""))
def delete_bucket(call: Call, given: Given) -> Answer:
    with call.write() as tx:
        call.still_there(bucket.hold(tx, call.bucket_name))
        if not objects.is_empty(tx, call.bucket_name):
            why = "The bucket you tried to delete is not empty"
            raise errors.S3Refusal("BucketNotEmpty", why, 409, BucketName=call.bucket_name)
        upload.abort_all(tx, call.bucket_name)
        bucket_count.forget(tx, call.bucket_name)
        bucket.delete(tx, call.bucket_name)
    return Answer(204)
