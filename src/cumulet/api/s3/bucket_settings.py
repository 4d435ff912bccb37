"""What a bucket is set to: versioning, tags, list, policy, blocks, ownership, encryption, object lock, and the rest."""

from __future__ import annotations

import json
from typing import Any

from cumulet.api.s3 import access, acl, describing, errors
from cumulet.api.s3.call import Answer, Call, Given, Result
from cumulet.api.s3.operations import operation
from cumulet.api.s3.policy_actions import check_actions
from cumulet.api.s3.policy_keys import check_keys
from cumulet.model import Tx, account, bucket
from cumulet.wire.rest_parse import malformed

MAX_BUCKET_TAGS = 50
MAX_POLICY = 20 << 10


def change(call: Call, **settings: Any) -> None:
    """Set these; None takes one away."""
    with call.write() as tx:
        call.still_there(bucket.hold(tx, call.bucket_name))
        bucket.put(tx, call.bucket_name, **settings)


def setting(call: Call, name: str, code: str, message: str) -> Any:
    """A setting; raises `code` where there is none."""
    found = call.bucket.settings.get(name)
    if found is None:
        raise errors.S3Refusal(code, message, 404, BucketName=call.bucket_name)
    return found


@operation("GetBucketVersioning", needs=("s3:GetBucketVersioning", ""))
def get_bucket_versioning(call: Call, given: Given) -> Result:
    return {"Status": call.bucket.versioning} if call.bucket.versioning else {}


@operation("PutBucketVersioning", "VersioningConfiguration MFA", needs=("s3:PutBucketVersioning", ""))
def put_bucket_versioning(call: Call, given: Given) -> Result:
    wanted = given.get("VersioningConfiguration") or {}
    if wanted.get("MFADelete") == "Enabled" or given.get("MFA"):
        raise errors.unsupported("MFA delete", "there are no MFA devices.")
    status = wanted.get("Status")
    if status is None:
        why = "The versioning configuration specified in the request is invalid: its Status is Enabled or Suspended."
        raise errors.S3Refusal("IllegalVersioningConfigurationException", why, 400)
    if call.bucket.object_lock and status != "Enabled":
        why = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        raise errors.S3Refusal("InvalidBucketState", why, 409)
    with call.write() as tx:
        call.still_there(bucket.hold(tx, call.bucket_name))
        bucket.change(tx, call.bucket_name, versioning=status)
    return {}


@operation("GetBucketTagging", needs=("s3:GetBucketTagging", ""))
def get_bucket_tagging(call: Call, given: Given) -> Result:
    return {"TagSet": setting(call, "tagging", "NoSuchTagSet", "The TagSet does not exist")}


@operation("PutBucketTagging", "Tagging", needs=("s3:PutBucketTagging", ""))
def put_bucket_tagging(call: Call, given: Given) -> Answer:
    tags = describing.checked_tags(_body(given, "Tagging")["TagSet"], MAX_BUCKET_TAGS)
    change(call, tagging=[{"Key": key, "Value": value} for key, value in tags])
    return Answer(204)


@operation("DeleteBucketTagging", needs=("s3:PutBucketTagging", ""))
def delete_bucket_tagging(call: Call, given: Given) -> Answer:
    change(call, tagging=None)
    return Answer(204)


def _body(given: Given, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = given.get(name)
    if found is None:
        raise malformed(f"the body is {name}")
    return found


@operation("GetBucketAcl", needs=("s3:GetBucketAcl", "READ_ACP"))
def get_bucket_acl(call: Call, given: Given) -> Result:
    with call.read() as tx:
        return acl.rendered(call, tx, call.bucket.owner, access.grants_of(call.bucket, None))


@operation(
    "PutBucketAcl",
    "ACL AccessControlPolicy GrantFullControl GrantRead GrantReadACP GrantWrite GrantWriteACP",
    needs=("s3:PutBucketAcl", "WRITE_ACP"),
)
def put_bucket_acl(call: Call, given: Given) -> Result:
    with call.write() as tx:
        row = call.still_there(bucket.hold(tx, call.bucket_name))
        grants = acl_of(tx, given, row.owner)
        access.refuse_list(row)
        access.refuse_public(row, grants)
        bucket.put(tx, row.name, acl=grants)
    return {}


def acl_of(tx: Tx, given: Given, owner: str, bucket_owner: str = "") -> list[acl.Grant]:
    """The list of a PutBucketAcl or PutObjectAcl: by headers or as XML."""
    policy = given.pop("AccessControlPolicy", None)
    by_header = acl.requested(tx, given, owner, bucket_owner)
    if policy is not None and by_header is not None:
        raise errors.S3Refusal("UnexpectedContent", "This request does not support content", 400)
    if by_header is not None:
        return by_header
    if policy is None:
        missing = "Your request was missing a required header"
        raise errors.S3Refusal("MissingSecurityHeader", missing, 400, MissingHeaderName="x-amz-acl")
    return acl.from_policy(tx, policy, owner)


@operation("GetBucketPolicy", needs=("s3:GetBucketPolicy", ""))
def get_bucket_policy(call: Call, given: Given) -> Answer:
    text = setting(call, "policy", "NoSuchBucketPolicy", "The bucket policy does not exist")
    return Answer(200, [("Content-Type", "application/json")], text.encode())


@operation(
    "PutBucketPolicy",
    "Policy",
    needs=("s3:PutBucketPolicy", ""),
    accepts={"ConfirmRemoveSelfBucketAccess": "the root of the owner's account may change the policy whatever it says"},
)
def put_bucket_policy(call: Call, given: Given) -> Answer:
    text = given.get("Policy", "")
    if len(text.encode()) > MAX_POLICY:
        raise errors.S3Refusal("PolicyTooLarge", f"Policies must not be larger than {MAX_POLICY} bytes", 400)
    _check_policy(call, text)
    if access.block(call.bucket).get("BlockPublicPolicy") and access.is_public(text):
        raise errors.denied("Public policies are blocked by the BlockPublicPolicy setting of the bucket.")
    change(call, policy=text)
    return Answer(204)


def _check_policy(call: Call, text: str) -> None:
    """A bucket's policy speaks of that bucket only, and each statement of somebody who is there."""
    access.compiled(text)
    statements = json.loads(text)["Statement"]
    arn = f"arn:aws:s3:::{call.bucket_name}"
    for one in statements if isinstance(statements, list) else [statements]:
        if "Principal" not in one and "NotPrincipal" not in one:
            raise errors.S3Refusal("MalformedPolicy", "Missing required field Principal", 400)
        _check_principal(call, one.get("Principal", one.get("NotPrincipal")))
        listed = one.get("Resource", one.get("NotResource", []))
        for resource in listed if isinstance(listed, list) else [listed]:
            if resource not in ("*", arn) and not resource.startswith((f"{arn}/", f"{arn}*")):
                raise errors.S3Refusal("MalformedPolicy", "Policy has invalid resource", 400, Detail=resource)
        check_actions(one, arn)
        check_keys(one)


def _check_principal(call: Call, principal: Any) -> None:
    """The accounts that a principal names are there."""
    named = principal.get("AWS", []) if isinstance(principal, dict) else []
    for one in named if isinstance(named, list) else [named]:
        id = one.split(":")[4] if one.startswith("arn:") and one.count(":") >= 5 else one
        with call.read() as tx:
            if id != "*" and account.find(tx, id) is None:
                raise errors.S3Refusal("MalformedPolicy", "Invalid principal in policy", 400, Detail=one)


@operation("DeleteBucketPolicy", needs=("s3:DeleteBucketPolicy", ""))
def delete_bucket_policy(call: Call, given: Given) -> Answer:
    change(call, policy=None)
    return Answer(204)


@operation("GetBucketPolicyStatus", needs=("s3:GetBucketPolicyStatus", ""))
def get_bucket_policy_status(call: Call, given: Given) -> Result:
    text = setting(call, "policy", "NoSuchBucketPolicy", "The bucket policy does not exist")
    return {"PolicyStatus": {"IsPublic": access.is_public(text)}}


_NO_BLOCK = "The public access block configuration was not found"


@operation("GetPublicAccessBlock", needs=("s3:GetBucketPublicAccessBlock", ""))
def get_public_access_block(call: Call, given: Given) -> Result:
    found = setting(call, "public_access_block", "NoSuchPublicAccessBlockConfiguration", _NO_BLOCK)
    return {"PublicAccessBlockConfiguration": found}


@operation("PutPublicAccessBlock", "PublicAccessBlockConfiguration", needs=("s3:PutBucketPublicAccessBlock", ""))
def put_public_access_block(call: Call, given: Given) -> Result:
    wanted = _body(given, "PublicAccessBlockConfiguration")
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    change(call, public_access_block={name: bool(wanted.get(name)) for name in names})
    return {}


@operation("DeletePublicAccessBlock", needs=("s3:PutBucketPublicAccessBlock", ""))
def delete_public_access_block(call: Call, given: Given) -> Answer:
    change(call, public_access_block=None)
    return Answer(204)


@operation("GetBucketOwnershipControls", needs=("s3:GetBucketOwnershipControls", ""))
def get_bucket_ownership_controls(call: Call, given: Given) -> Result:
    missing = "The bucket ownership controls were not found"
    return {"OwnershipControls": setting(call, "ownership", "OwnershipControlsNotFoundError", missing)}


@operation("PutBucketOwnershipControls", "OwnershipControls", needs=("s3:PutBucketOwnershipControls", ""))
def put_bucket_ownership_controls(call: Call, given: Given) -> Result:
    wanted = _body(given, "OwnershipControls")
    if len(wanted["Rules"]) != 1:
        raise malformed("OwnershipControls has one Rule")
    enforced = wanted["Rules"][0]["ObjectOwnership"] == access.ENFORCED
    others = [one for one in access.grants_of(call.bucket, None) if one[1] != call.bucket.owner]
    if enforced and others:
        why = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        raise errors.S3Refusal("InvalidBucketAclWithObjectOwnership", why, 400)
    change(call, ownership=wanted)
    return {}


@operation("DeleteBucketOwnershipControls", needs=("s3:PutBucketOwnershipControls", ""))
def delete_bucket_ownership_controls(call: Call, given: Given) -> Answer:
    change(call, ownership=None)
    return Answer(204)


_NOT_ENCRYPTED = "The server side encryption configuration was not found"


@operation("GetBucketEncryption", needs=("s3:GetEncryptionConfiguration", ""))
def get_bucket_encryption(call: Call, given: Given) -> Result:
    found = setting(call, "encryption", "ServerSideEncryptionConfigurationNotFoundError", _NOT_ENCRYPTED)
    return {"ServerSideEncryptionConfiguration": found}


@operation("PutBucketEncryption", "ServerSideEncryptionConfiguration", needs=("s3:PutEncryptionConfiguration", ""))
def put_bucket_encryption(call: Call, given: Given) -> Result:
    wanted = _body(given, "ServerSideEncryptionConfiguration")
    if len(wanted["Rules"]) != 1:
        raise malformed("ServerSideEncryptionConfiguration has one Rule")
    default = wanted["Rules"][0].get("ApplyServerSideEncryptionByDefault") or {}
    if default.get("SSEAlgorithm", "AES256") != "AES256":
        raise errors.unsupported(
            f"The encryption {default['SSEAlgorithm']}", "it has no key management service; use AES256."
        )
    if default.get("KMSMasterKeyID"):
        raise errors.invalid_argument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms")
    change(call, encryption=wanted)
    return {}


@operation("DeleteBucketEncryption", needs=("s3:PutEncryptionConfiguration", ""))
def delete_bucket_encryption(call: Call, given: Given) -> Answer:
    change(call, encryption=None)
    return Answer(204)


@operation("GetBucketRequestPayment", needs=("s3:GetBucketRequestPayment", ""))
def get_bucket_request_payment(call: Call, given: Given) -> Result:
    return {"Payer": call.bucket.settings.get("payer", "BucketOwner")}


@operation("PutBucketRequestPayment", "RequestPaymentConfiguration", needs=("s3:PutBucketRequestPayment", ""))
def put_bucket_request_payment(call: Call, given: Given) -> Result:
    change(call, payer=_body(given, "RequestPaymentConfiguration")["Payer"])
    return {}


@operation("GetBucketAccelerateConfiguration", needs=("s3:GetAccelerateConfiguration", ""))
def get_bucket_accelerate_configuration(call: Call, given: Given) -> Result:
    found = call.bucket.settings.get("accelerate")
    return {"Status": found} if found else {}


@operation("PutBucketAccelerateConfiguration", "AccelerateConfiguration", needs=("s3:PutAccelerateConfiguration", ""))
def put_bucket_accelerate_configuration(call: Call, given: Given) -> Result:
    if "." in call.bucket_name:
        raise errors.invalid_request(
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        )
    status = _body(given, "AccelerateConfiguration").get("Status")
    if status is None:
        raise malformed("AccelerateConfiguration has a Status")
    change(call, accelerate=status)
    return {}


@operation("GetObjectLockConfiguration", needs=("s3:GetBucketObjectLockConfiguration", ""))
def get_object_lock_configuration(call: Call, given: Given) -> Result:
    missing = "Object Lock configuration does not exist for this bucket"
    return {"ObjectLockConfiguration": setting(call, "object_lock", "ObjectLockConfigurationNotFoundError", missing)}


@operation(
    "PutObjectLockConfiguration",
    "ObjectLockConfiguration",
    needs=("s3:PutBucketObjectLockConfiguration", ""),
    accepts={"Token": "object lock can be given to any bucket with versioning"},
)
def put_object_lock_configuration(call: Call, given: Given) -> Result:
    wanted = _body(given, "ObjectLockConfiguration")
    if call.bucket.versioning != "Enabled":
        why = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
        raise errors.S3Refusal("InvalidBucketState", why, 409)
    if wanted.get("ObjectLockEnabled") != "Enabled":
        raise malformed("ObjectLockConfiguration has ObjectLockEnabled with the value Enabled")
    if "Rule" in wanted:
        _check_retention((wanted["Rule"] or {}).get("DefaultRetention"))
    with call.write() as tx:
        call.still_there(bucket.hold(tx, call.bucket_name))
        bucket.change(tx, call.bucket_name, object_lock=True)
        bucket.put(tx, call.bucket_name, object_lock=wanted)
    return {}


def _check_retention(default: Given | None) -> None:
    if not default or not default.get("Mode"):
        raise malformed("DefaultRetention has a Mode")
    days, years = default.get("Days"), default.get("Years")
    if (days is None) == (years is None):
        raise malformed("DefaultRetention has either Days or Years")
    if (days if days is not None else years or 0) <= 0:
        raise errors.invalid_argument("Default retention period must be a positive integer value.")
    if (days or 0) > 36500 or (years or 0) > 100:
        raise errors.invalid_argument("Default retention period too large")


@operation("GetBucketReplication", needs=("s3:GetReplicationConfiguration", ""))
def get_bucket_replication(call: Call, given: Given) -> Result:
    missing = "The replication configuration was not found"
    raise errors.S3Refusal("ReplicationConfigurationNotFoundError", missing, 404, BucketName=call.bucket_name)


@operation("DeleteBucketReplication", needs=("s3:PutReplicationConfiguration", ""))
def delete_bucket_replication(call: Call, given: Given) -> Answer:
    return Answer(204)


@operation(
    "PutBucketReplication",
    "ReplicationConfiguration",
    needs=("s3:PutReplicationConfiguration", ""),
    accepts={"Token": ""},
)
def put_bucket_replication(call: Call, given: Given) -> Result:
    raise errors.unsupported("Replication", "keep copies on several disks by object_dirs and object_copies.")
