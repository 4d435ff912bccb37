"""The table of documents: what AWS's grammar allows in each kind of policy, and what is said of the rest."""

from __future__ import annotations

import json

import pytest
from support.policy_table import rows

from cumulet.identity.policy import compile_policy
from cumulet.lib.errors import Refusal

I = '"Effect": "Allow", "Action": "s3:*", "Resource": "*"'  # noqa: E741
R = f'{I}, "Principal": "*"'
T = '"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}'

GOOD = rows("""
identity | {"Version": "2012-10-17", "Statement": [{I}]}
identity | {"Version": "2012-10-17", "Statement": {I}}
identity | {"Version": "2008-10-17", "Statement": [{I}]}
identity | {"Statement": [{I}]}
identity | {"Id": "some-id", "Statement": [{I}]}
identity | {"Statement": [{"Sid": "One1", I}, {"Sid": "Two", I}]}
identity | {"Statement": [{"Sid": "", I}, {"Sid": "", I}]}
identity | {"Statement": [{"Effect": "Deny", "NotAction": ["iam:*", "sts:Get*"], "Resource": "*"}]}
identity | {"Statement": [{"Effect": "Allow", "Action": "*", "NotResource": ["arn:aws:s3:::a", "arn:aws:s3:::a/*"]}]}
identity | {"Statement": [{I, "Condition": {}}]}
identity | {"Statement": [{I, "Condition": {"StringEquals": {"aws:username": ["a", "b"]}}}]}
identity | {"Statement": [{I, "Condition": {"Bool": {"aws:SecureTransport": true}}}]}
identity | {"Statement": [{I, "Condition": {"NumericLessThan": {"s3:max-keys": 10}}}]}
identity | {"Statement": [{I, "Condition": {"ForAllValues:StringLikeIfExists": {"aws:TagKeys": "a*"}}}]}
identity | {"Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:r:1:x"}]}
resource | {"Statement": [{R}]}
resource | {"Statement": [{I, "Principal": {"AWS": "*"}}]}
resource | {"Statement": [{I, "Principal": {"AWS": "111111111111"}}]}
resource | {"Statement": [{I, "Principal": {"AWS": ["111111111111", "arn:aws:iam::222222222222:root"]}}]}
resource | {"Statement": [{I, "Principal": {"AWS": "arn:aws:iam::111111111111:user/team/ann"}}]}
resource | {"Statement": [{I, "Principal": {"AWS": "arn:aws:sts::111111111111:assumed-role/app/session"}}]}
resource | {"Statement": [{I, "Principal": {"CanonicalUser": "abc"}}]}
resource | {"Statement": [{I, "Principal": {"Service": ["ec2.amazonaws.com"], "AWS": "*"}}]}
resource | {"Statement": [{I, "NotPrincipal": {"AWS": "111111111111"}}]}
resource | {"Statement": [{"Sid": "with spaces - and signs", R}]}
trust    | {"Statement": [{T}]}
trust    | {"Version": "2012-10-17", "Statement": [{T, "Condition": {"StringEquals": {"sts:ExternalId": "x"}}}]}
trust    | {"Statement": [{"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Principal": "*"}]}
""")

BAD = rows("""
identity | no policy                                                  | it is not JSON
identity | {"Statement": [{I}]} x                                     | it is not JSON
identity | []                                                         | must be a JSON object
identity | "text"                                                     | must be a JSON object
identity | {}                                                         | Statement must be
identity | {"Version": "2012-10-17"}                                  | Statement must be
identity | {"Statement": []}                                          | Statement must be
identity | {"Statement": ["x"]}                                       | Statement must be
identity | {"Statement": "x"}                                         | Statement must be
identity | {"Version": "2013-10-17", "Statement": [{I}]}              | valid version string
identity | {"Version": 2012, "Statement": [{I}]}                      | valid version string
identity | {"version": "2012-10-17", "Statement": [{I}]}              | no element version
identity | {"Id": 5, "Statement": [{I}]}                              | Id must be a string
identity | {"Statement": [{I}], "Statement": [{I}]}                   | there twice
identity | {"Statement": [{I, "Effect": "Deny"}]}                     | there twice
identity | {"Statement": [{"Action": "s3:*", "Resource": "*"}]}       | Missing required field Effect
identity | {"Statement": [{"Effect": "allow", "Action": "s3:*", "Resource": "*"}]} | Missing required field Effect
identity | {"Statement": [{"Effect": "Allow", "Resource": "*"}]}      | must contain actions
identity | {"Statement": [{"Effect": "Allow", "Action": [], "Resource": "*"}]} | must contain actions
identity | {"Statement": [{"Effect": "Allow", "Action": 5, "Resource": "*"}]} | must contain actions
identity | {"Statement": [{I, "NotAction": "ec2:*"}]}                 | both Action and NotAction
identity | {"Statement": [{"Effect": "Allow", "Action": "s3:*"}]}     | must contain resources
identity | {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": []}]} | must contain resources
identity | {"Statement": [{I, "NotResource": "*"}]}                   | both Resource and NotResource
identity | {"Statement": [{"Effect": "Allow", "Action": "RunInstances", "Resource": "*"}]} | prefaced by a vendor
identity | {"Statement": [{"Effect": "Allow", "Action": "*:*", "Resource": "*"}]} | prefaced by a vendor
identity | {"Statement": [{"Effect": "Allow", "Action": "s3:", "Resource": "*"}]} | prefaced by a vendor
identity | {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "bucket"}]} | must be in ARN format
identity | {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3"}]} | must be in ARN format
identity | {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:*:::b"}]} | cannot contain regexes
identity | {"Statement": [{I, "Principal": "*"}]}                     | should not specify a principal
identity | {"Statement": [{I, "NotPrincipal": "*"}]}                  | should not specify a principal
identity | {"Statement": [{I, "Extra": 1}]}                           | no element Extra
identity | {"Statement": [{"Sid": "a-b", I}]}                         | letters and digits
identity | {"Statement": [{"Sid": 5, I}]}                             | letters and digits
identity | {"Statement": [{"Sid": "a", I}, {"Sid": "a", I}]}          | must be unique
identity | {"Statement": [{I, "Condition": []}]}                      | Condition must be
identity | {"Statement": [{I, "Condition": {"StringSame": {"a:b": "c"}}}]} | Invalid Condition type : StringSame
identity | {"Statement": [{I, "Condition": {"stringEquals": {"a:b": "c"}}}]} | Invalid Condition type
identity | {"Statement": [{I, "Condition": {"NullIfExists": {"a:b": "true"}}}]} | Invalid Condition type
identity | {"Statement": [{I, "Condition": {"ForSome:StringEquals": {"a:b": "c"}}}]} | Invalid Condition type
identity | {"Statement": [{I, "Condition": {"StringEquals": {}}}]}    | object of condition keys
identity | {"Statement": [{I, "Condition": {"StringEquals": "x"}}]}   | object of condition keys
identity | {"Statement": [{I, "Condition": {"StringEquals": {"a:b": []}}}]} | at least one
identity | {"Statement": [{I, "Condition": {"StringEquals": {"a:b": {}}}}]} | at least one
identity | {"Statement": [{I, "Condition": {"StringEquals": {"username": "c"}}}]} | prefaced by a service
identity | {"Statement": [{I, "Condition": {"NumericEquals": {"a:b": "five"}}}]} | not of the operator's type
identity | {"Statement": [{I, "Condition": {"NumericEquals": {"a:b": "NaN"}}}]} | not of the operator's type
identity | {"Statement": [{I, "Condition": {"DateEquals": {"a:b": "today"}}}]} | not of the operator's type
identity | {"Statement": [{I, "Condition": {"Bool": {"a:b": "maybe"}}}]} | not of the operator's type
identity | {"Statement": [{I, "Condition": {"BinaryEquals": {"a:b": "***"}}}]} | not of the operator's type
identity | {"Statement": [{I, "Condition": {"IpAddress": {"a:b": "10.0.0.0/33"}}}]} | not of the operator's type
identity | {"Statement": [{I, "Condition": {"IpAddress": {"a:b": "${aws:SourceIp}"}}}]} | not of the operator's type
identity | {"Statement": [{I, "Condition": {"Null": {"a:b": "yes"}}}]} | The values of Null
identity | {"Statement": [{I, "Condition": {"NumericEquals": {"a:b": NaN}}}]} | NaN is no number
resource | {"Statement": [{I}]}                                       | Missing required field Principal
resource | {"Statement": [{R, "NotPrincipal": "*"}]}                  | both Principal and NotPrincipal
resource | {"Statement": [{I, "Principal": "ann"}]}                   | Invalid principal
resource | {"Statement": [{I, "Principal": {}}]}                      | Invalid principal
resource | {"Statement": [{I, "Principal": {"AWS": []}}]}             | Invalid principal
resource | {"Statement": [{I, "Principal": {"AWS": 5}}]}              | Invalid principal
resource | {"Statement": [{I, "Principal": {"aws": "111111111111"}}]} | Invalid principal
resource | {"Statement": [{I, "Principal": {"AWS": "11111111111"}}]}  | Invalid principal
resource | {"Statement": [{I, "Principal": {"AWS": "arn:aws:iam::111111111111:user/*"}}]} | Invalid principal
resource | {"Statement": [{I, "Principal": {"AWS": "arn:aws:iam::*:root"}}]} | Invalid principal
resource | {"Statement": [{I, "Principal": {"AWS": "arn:aws:iam::111111111111:group/g"}}]} | Invalid principal
resource | {"Statement": [{I, "Principal": {"Service": "ec2"}}]}      | Invalid principal
resource | {"Statement": [{I, "Principal": {"Service": "*"}}]}        | Invalid principal
trust    | {"Statement": [{T, "Resource": "*"}]}                      | prohibited field Resource
trust    | {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Principal": "*"}]} | only specify STS AssumeRole
trust    | {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]} | Missing required field Principal
""")


def document(field: str) -> str:
    return (
        field.replace("{I", "{" + I)
        .replace("{R", "{" + R)
        .replace("{T", "{" + T)
        .replace(", I}", f", {I}}}")
        .replace(", R}", f", {R}}}")
    )


@pytest.mark.parametrize(("kind", "text"), GOOD)
def test_a_document_by_the_grammar_is_taken(kind: str, text: str) -> None:
    json.loads(document(text))
    assert compile_policy(document(text), kind).statements  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "text", "said"), BAD)
def test_a_document_against_the_grammar_is_refused(kind: str, text: str, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        compile_policy(document(text), kind, code="MalformedPolicy")  # type: ignore[arg-type]
    assert refused.value.code == "MalformedPolicy"
    assert said in refused.value.message


def test_a_document_that_is_too_deep_is_refused() -> None:
    with pytest.raises(Refusal, match="MalformedPolicyDocument"):
        compile_policy("[" * 100_000)
