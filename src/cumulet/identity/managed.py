"""The managed policies that every account has: the most used of AWS's, and one for each role of the 2012 cloud.

AWS lists each service's reading actions one by one and follows them as they grow; here a list is as short as it can be,
with the same meaning for the services that this cloud has.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

CREATED = 1423612800
"""When AWS has made most of its own: 2015-02-11."""


class Managed(NamedTuple):
    arn: str
    name: str
    path: str
    description: str
    document: str

    @property
    def id(self) -> str:
        return "ANPA" + self.name.upper().replace("-", "").replace("_", "")[:17].ljust(17, "A")


def _allow(actions: list[str] | str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": "*", **more}


def _managed(name: str, description: str, *statements: dict[str, Any], path: str = "/") -> Managed:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, indent=4)
    return Managed(f"arn:aws:iam::aws:policy{path}{name}", name, path, description, document)


_SELF = "arn:aws:iam::*:user/${aws:username}"
_TO_EC2 = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
_READ_EC2 = ["ec2:Describe*", "ec2:Get*", "ec2:List*", "ec2:Search*"]
_READ_S3 = ["s3:Get*", "s3:List*", "s3:Describe*"]
_READ_IAM = ["iam:Get*", "iam:List*", "iam:Generate*", "iam:Simulate*"]
_READ_REST = ["sts:Get*", "servicequotas:Get*", "servicequotas:List*", "cloudtrail:Lookup*", "cloudtrail:Get*"]
_READ_TRAILS = [f"cloudtrail:{verb}*" for verb in ("Get", "Describe", "List", "Lookup")]
_NETWORK = [
    f"ec2:{verb}*{noun}*"
    for noun in (
        "Address",
        "Dhcp",
        "Gateway",
        "NetworkAcl",
        "NetworkInterface",
        "Route",
        "SecurityGroup",
        "Subnet",
        "Vpc",
    )
    for verb in ("Accept", "Allocate", "Assign", "Associate", "Attach", "Authorize", "Create", "Delete", "Detach")
] + [
    f"ec2:{verb}*{noun}*"
    for noun in (
        "Address",
        "Dhcp",
        "Gateway",
        "NetworkAcl",
        "NetworkInterface",
        "Route",
        "SecurityGroup",
        "Subnet",
        "Vpc",
    )
    for verb in ("Disassociate", "Modify", "Reject", "Release", "Replace", "Reset", "Revoke", "Unassign", "Update")
]
ROLE_PATH = "/cumulet/"
_NOT_OF_POWER_USERS = ["iam:*", "organizations:*", "account:*", "cumulet:*"]
"""AWS's, and what the operator does of its kind: who makes accounts and users gives himself all that there is."""
_KEYS = ["ec2:CreateKeyPair", "ec2:ImportKeyPair", "ec2:DeleteKeyPair"]
_MACHINES = [
    *(f"ec2:{verb}Instances" for verb in ("Run", "Start", "Stop", "Reboot", "Terminate", "Monitor", "Unmonitor")),
    "ec2:ModifyInstance*",
    "ec2:ResetInstanceAttribute",
    "ec2:GetConsole*",
    *(f"ec2:{verb}*{noun}*" for noun in ("Volume", "Snapshot", "Image") for verb in ("Create", "Delete", "Modify")),
    *("ec2:AttachVolume", "ec2:DetachVolume", "ec2:RegisterImage", "ec2:DeregisterImage", "ec2:CopyImage"),
    *("ec2:CreateTags", "ec2:DeleteTags", "ec2:CreatePlacementGroup", "ec2:DeletePlacementGroup"),
]

ALL = {
    one.arn: one
    for one in (
        _managed("AdministratorAccess", "Provides full access to AWS services and resources.", _allow("*")),
        _managed(
            "PowerUserAccess",
            "Provides full access to AWS services and resources, but does not allow management of Users and groups.",
            {"Effect": "Allow", "NotAction": _NOT_OF_POWER_USERS, "Resource": "*"},
            _allow(["iam:CreateServiceLinkedRole", "iam:DeleteServiceLinkedRole", "iam:ListRoles"]),
        ),
        _managed(
            "ReadOnlyAccess",
            "Provides read-only access to AWS services and resources.",
            _allow([*_READ_EC2, *_READ_S3, *_READ_IAM, *_READ_REST]),
        ),
        _managed(
            "SecurityAudit",
            "The security audit template grants access to read security configuration metadata.",
            _allow(["ec2:Describe*", "s3:GetBucket*", "s3:ListAllMyBuckets", *_READ_IAM, *_READ_REST]),
        ),
        _managed("IAMFullAccess", "Provides full access to IAM.", _allow("iam:*")),
        _managed("IAMReadOnlyAccess", "Provides read only access to IAM.", _allow(_READ_IAM)),
        _managed(
            "IAMUserChangePassword",
            "Provides the ability for an IAM user to change their own password.",
            {"Effect": "Allow", "Action": "iam:ChangePassword", "Resource": _SELF},
            _allow("iam:GetAccountPasswordPolicy"),
        ),
        _managed("AmazonEC2FullAccess", "Provides full access to Amazon EC2.", _allow("ec2:*")),
        _managed("AmazonEC2ReadOnlyAccess", "Provides read only access to Amazon EC2.", _allow(_READ_EC2)),
        _managed("AmazonVPCFullAccess", "Provides full access to Amazon VPC.", _allow([*_READ_EC2, *_NETWORK])),
        _managed("AmazonVPCReadOnlyAccess", "Provides read only access to Amazon VPC.", _allow(_READ_EC2)),
        _managed("AmazonS3FullAccess", "Provides full access to all buckets.", _allow(["s3:*", "s3-object-lambda:*"])),
        _managed("AmazonS3ReadOnlyAccess", "Provides read only access to all buckets.", _allow(_READ_S3)),
        _managed("ServiceQuotasFullAccess", "Provides full access to Service Quotas", _allow("servicequotas:*")),
        _managed("AWSCloudTrail_ReadOnlyAccess", "Provides read-only access to AWS CloudTrail.", _allow(_READ_TRAILS)),
        _managed(
            "ViewOnlyAccess",
            "This policy grants permissions to view resources and basic metadata across all AWS services.",
            _allow(["ec2:Describe*", "s3:ListAllMyBuckets", "s3:ListBucket", "iam:List*", "iam:GetAccountSummary"]),
            path="/job-function/",
        ),
        _managed(
            "NetworkAdministrator",
            "Grants full access permissions to AWS services and actions required to set up and configure AWS networks.",
            _allow([*_READ_EC2, *_NETWORK]),
            path="/job-function/",
        ),
        _managed(
            "SystemAdministrator",
            "Grants full access to resources required for application and development operations.",
            _allow(["ec2:*", "s3:*", *_READ_IAM, *_READ_REST]),
            _allow("iam:PassRole", Condition=_TO_EC2),
            path="/job-function/",
        ),
        _managed("cloudadmin", "The 2012 cloud's administrator: everything.", _allow("*"), path=ROLE_PATH),
        _managed(
            "itsec",
            "The 2012 cloud's security officer: looks at everything, stops machines and takes permissions away.",
            _allow([*_READ_EC2, *_READ_S3, *_READ_IAM, *_READ_REST]),
            _allow(["ec2:StopInstances", "ec2:RevokeSecurityGroup*", "ec2:DisassociateAddress"]),
            path=ROLE_PATH,
        ),
        _managed(
            "sysadmin",
            "The 2012 cloud's system administrator: machines, volumes and images.",
            _allow([*_READ_EC2, *_KEYS, *_MACHINES, "s3:*"]),
            _allow("iam:PassRole", Condition=_TO_EC2),
            path=ROLE_PATH,
        ),
        _managed(
            "netadmin",
            "The 2012 cloud's network administrator: addresses, security groups and networks.",
            _allow([*_READ_EC2, *_KEYS, *_NETWORK]),
            path=ROLE_PATH,
        ),
        _managed(
            "developer",
            "The 2012 cloud's developer: looks at everything of the project, and has key pairs.",
            _allow([*_READ_EC2, *_KEYS, *_READ_S3]),
            path=ROLE_PATH,
        ),
    )
}
"""By ARN."""
