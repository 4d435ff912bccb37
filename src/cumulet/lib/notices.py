"""Events of a bucket: which of its configurations want one, and the record that their destinations get.

Sources: "Event notification types and destinations", "Event message structure" and "Configuring event notifications
using object key name filtering" of the Amazon S3 User Guide.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, NamedTuple
from urllib.parse import quote_plus

TARGETS = {
    "TopicConfigurations": "TopicArn",
    "QueueConfigurations": "QueueArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
"""The lists of a configuration, and which member of each element names its destination."""
_KINDS = {
    "ObjectCreated": "* Put Post Copy CompleteMultipartUpload",
    "ObjectRemoved": "* Delete DeleteMarkerCreated",
    "ObjectRestore": "* Post Completed Delete",
    "Replication": "* OperationFailedReplication OperationNotTracked OperationMissedThreshold "
    "OperationReplicatedAfterThreshold",
    "LifecycleExpiration": "* Delete DeleteMarkerCreated",
    "ObjectTagging": "* Put Delete",
}
EVENTS = frozenset(
    [f"s3:{kind}:{act}" for kind, acts in _KINDS.items() for act in acts.split()]
    + ["s3:ObjectAcl:Put", "s3:LifecycleTransition", "s3:IntelligentTiering", "s3:ReducedRedundancyLostObject"]
)
"""All that a configuration may name; of replication, restoring and tiering there is nothing to tell here."""


class Event(NamedTuple):
    """What happened to a key: `name` as EVENTS has it, `object` what its record says beside the key."""

    name: str
    key: str
    object: dict[str, Any]
    principal: str
    """Who did it: `AWS:` and an id, or the name of the service that did."""
    address: str = ""
    request: str = ""


class Wanted(NamedTuple):
    """A destination that wants an event, and the configuration that says so."""

    routing_key: str
    configuration: str


def wanting(settings: dict[str, Any], account: str, name: str, key: str) -> list[Wanted]:
    """Who is to hear of this event, by the bucket's settings; `account` is the bucket's."""
    found = settings.get("notification")
    if not found:
        return []
    return [
        Wanted(routing_key(one[arn], account), one["Id"])
        for one, arn in _targets(found)
        if any(_covers(event, name) for event in one["Events"]) and _passes(one, key)
    ]


def destinations(configuration: dict[str, Any]) -> list[str]:
    """The ARNs that a configuration names."""
    return [one[arn] for one, arn in _targets(configuration)]


def _targets(configuration: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for kind, arn in TARGETS.items():
        for one in configuration.get(kind, []):
            yield one, arn


def routing_key(arn: str, account: str) -> str:
    """`SERVICE.ACCOUNT.NAME` of a destination; the account is always the bucket's, whatever the ARN says."""
    parts = arn.split(":")
    return f"{parts[2]}.{account}.{parts[-1]}"[:255]


def _covers(event: str, name: str) -> bool:
    return event == name or (event.endswith(":*") and name.startswith(event[:-1]))


def _rules(one: dict[str, Any]) -> dict[str, str]:
    rules = ((one.get("Filter") or {}).get("Key") or {}).get("FilterRules", [])
    return {rule["Name"].lower(): rule.get("Value", "") for rule in rules}


def _passes(one: dict[str, Any], key: str) -> bool:
    rules = _rules(one)
    return key.startswith(rules.get("prefix", "")) and key.endswith(rules.get("suffix", ""))


def overlap(configuration: dict[str, Any]) -> bool:
    """Whether two of its elements want the same event of the same key, which S3 does not allow."""
    return any(_overlap(one, other) for (one, _), (other, _) in combinations(_targets(configuration), 2))


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if not any(_covers(a, b) or _covers(b, a) for a in one["Events"] for b in other["Events"]):
        return False
    mine, theirs = _rules(one), _rules(other)
    prefixes = mine.get("prefix", ""), theirs.get("prefix", "")
    suffixes = mine.get("suffix", ""), theirs.get("suffix", "")
    same_start = prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0])
    return same_start and (suffixes[0].endswith(suffixes[1]) or suffixes[1].endswith(suffixes[0]))


_NEWER = ("s3:Lifecycle", "s3:ObjectTagging", "s3:ObjectAcl")


def record(event: Event, bucket: tuple[str, str], configuration: str, sequence: int, now: float, region: str) -> str:
    """The message of one event; `bucket` is its name and its owner's canonical id."""
    parameters = {"sourceIPAddress": event.address or "127.0.0.1"}
    about: dict[str, Any] = {"key": quote_plus(event.key, safe="/"), **event.object, "sequencer": f"{sequence:016X}"}
    of = {"name": bucket[0], "ownerIdentity": {"principalId": bucket[1]}, "arn": f"arn:aws:s3:::{bucket[0]}"}
    said = {
        "eventVersion": "2.3" if event.name.startswith(_NEWER) else "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": _written(now),
        "eventName": event.name.removeprefix("s3:"),
        "userIdentity": {"principalId": event.principal},
        "requestParameters": parameters,
        "responseElements": {"x-amz-request-id": event.request, "x-amz-id-2": "cumulet"},
        "s3": {"s3SchemaVersion": "1.0", "configurationId": configuration, "bucket": of, "object": about},
    }
    return json.dumps({"Records": [said]})


def trial(bucket: str, request: str, now: float) -> str:
    """The message that a destination gets when it is configured."""
    said = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": _written(now), "Bucket": bucket}
    return json.dumps({**said, "RequestId": request, "HostId": "cumulet"})


def _written(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
