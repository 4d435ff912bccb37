"""The table of condition operators: an operator, the policy's values, the request's, and whether it holds."""

from __future__ import annotations

import json

import pytest
from support.policy_table import allow, decide, policy, rows

from cumulet.identity.policy_conditions import OPERATORS

# Values are separated by spaces; `-` is a key that is not there, `""` an empty string.
TABLE = rows("""
StringEquals                 | a          | a        | yes
StringEquals                 | a          | b        | no
StringEquals                 | a b        | b        | yes
StringEquals                 | a b        | c        | no
StringEquals                 | a          | A        | no
StringEquals                 | a*         | ab       | no
StringEquals                 | a*         | a*       | yes
StringEquals                 | a?         | ab       | no
StringEquals                 | a          | -        | no
StringEquals                 | ""         | ""       | yes
StringEquals                 | a          | ""       | no
StringEquals                 | a          | b a      | yes
StringEquals                 | true       | true     | yes
StringNotEquals              | a          | a        | no
StringNotEquals              | a          | b        | yes
StringNotEquals              | a b        | b        | no
StringNotEquals              | a b        | c        | yes
StringNotEquals              | a          | -        | yes
StringNotEquals              | a          | b a      | no
StringNotEquals              | a*         | ab       | yes
StringEqualsIgnoreCase       | Abc        | aBC      | yes
StringEqualsIgnoreCase       | Abc        | abd      | no
StringEqualsIgnoreCase       | a          | -        | no
StringNotEqualsIgnoreCase    | Abc        | aBC      | no
StringNotEqualsIgnoreCase    | Abc        | abd      | yes
StringNotEqualsIgnoreCase    | a          | -        | yes
StringLike                   | a*         | abc      | yes
StringLike                   | a*         | a        | yes
StringLike                   | a*         | ba       | no
StringLike                   | *a         | ba       | yes
StringLike                   | *a         | ab       | no
StringLike                   | a?         | ab       | yes
StringLike                   | a?         | a        | no
StringLike                   | a?         | abc      | no
StringLike                   | *          | ""       | yes
StringLike                   | *          | -        | no
StringLike                   | ?*         | ""       | no
StringLike                   | a*c        | abbbc    | yes
StringLike                   | a*c        | abbb     | no
StringLike                   | A*         | abc      | no
StringLike                   | x y*       | yes      | yes
StringLike                   | a.c        | abc      | no
StringLike                   | [ab]       | a        | no
StringLike                   | [ab]       | [ab]     | yes
StringNotLike                | a*         | abc      | no
StringNotLike                | a*         | bcd      | yes
StringNotLike                | a*         | -        | yes
StringNotLike                | a* b*      | bcd      | no
NumericEquals                | 5          | 5        | yes
NumericEquals                | 5          | 5.0      | yes
NumericEquals                | 5          | 05       | yes
NumericEquals                | 5          | 6        | no
NumericEquals                | 5 6        | 6        | yes
NumericEquals                | 5          | five     | no
NumericEquals                | 5          | -        | no
NumericEquals                | -1         | -1       | yes
NumericEquals                | 0.1        | 0.1      | yes
NumericNotEquals             | 5          | 5        | no
NumericNotEquals             | 5          | 6        | yes
NumericNotEquals             | 5 6        | 6        | no
NumericNotEquals             | 5          | -        | yes
NumericLessThan              | 10         | 9        | yes
NumericLessThan              | 10         | 10       | no
NumericLessThan              | 10         | 11       | no
NumericLessThan              | 10         | 9.99     | yes
NumericLessThan              | 10         | -        | no
NumericLessThan              | 5 10       | 7        | yes
NumericLessThanEquals        | 10         | 10       | yes
NumericLessThanEquals        | 10         | 10.01    | no
NumericLessThanEquals        | 10         | x        | no
NumericGreaterThan           | 10         | 11       | yes
NumericGreaterThan           | 10         | 10       | no
NumericGreaterThan           | 10         | 9        | no
NumericGreaterThan           | 9          | 10       | yes
NumericGreaterThan           | 10         | -        | no
NumericGreaterThanEquals     | 10         | 10       | yes
NumericGreaterThanEquals     | 10         | 9        | no
DateEquals                   | 2026-01-02T03:04:05Z | 2026-01-02T03:04:05Z      | yes
DateEquals                   | 2026-01-02T03:04:05Z | 2026-01-02T04:04:05+01:00 | yes
DateEquals                   | 1767323045           | 2026-01-02T03:04:05Z      | yes
DateEquals                   | 2026-01-02T03:04:05Z | 1767323045                | yes
DateEquals                   | 2026-01-02T03:04:05Z | 2026-01-02T03:04:06Z      | no
DateEquals                   | 2026-01-02           | 2026-01-02T00:00:00Z      | yes
DateEquals                   | 2026-01-02           | -                         | no
DateEquals                   | 2026-01-02           | yesterday                 | no
DateNotEquals                | 2026-01-02           | 2026-01-02T00:00:00Z      | no
DateNotEquals                | 2026-01-02           | 2026-01-03T00:00:00Z      | yes
DateNotEquals                | 2026-01-02           | -                         | yes
DateLessThan                 | 2026-01-02T00:00:00Z | 2026-01-01T23:59:59Z      | yes
DateLessThan                 | 2026-01-02T00:00:00Z | 2026-01-02T00:00:00Z      | no
DateLessThan                 | 2026-01-02T00:00:00Z | 2027-01-01T00:00:00Z      | no
DateLessThan                 | 2026-01-02T00:00:00Z | -                         | no
DateLessThanEquals           | 2026-01-02T00:00:00Z | 2026-01-02T00:00:00Z      | yes
DateLessThanEquals           | 2026-01-02T00:00:00Z | 2026-01-02T00:00:01Z      | no
DateGreaterThan              | 2026-01-02T00:00:00Z | 2026-01-02T00:00:01Z      | yes
DateGreaterThan              | 2026-01-02T00:00:00Z | 2026-01-02T00:00:00Z      | no
DateGreaterThan              | 2026-01-02T00:00:00Z | -                         | no
DateGreaterThanEquals        | 2026-01-02T00:00:00Z | 2026-01-02T00:00:00Z      | yes
DateGreaterThanEquals        | 2026-01-02T00:00:00Z | 2026-01-01T00:00:00Z      | no
Bool                         | true       | true     | yes
Bool                         | true       | false    | no
Bool                         | false      | false    | yes
Bool                         | false      | true     | no
Bool                         | True       | true     | yes
Bool                         | true       | TRUE     | yes
Bool                         | true       | 1        | no
Bool                         | true       | -        | no
Bool                         | false      | -        | no
Bool                         | true false | false    | yes
BinaryEquals                 | QmluYXJ5   | QmluYXJ5 | yes
BinaryEquals                 | QmluYXJ5   | QmluYXJ6 | no
BinaryEquals                 | QmluYXJ5   | -        | no
BinaryEquals                 | QmluYXJ5   | not64    | no
IpAddress                    | 203.0.113.0/24   | 203.0.113.7   | yes
IpAddress                    | 203.0.113.0/24   | 203.0.114.7   | no
IpAddress                    | 203.0.113.7      | 203.0.113.7   | yes
IpAddress                    | 203.0.113.7      | 203.0.113.8   | no
IpAddress                    | 203.0.113.7/24   | 203.0.113.200 | yes
IpAddress                    | 0.0.0.0/0        | 8.8.8.8       | yes
IpAddress                    | 0.0.0.0/0        | ::1           | no
IpAddress                    | ::/0             | ::1           | yes
IpAddress                    | 2001:db8::/32    | 2001:db8::1   | yes
IpAddress                    | 2001:db8::/32    | 2001:db9::1   | no
IpAddress                    | 2001:db8::/32    | 203.0.113.7   | no
IpAddress                    | 10.0.0.0/8 203.0.113.0/24 | 203.0.113.7 | yes
IpAddress                    | 10.0.0.0/8       | -             | no
IpAddress                    | 10.0.0.0/8       | ten           | no
NotIpAddress                 | 203.0.113.0/24   | 203.0.113.7   | no
NotIpAddress                 | 203.0.113.0/24   | 203.0.114.7   | yes
NotIpAddress                 | 203.0.113.0/24   | -             | yes
NotIpAddress                 | 10.0.0.0/8 203.0.113.0/24 | 203.0.113.7 | no
ArnEquals                    | arn:aws:sqs:r:1:q       | arn:aws:sqs:r:1:q   | yes
ArnEquals                    | arn:aws:sqs:r:1:q       | arn:aws:sqs:r:1:p   | no
ArnEquals                    | arn:aws:sqs:*:1:q       | arn:aws:sqs:r:1:q   | yes
ArnEquals                    | arn:aws:sqs:r:1:*       | arn:aws:sqs:r:1:a:b | yes
ArnEquals                    | arn:aws:sqs:r:1:q       | -                   | no
ArnLike                      | arn:aws:sqs:*:*:q*      | arn:aws:sqs:r:1:q1  | yes
ArnLike                      | arn:aws:sqs:*:q*        | arn:aws:sqs:r:1:q1  | no
ArnLike                      | arn:aws:*:r:1:q         | arn:aws:sqs:r:1:q   | yes
ArnLike                      | arn:aws:sqs:r:1?:q      | arn:aws:sqs:r:12:q  | yes
ArnLike                      | arn:aws:sqs:r:1?:q      | arn:aws:sqs:r:1:q   | no
ArnLike                      | arn:aws:sqs:r:1:q arn:aws:sqs:r:1:p | arn:aws:sqs:r:1:p | yes
ArnLike                      | *                       | arn:aws:sqs:r:1:p   | yes
ArnNotEquals                 | arn:aws:sqs:r:1:q       | arn:aws:sqs:r:1:q   | no
ArnNotEquals                 | arn:aws:sqs:r:1:q       | arn:aws:sqs:r:1:p   | yes
ArnNotEquals                 | arn:aws:sqs:r:1:q       | -                   | yes
ArnNotLike                   | arn:aws:sqs:*:*:q*      | arn:aws:sqs:r:1:q1  | no
ArnNotLike                   | arn:aws:sqs:*:*:q*      | arn:aws:sqs:r:1:p   | yes
ArnNotLike                   | arn:aws:sqs:*:*:q*      | -                   | yes
Null                         | true       | -        | yes
Null                         | true       | a        | no
Null                         | false      | -        | no
Null                         | false      | a        | yes
Null                         | true false | a        | yes
Null                         | false      | ""       | yes
StringEqualsIfExists         | a          | -        | yes
StringEqualsIfExists         | a          | a        | yes
StringEqualsIfExists         | a          | b        | no
StringNotEqualsIfExists      | a          | -        | yes
StringNotEqualsIfExists      | a          | a        | no
StringLikeIfExists           | a*         | -        | yes
StringLikeIfExists           | a*         | b        | no
NumericLessThanIfExists      | 5          | -        | yes
NumericLessThanIfExists      | 5          | 6        | no
DateLessThanIfExists         | 2026-01-02 | -        | yes
DateLessThanIfExists         | 2026-01-02 | 2027-01-01 | no
BoolIfExists                 | true       | -        | yes
BoolIfExists                 | true       | false    | no
BinaryEqualsIfExists         | QQ==       | -        | yes
IpAddressIfExists            | 10.0.0.0/8 | -        | yes
IpAddressIfExists            | 10.0.0.0/8 | 11.0.0.1 | no
ArnLikeIfExists              | arn:aws:sqs:r:1:q | - | yes
ArnLikeIfExists              | arn:aws:sqs:r:1:q | arn:aws:sqs:r:1:p | no
ForAllValues:StringEquals    | a b        | a        | yes
ForAllValues:StringEquals    | a b        | a b      | yes
ForAllValues:StringEquals    | a b        | a c      | no
ForAllValues:StringEquals    | a b        | c        | no
ForAllValues:StringEquals    | a b        | -        | yes
ForAllValues:StringLike      | a* b*      | ax by    | yes
ForAllValues:StringLike      | a* b*      | ax cy    | no
ForAllValues:StringNotEquals | a b        | c d      | yes
ForAllValues:StringNotEquals | a b        | a c      | no
ForAllValues:StringNotEquals | a b        | -        | yes
ForAllValues:StringNotLike   | a*         | bx by    | yes
ForAllValues:StringNotLike   | a*         | bx ay    | no
ForAllValues:NumericLessThan | 5          | 1 2      | yes
ForAllValues:NumericLessThan | 5          | 1 9      | no
ForAllValues:IpAddress       | 10.0.0.0/8 | 10.0.0.1 10.0.0.2 | yes
ForAllValues:IpAddress       | 10.0.0.0/8 | 10.0.0.1 11.0.0.2 | no
ForAllValues:StringEqualsIfExists | a     | -        | yes
ForAllValues:ArnLike         | arn:aws:sqs:*:*:* | arn:aws:sqs:r:1:q | yes
ForAllValues:Bool            | true       | true false | no
ForAnyValue:StringEquals     | a b        | a        | yes
ForAnyValue:StringEquals     | a b        | c a      | yes
ForAnyValue:StringEquals     | a b        | c d      | no
ForAnyValue:StringEquals     | a b        | -        | no
ForAnyValue:StringLike       | a*         | b ax     | yes
ForAnyValue:StringLike       | a*         | b c      | no
ForAnyValue:StringNotEquals  | a b        | a c      | yes
ForAnyValue:StringNotEquals  | a b        | a b      | no
ForAnyValue:StringNotEquals  | a b        | -        | no
ForAnyValue:NumericEquals    | 5          | 4 5      | yes
ForAnyValue:IpAddress        | 10.0.0.0/8 | 11.0.0.1 10.0.0.2 | yes
ForAnyValue:StringEqualsIfExists | a      | -        | yes
ForAnyValue:StringEqualsIfExists | a      | b        | no
""")


def values(field: str) -> list[str]:
    return [] if field == "-" else [value.replace('""', "") for value in field.split()]


@pytest.mark.parametrize(("name", "wanted", "given", "expected"), TABLE)
def test_a_condition_holds_or_does_not(name: str, wanted: str, given: str, expected: str) -> None:
    one = policy(allow(Condition={name: {"ec2:Key": values(wanted)}}))
    context = {"ec2:key": values(given)} if given != "-" else {}
    assert decide(one, context=context).allowed is (expected == "yes")


def test_every_operator_is_in_the_table() -> None:
    assert {name for name, *_ in TABLE if ":" not in name and not name.endswith("IfExists")} == set(OPERATORS)


# All of a block has to hold: between the operators, and between the keys of one.
BLOCKS = rows("""
{"StringEquals": {"ec2:A": "1"}, "StringLike": {"ec2:B": "x*"}}     | {"ec2:A": "1", "ec2:B": "xy"} | yes
{"StringEquals": {"ec2:A": "1"}, "StringLike": {"ec2:B": "x*"}}     | {"ec2:A": "1", "ec2:B": "y"}  | no
{"StringEquals": {"ec2:A": "1"}, "StringLike": {"ec2:B": "x*"}}     | {"ec2:A": "2", "ec2:B": "xy"} | no
{"StringEquals": {"ec2:A": "1"}, "StringLike": {"ec2:B": "x*"}}     | {"ec2:A": "1"}                | no
{"StringEquals": {"ec2:A": "1", "ec2:B": "2"}}                      | {"ec2:A": "1", "ec2:B": "2"}  | yes
{"StringEquals": {"ec2:A": "1", "ec2:B": "2"}}                      | {"ec2:A": "1", "ec2:B": "3"}  | no
{"StringEquals": {"EC2:a": "1"}}                                    | {"ec2:A": "1"}                | yes
{"StringEquals": {"aws:RequestTag/Team": "x"}}                      | {"aws:RequestTag/team": "x"}  | yes
{"StringEquals": {"aws:RequestTag/Team": "x"}}                      | {"aws:RequestTag/Group": "x"} | no
{"NumericLessThan": {"ec2:A": 5}}                                   | {"ec2:A": "4"}                | yes
{"Bool": {"aws:SecureTransport": false}}                            | {"aws:SecureTransport": "false"} | yes
{}                                                                  | {}                            | yes
{"Null": {"ec2:A": "true"}, "StringEquals": {"ec2:B": "1"}}         | {"ec2:B": "1"}                | yes
{"Null": {"ec2:A": true}, "StringEquals": {"ec2:B": "1"}}           | {"ec2:A": "", "ec2:B": "1"}   | no
{"StringEquals": {"ec2:A": ["1", "2"], "ec2:B": ["3", "4"]}}        | {"ec2:A": "2", "ec2:B": "3"}  | yes
{"StringEquals": {"ec2:A": ["1", "2"], "ec2:B": ["3", "4"]}}        | {"ec2:A": "2", "ec2:B": "1"}  | no
""")


@pytest.mark.parametrize(("block", "context", "expected"), BLOCKS)
def test_all_of_a_block_has_to_hold(block: str, context: str, expected: str) -> None:
    one = policy(allow(Condition=json.loads(block)))
    assert decide(one, context=json.loads(context)).allowed is (expected == "yes")
