"""The tables of names: actions, ARNs and variables of a policy, against those of a request."""

from __future__ import annotations

import pytest
from support.policy_table import allow, decide, policy, rows

# Action or !NotAction (spaces between several), the request's action, whether it is meant.
ACTIONS = rows("""
*                            | ec2:RunInstances       | yes
ec2:*                        | ec2:RunInstances       | yes
ec2:*                        | s3:GetObject           | no
ec2:RunInstances             | ec2:RunInstances       | yes
EC2:runinstances             | ec2:RunInstances       | yes
ec2:RunInstances             | EC2:RUNINSTANCES       | yes
ec2:RunInstances             | ec2:RunInstance        | no
ec2:RunInstance              | ec2:RunInstances       | no
ec2:Describe*                | ec2:DescribeInstances  | yes
ec2:Describe*                | ec2:RunInstances       | no
ec2:*Instances               | ec2:RunInstances       | yes
ec2:*Instances               | ec2:RunInstance        | no
ec2:Describe*s               | ec2:DescribeVolumes    | yes
ec2:Describe*s               | ec2:DescribeVolume     | no
ec2:?unInstances             | ec2:RunInstances       | yes
ec2:?unInstances             | ec2:unInstances        | no
ec2:Run?nstances             | ec2:RunInstances       | yes
ec2:*a*e*                    | ec2:CreateVolume       | yes
ec2:*x*                      | ec2:CreateVolume       | no
ec2:describe*                | ec2:DescribeInstances  | yes
s3:Get* ec2:Run*             | ec2:RunInstances       | yes
s3:Get* iam:*                | ec2:RunInstances       | no
s3:GetObject                 | s3:GetObjectAcl        | no
s3:GetObject*                | s3:GetObjectAcl        | yes
s3:*Object                   | s3:PutObject           | yes
s3:*Object                   | s3:PutObjectAcl        | no
sts:AssumeRole               | sts:AssumeRole         | yes
sts:AssumeRole               | sts:AssumeRoleWithSAML | no
iam:*AccessKey*              | iam:CreateAccessKey    | yes
iam:*AccessKey*              | iam:ListAccessKeys     | yes
iam:*AccessKey*              | iam:ListUsers          | no
!ec2:*                       | s3:GetObject           | yes
!ec2:*                       | ec2:RunInstances       | no
!ec2:Run*                    | ec2:StopInstances      | yes
!iam:* sts:*                 | ec2:RunInstances       | yes
!iam:* sts:*                 | sts:AssumeRole         | no
!iam:* sts:*                 | iam:CreateUser         | no
!IAM:createuser              | iam:CreateUser         | no
!*                           | ec2:RunInstances       | no
""")

# Resource or !NotResource, the request's resource, whether it is meant.
RESOURCES = rows("""
*                                     | *                                    | yes
*                                     | arn:aws:ec2:r:1:instance/i-1         | yes
arn:aws:ec2:r:1:instance/i-1          | arn:aws:ec2:r:1:instance/i-1         | yes
arn:aws:ec2:r:1:instance/i-1          | arn:aws:ec2:r:1:instance/i-2         | no
arn:aws:ec2:r:1:instance/i-1          | arn:aws:ec2:r:1:instance/i-12        | no
arn:aws:ec2:r:1:instance/i-1          | *                                    | no
arn:aws:ec2:r:1:instance/*            | arn:aws:ec2:r:1:instance/i-1         | yes
arn:aws:ec2:r:1:instance/*            | arn:aws:ec2:r:1:volume/vol-1         | no
arn:aws:ec2:*:1:instance/*            | arn:aws:ec2:r:1:instance/i-1         | yes
arn:aws:ec2:*:1:instance/*            | arn:aws:ec2:r:2:instance/i-1         | no
arn:aws:ec2:*:*:instance/*            | arn:aws:ec2:r:2:instance/i-1         | yes
arn:aws:ec2:*:*:*                     | arn:aws:ec2:r:2:instance/i-1         | yes
arn:aws:ec2:*:*:*                     | arn:aws:s3:::bucket                  | no
arn:aws:ec2:r:*:*                     | arn:aws:ec2:other:2:instance/i-1     | no
arn:aws:ec2:r*:1:instance/*           | arn:aws:ec2:r2:1:instance/i-1        | yes
arn:aws:ec2:r?:1:instance/*           | arn:aws:ec2:r2:1:instance/i-1        | yes
arn:aws:ec2:r?:1:instance/*           | arn:aws:ec2:r:1:instance/i-1         | no
arn:aws:ec2:*:1:instance/i-*a         | arn:aws:ec2:r:1:instance/i-bca       | yes
arn:aws:ec2:*:1:instance/i-*a         | arn:aws:ec2:r:1:instance/i-bcb       | no
arn:aws:ec2:*:1:*/i-1                 | arn:aws:ec2:r:1:instance/i-1         | yes
arn:aws:s3:::bucket                   | arn:aws:s3:::bucket                  | yes
arn:aws:s3:::bucket                   | arn:aws:s3:::bucket/key              | no
arn:aws:s3:::bucket/*                 | arn:aws:s3:::bucket                  | no
arn:aws:s3:::bucket/*                 | arn:aws:s3:::bucket/a/b/c            | yes
arn:aws:s3:::bucket/*                 | arn:aws:s3:::bucket/a:b:c            | yes
arn:aws:s3:::bucket*                  | arn:aws:s3:::bucket2/key             | yes
arn:aws:s3:::bucket/home/*/x          | arn:aws:s3:::bucket/home/a/b/x       | yes
arn:aws:s3:::bucket/home/*/x          | arn:aws:s3:::bucket/home/x           | no
arn:aws:s3:::bucket/?                 | arn:aws:s3:::bucket/a                | yes
arn:aws:s3:::bucket/?                 | arn:aws:s3:::bucket/ab               | no
arn:aws:s3:::bucket/?                 | arn:aws:s3:::bucket/                 | no
arn:aws:s3:::Bucket/Key               | arn:aws:s3:::bucket/key              | no
arn:aws:s3:::*/public/*               | arn:aws:s3:::any/public/thing        | yes
arn:aws:s3:::*/public/*               | arn:aws:s3:::any/private/thing       | no
arn:aws:s3:::*:*                      | arn:aws:s3:::bucket/a:b              | yes
arn:aws:s3:*:*:bucket                 | arn:aws:s3:::bucket                  | yes
arn:aws:s3:::b[u]cket/(a)+            | arn:aws:s3:::b[u]cket/(a)+           | yes
arn:aws:s3:::b.cket                   | arn:aws:s3:::bucket                  | no
arn:aws:iam::1:user/ann               | arn:aws:iam::1:user/ann              | yes
arn:aws:iam::1:user/*                 | arn:aws:iam::1:user/team/ann         | yes
arn:aws:iam::1:user/team/*            | arn:aws:iam::1:user/ann              | no
arn:aws:iam::*:role/*                 | arn:aws:iam::22:role/app             | yes
arn:aws:iam::*:role/*                 | arn:aws:iam::22:user/app             | no
arn:aws:iam:*:1:user/ann              | arn:aws:iam::1:user/ann              | yes
arn:*:s3:::bucket                     | arn:aws:s3:::bucket                  | yes
arn:aws:ec2:*:image/ami-1:x           | arn:aws:ec2:r:1:image/ami-1:x        | no
arn:aws:ec2:*::image/*                | arn:aws:ec2:r::image/ami-1           | yes
arn:aws:ec2:*::image/*                | arn:aws:ec2:r:1:image/ami-1          | no
arn:aws:s3:::a arn:aws:s3:::b         | arn:aws:s3:::b                       | yes
arn:aws:s3:::a arn:aws:s3:::b         | arn:aws:s3:::c                       | no
!arn:aws:s3:::a arn:aws:s3:::b        | arn:aws:s3:::c                       | yes
!arn:aws:s3:::a arn:aws:s3:::b        | arn:aws:s3:::b                       | no
!arn:aws:s3:::a*                      | arn:aws:s3:::abc                     | no
!arn:aws:s3:::a*                      | arn:aws:ec2:r:1:instance/i-1         | yes
!arn:aws:s3:::a*                      | *                                    | yes
!*                                    | arn:aws:s3:::abc                     | no
""")

# A resource with variables, the request's resource, the context (spaces between several), whether it is meant.
VARIABLES = rows("""
arn:aws:s3:::b/${aws:username}/*           | arn:aws:s3:::b/ann/x   | aws:username=ann               | yes
arn:aws:s3:::b/${aws:username}/*           | arn:aws:s3:::b/bob/x   | aws:username=ann               | no
arn:aws:s3:::b/${aws:username}/*           | arn:aws:s3:::b//x      |                                | no
arn:aws:s3:::b/${aws:username}/*           | arn:aws:s3:::b/${aws:username}/x |                      | no
arn:aws:s3:::b/${AWS:UserName}/*           | arn:aws:s3:::b/ann/x   | aws:username=ann               | yes
arn:aws:s3:::b/${aws:username}/*           | arn:aws:s3:::b/bob/x   | aws:username=*                 | no
arn:aws:s3:::b/${aws:username}/*           | arn:aws:s3:::b/*/x     | aws:username=*                 | yes
arn:aws:s3:::b/${aws:username}             | arn:aws:s3:::b/anx     | aws:username=an?               | no
arn:aws:s3:::b/${aws:username, 'all'}/*    | arn:aws:s3:::b/all/x   |                                | yes
arn:aws:s3:::b/${aws:username, 'all'}/*    | arn:aws:s3:::b/all/x   | aws:username=ann               | no
arn:aws:s3:::b/${aws:username, 'all'}/*    | arn:aws:s3:::b/ann/x   | aws:username=ann               | yes
arn:aws:s3:::b/${aws:username,'all'}       | arn:aws:s3:::b/all     |                                | yes
arn:aws:s3:::b/${aws:username, ''}x        | arn:aws:s3:::b/x       |                                | yes
arn:aws:s3:::b/${aws:username, '*'}        | arn:aws:s3:::b/x       |                                | no
arn:aws:s3:::b/${*}                        | arn:aws:s3:::b/*       |                                | yes
arn:aws:s3:::b/${*}                        | arn:aws:s3:::b/x       |                                | no
arn:aws:s3:::b/${?}                        | arn:aws:s3:::b/?       |                                | yes
arn:aws:s3:::b/${?}                        | arn:aws:s3:::b/x       |                                | no
arn:aws:s3:::b/${$}{a}                     | arn:aws:s3:::b/${a}    |                                | yes
arn:aws:s3:::b/a${*}*                      | arn:aws:s3:::b/a*bcd   |                                | yes
arn:aws:s3:::b/a${*}*                      | arn:aws:s3:::b/abcd    |                                | no
arn:aws:s3:::b/${aws:PrincipalTag/Team}/*  | arn:aws:s3:::b/red/x   | aws:PrincipalTag/team=red      | yes
arn:aws:s3:::b/${aws:PrincipalTag/Team}/*  | arn:aws:s3:::b/red/x   | aws:PrincipalTag/team=blue     | no
arn:aws:iam::${aws:PrincipalAccount}:user/* | arn:aws:iam::1:user/a | aws:PrincipalAccount=1         | yes
arn:aws:iam::${aws:PrincipalAccount}:user/* | arn:aws:iam::2:user/a | aws:PrincipalAccount=1         | no
arn:aws:iam::1:user/${aws:username}-${ec2:A} | arn:aws:iam::1:user/a-b | aws:username=a ec2:A=b       | yes
arn:aws:iam::1:user/${aws:username}-${ec2:A} | arn:aws:iam::1:user/a-c | aws:username=a ec2:A=b       | no
arn:aws:iam::1:user/${aws:username}-${ec2:A} | arn:aws:iam::1:user/a-b | aws:username=a               | no
!arn:aws:s3:::b/${aws:username}/*          | arn:aws:s3:::b/bob/x   | aws:username=ann               | yes
!arn:aws:s3:::b/${aws:username}/*          | arn:aws:s3:::b/ann/x   | aws:username=ann               | no
!arn:aws:s3:::b/${aws:username}/*          | arn:aws:s3:::b/bob/x   |                                | no
""")

# The same variable in a condition: operator, value, the request's value of ec2:Key, context, whether it holds.
IN_CONDITIONS = rows("""
StringEquals    | ${aws:username}        | ann   | aws:username=ann  | yes
StringEquals    | ${aws:username}        | bob   | aws:username=ann  | no
StringEquals    | ${aws:username}        | ann   |                   | no
StringNotEquals | ${aws:username}        | bob   | aws:username=ann  | yes
StringNotEquals | ${aws:username}        | ann   | aws:username=ann  | no
StringNotEquals | ${aws:username}        | bob   |                   | no
StringEquals    | ${aws:username, 'bob'} | bob   |                   | yes
StringLike      | ${aws:username}/*      | ann/x | aws:username=ann  | yes
StringLike      | ${aws:username}/*      | bob/x | aws:username=*    | no
StringLike      | a${*}b                 | a*b   |                   | yes
StringLike      | a${*}b                 | axb   |                   | no
StringEquals    | a${*}b                 | a*b   |                   | yes
StringEqualsIgnoreCase | ${aws:username} | ANN   | aws:username=ann  | yes
ArnLike         | arn:aws:s3:::${aws:username}/* | arn:aws:s3:::ann/x | aws:username=ann | yes
ArnLike         | arn:aws:s3:::${aws:username}/* | arn:aws:s3:::bob/x | aws:username=ann | no
""")


def listed(field: str) -> tuple[str, list[str]]:
    return ("Not" if field.startswith("!") else ""), field.removeprefix("!").split()


def context_of(field: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in field.split())


@pytest.mark.parametrize(("named", "asked", "expected"), ACTIONS)
def test_an_action_is_meant_or_not(named: str, asked: str, expected: str) -> None:
    negated, values = listed(named)
    one = policy({"Effect": "Allow", f"{negated}Action": values, "Resource": "*"})
    assert decide(one, action=asked).allowed is (expected == "yes")


@pytest.mark.parametrize(("named", "asked", "expected"), RESOURCES)
def test_a_resource_is_meant_or_not(named: str, asked: str, expected: str) -> None:
    negated, values = listed(named)
    one = policy({"Effect": "Allow", "Action": "*", f"{negated}Resource": values})
    assert decide(one, resource=asked).allowed is (expected == "yes")


@pytest.mark.parametrize(("named", "asked", "context", "expected"), VARIABLES)
def test_a_variable_in_a_resource_stands_for_the_requests_value(
    named: str, asked: str, context: str, expected: str
) -> None:
    negated = "Not" if named.startswith("!") else ""
    one = policy({"Effect": "Allow", "Action": "*", f"{negated}Resource": named.removeprefix("!")})
    assert decide(one, resource=asked, context=context_of(context)).allowed is (expected == "yes")


@pytest.mark.parametrize(("operator", "wanted", "given", "context", "expected"), IN_CONDITIONS)
def test_a_variable_in_a_condition_stands_for_the_requests_value(
    operator: str, wanted: str, given: str, context: str, expected: str
) -> None:
    one = policy(allow(Condition={operator: {"ec2:Key": wanted}}))
    assert decide(one, context={"ec2:Key": given, **context_of(context)}).allowed is (expected == "yes")


def test_the_older_version_has_no_variables() -> None:
    one = policy(allow(resource="arn:aws:s3:::b/${aws:username}"), version="2008-10-17")
    context = {"aws:username": "ann"}
    assert not decide(one, resource="arn:aws:s3:::b/ann", context=context).allowed
    assert decide(one, resource="arn:aws:s3:::b/${aws:username}", context=context).allowed


def test_a_variable_with_several_values_has_none() -> None:
    one = policy(allow(resource="arn:aws:s3:::b/${aws:TagKeys, 'none'}"))
    assert not decide(one, resource="arn:aws:s3:::b/none", context={"aws:TagKeys": ["a", "b"]}).allowed


def test_no_pattern_takes_long() -> None:
    """A tenant writes the patterns; one that tried every way would take years (pytest has a time-out)."""
    one = policy(allow(resource="arn:aws:s3:::" + "*a" * 60 + "b"), allow("ec2:" + "*a" * 60 + "b"))
    assert not decide(one, resource="arn:aws:s3:::" + "a" * 2000, action="ec2:" + "a" * 120).allowed
