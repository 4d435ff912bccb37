"""The actions that a bucket's policy may name: S3's on objects, and on buckets.

Those of S3 that are not here yet may be named too, as a policy of AWS brings them along.
Source: "Actions, resources, and condition keys for Amazon S3" (Service Authorization Reference).
"""

from __future__ import annotations

from typing import Any

from cumulet.api.s3.errors import S3Refusal
from cumulet.identity.policy_patterns import glob


def _names(text: str) -> frozenset[str]:
    return frozenset(f"s3:{name.lower()}" for name in text.split())


OF_OBJECTS = _names("""
    AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectAnnotation DeleteObjectTagging
    DeleteObjectVersion DeleteObjectVersionAnnotation DeleteObjectVersionTagging GetObject GetObjectAcl
    GetObjectAnnotation GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging
    GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAnnotation
    GetObjectVersionAnnotationForReplication GetObjectVersionAttributes GetObjectVersionForReplication
    GetObjectVersionTagging GetObjectVersionTorrent InitiateReplication ListMultipartUploadParts
    ListObjectAnnotations ListObjectVersionAnnotations ObjectOwnerOverrideToBucketOwner PutObject PutObjectAcl
    PutObjectAnnotation PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl
    PutObjectVersionAnnotation PutObjectVersionTagging ReplicateDelete ReplicateObject ReplicateObjectAnnotation
    ReplicateTags RestoreObject UpdateObjectEncryption
""")
OF_BUCKETS = _names("""
    AllowVendedLogDeliveryForResource CreateBucket CreateBucketMetadataTableConfiguration DeleteBucket
    DeleteBucketMetadataTableConfiguration DeleteBucketPolicy DeleteBucketWebsite GetAccelerateConfiguration
    GetAnalyticsConfiguration GetBucketAbac GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging
    GetBucketMetadataTableConfiguration GetBucketNotification GetBucketObjectLockConfiguration
    GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock
    GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetEncryptionConfiguration
    GetIntelligentTieringConfiguration GetInventoryConfiguration GetLifecycleConfiguration
    GetMetricsConfiguration GetReplicationConfiguration ListBucket ListBucketMultipartUploads ListBucketVersions
    ListTagsForResource PauseReplication PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketAbac
    PutBucketAcl PutBucketCORS PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration
    PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock PutBucketRequestPayment
    PutBucketTagging PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration
    PutIntelligentTieringConfiguration PutInventoryConfiguration PutLifecycleConfiguration
    PutMetricsConfiguration PutReplicationConfiguration TagResource UntagResource
    UpdateBucketMetadataAnnotationTableConfiguration UpdateBucketMetadataInventoryTableConfiguration
    UpdateBucketMetadataJournalTableConfiguration
""")


def check_actions(statement: dict[str, Any], arn: str) -> None:
    """Each action is one of S3's, and of something that the statement names: of the bucket `arn`, or of objects.

    Raises `S3Refusal` MalformedPolicy.
    """
    resources = _listed(statement, "Resource")
    objects = not resources or any(one != arn for one in resources)
    buckets = not resources or any(not one.startswith(f"{arn}/") for one in resources)
    for action in _listed(statement, "Action") or _listed(statement, "NotAction"):
        meant = glob((("s3:*" if action == "*" else action.lower(), True),))
        of_objects, of_buckets = any(map(meant, OF_OBJECTS)), any(map(meant, OF_BUCKETS))
        if not of_objects and not of_buckets:
            raise S3Refusal("MalformedPolicy", "Policy has invalid action", 400, Detail=action)
        if "Action" in statement and not (objects and of_objects or buckets and of_buckets):
            why = "Action does not apply to any resource(s) in statement"
            raise S3Refusal("MalformedPolicy", why, 400, Detail=action)


def _listed(statement: dict[str, Any], name: str) -> list[str]:
    found = statement.get(name, [])
    return found if isinstance(found, list) else [found]
