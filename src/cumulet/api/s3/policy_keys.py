"""The condition keys of S3's own that a bucket's policy may name, and the actions that know them.

Source: "Actions, resources, and condition keys for Amazon S3" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from cumulet.api.s3.errors import S3Refusal
from cumulet.identity.policy_patterns import glob

_ANY = """
    AccessGrantsInstanceArn AccessPointNetworkOrigin AccessPointTag/ BucketTag/ DataAccessPointAccount
    DataAccessPointArn ResourceAccount TlsVersion authType signatureAge signatureversion x-amz-content-sha256
"""
"""Of all actions, or of so many that it is not told apart here; a `/` stands before the key of a tag."""
_WITH_LIST = "BypassGovernanceRetention CreateBucket PutBucketAcl PutObject PutObjectAcl PutObjectVersionAcl"
_TO_ENCRYPT = "BypassGovernanceRetention PutObject ReplicateObject UpdateObjectEncryption"
_TO_TAG = "BypassGovernanceRetention PutObject PutObjectTagging PutObjectVersionTagging"
_OF_SOME = {
    "ExistingObjectTag/": """
        DeleteObjectTagging DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAttributes GetObjectTagging
        GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionTagging PutObjectAcl
        PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging
    """,
    "InventoryAccessibleOptionalFields": "PutInventoryConfiguration",
    "ObjectCreationOperation": "PutObject",
    "RequestObjectTag/": _TO_TAG,
    "RequestObjectTagKeys": _TO_TAG,
    "delimiter": "ListBucket ListBucketVersions",
    "destinationRegion": "PauseReplication",
    "if-match": "DeleteObject PutObject",
    "if-none-match": "PutObject",
    "isReplicationPauseRequest": "PutReplicationConfiguration",
    "locationconstraint": "CreateBucket",
    "max-keys": "ListBucket ListBucketVersions",
    "object-lock-legal-hold": "PutObject PutObjectLegalHold",
    "object-lock-mode": "PutObject PutObjectRetention",
    "object-lock-remaining-retention-days": "PutObject PutObjectRetention",
    "object-lock-retain-until-date": "PutObject PutObjectRetention",
    "prefix": "ListBucket ListBucketVersions",
    "versionid": """
        DeleteObjectVersion DeleteObjectVersionTagging GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes
        GetObjectVersionTagging GetObjectVersionTorrent PutObjectVersionAcl PutObjectVersionTagging
    """,
    "x-amz-acl": _WITH_LIST,
    "x-amz-bucket-namespace": "CreateBucket",
    "x-amz-copy-source": "BypassGovernanceRetention PutObject",
    "x-amz-grant-full-control": _WITH_LIST,
    "x-amz-grant-read": _WITH_LIST,
    "x-amz-grant-read-acp": _WITH_LIST,
    "x-amz-grant-write": _WITH_LIST,
    "x-amz-grant-write-acp": _WITH_LIST,
    "x-amz-metadata-directive": "BypassGovernanceRetention PutObject",
    "x-amz-object-ownership": "CreateBucket",
    "x-amz-server-side-encryption": _TO_ENCRYPT,
    "x-amz-server-side-encryption-aws-kms-key-id": _TO_ENCRYPT,
    "x-amz-server-side-encryption-customer-algorithm": "BypassGovernanceRetention PutObject ReplicateObject",
    "x-amz-storage-class": "BypassGovernanceRetention PutObject PutObjectAcl PutObjectVersionAcl",
    "x-amz-website-redirect-location": "BypassGovernanceRetention PutObject",
}
ACTIONS: dict[str, frozenset[str]] = {f"s3:{name.lower()}": frozenset() for name in _ANY.split()}
"""By key, in small letters as the actions are; none: all of them."""
ACTIONS |= {
    f"s3:{name.lower()}": frozenset(f"s3:{action.lower()}" for action in actions.split())
    for name, actions in _OF_SOME.items()
}


def check_keys(statement: dict[str, Any]) -> None:
    """Each condition key of S3's is one that it has, and that one action of the statement at least knows.

    Raises `S3Refusal` MalformedPolicy.
    """
    for key in (key for keys in statement.get("Condition", {}).values() for key in keys):
        name, slash, _ = key.lower().partition("/")
        if not name.startswith("s3:"):
            continue
        known = ACTIONS.get(name + slash)
        if known is None:
            raise S3Refusal("MalformedPolicy", "Policy has an invalid condition key", 400, Detail=key)
        if known and "Action" in statement and not _is_any_of(statement["Action"], known):
            why = "Conditions do not apply to combination of actions and resources in statement"
            raise S3Refusal("MalformedPolicy", why, 400, Detail=key)


def _is_any_of(actions: str | list[str], known: frozenset[str]) -> bool:
    named = actions if isinstance(actions, list) else [actions]
    meant = [glob((("s3:*" if one == "*" else one.lower(), True),)) for one in named]
    return any(is_meant(action) for is_meant in meant for action in known)
