"""Notifications of events: a bucket's configuration, and what is told of a request that changed something."""

from __future__ import annotations

import re
from typing import Any

from cumulet.api.s3 import errors
from cumulet.api.s3.call import Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.lib import ids, notices
from cumulet.lib.notices import EVENTS, TARGETS, Event
from cumulet.model import Tx, bucket, notification
from cumulet.model.database import Row

_TARGET = re.compile(r"arn:aws:(sqs|sns|lambda):[a-z0-9-]*:([0-9]{12}):\S+")
_CREATED = {"PutObject": "Put", "CopyObject": "Copy", "CompleteMultipartUpload": "CompleteMultipartUpload"}


def tell(call: Call, tx: Tx, row: Row, name: str, key: bytes, **about: Any) -> None:
    """Have an event of this request told, if the bucket, which is held, wants that; `about` without what is None."""
    if "notification" not in row.settings or not call.config.bus_url:
        return
    who = call.principal
    principal = f"AWS:{who.entity or who.account}" if who is not None else "Anonymous"
    found = {member: value for member, value in about.items() if value is not None}
    event = Event(name, key.decode(), found, principal, call.request.address, call.request_id)
    notification.tell(tx, row, event, call.config.region)


def tell_created(call: Call, tx: Tx, row: Row, size: int, etag: str, version: str | None) -> None:
    """The same for the object that this request has made."""
    name = f"s3:ObjectCreated:{_CREATED.get(call.operation, 'Post')}"
    tell(call, tx, row, name, call.key, size=size, eTag=etag, versionId=version)


@operation("GetBucketNotificationConfiguration", needs=("s3:GetBucketNotification", ""))
def get_bucket_notification_configuration(call: Call, given: Given) -> Result:
    return dict(call.bucket.settings.get("notification") or {})


@operation(
    "PutBucketNotificationConfiguration",
    "NotificationConfiguration SkipDestinationValidation",
    needs=("s3:PutBucketNotification", ""),
)
def put_bucket_notification_configuration(call: Call, given: Given) -> Result:
    wanted = given.get("NotificationConfiguration") or {}
    kept: dict[str, Any] = {}
    for kind, arn in TARGETS.items():
        if wanted.get(kind):
            kept[kind] = [_checked(one, arn) for one in wanted[kind]]
    if notices.overlap(kept):
        why = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
        raise errors.invalid_argument(why)
    arns = notices.destinations(kept)
    if not given.get("SkipDestinationValidation"):
        _validate(call, arns)
    if "EventBridgeConfiguration" in wanted:
        kept["EventBridgeConfiguration"] = {}
    with call.write() as tx:
        row = call.still_there(bucket.hold(tx, call.bucket_name))
        bucket.put(tx, row.name, notification=kept or None)
        if call.config.bus_url and not given.get("SkipDestinationValidation"):
            for arn in dict.fromkeys(arns):
                notification.tell_trial(tx, row, arn, call.request_id)
    return {}


def _checked(one: dict[str, Any], arn: str) -> dict[str, Any]:
    if not _TARGET.fullmatch(one[arn]):
        raise errors.invalid_argument("The ARN could not be parsed", arn, one[arn])
    for event in one["Events"]:
        if event not in EVENTS:
            raise errors.invalid_argument("The event is not supported for notifications", "Event", event)
    rules = ((one.get("Filter") or {}).get("Key") or {}).get("FilterRules", [])
    names = [rule.get("Name", "").lower() for rule in rules]
    for name in names:
        if name not in ("prefix", "suffix"):
            raise errors.invalid_argument("filter rule name must be either prefix or suffix", "FilterRule.Name", name)
        if names.count(name) > 1:
            raise errors.invalid_argument(f"Cannot specify more than one {name} rule in a filter.")
    return {"Id": one.get("Id") or ids.token(32), **{name: value for name, value in one.items() if name != "Id"}}


def _validate(call: Call, arns: list[str]) -> None:
    """Raises InvalidArgument for destinations that nothing can be delivered to."""
    reasons = {}
    for arn in arns:
        found = _TARGET.fullmatch(arn)
        if not call.config.bus_url:
            reasons[arn] = "this cloud has no RabbitMQ (bus_url) to deliver to"
        elif found is None or found[2] != call.bucket.account:
            reasons[arn] = f"the destination must be of the bucket's account {call.bucket.account}"
    if reasons:
        why = "Unable to validate the following destination configurations"
        raise errors.invalid_argument(f"{why}: {'; '.join(f'{arn}, {text}' for arn, text in reasons.items())}")
