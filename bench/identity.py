"""What it costs to ask whether a request is allowed."""

from __future__ import annotations

import json
import time

from bench.figures import Figure, median
from cumulet.identity.policy import AccessRequest, Caller, Policies, compile_policy, evaluate

STATEMENTS = 50
TIMES = 2000


def measure(rounds: int) -> list[Figure]:
    return [_decision(rounds)]


def _decision(rounds: int) -> Figure:
    """A principal with 50 statements: the actions and resources of each fit, and the conditions of the last alone."""
    statements = [
        {
            "Effect": "Allow" if i else "Deny",
            "Action": ["ec2:Describe*", "ec2:RunInstances", f"s3:Get{i}*"],
            "Resource": [f"arn:aws:ec2:*:*:instance/i-{i}*", "arn:aws:ec2:*:*:volume/*"],
            "Condition": {
                "IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]},
                "StringEquals": {"ec2:Region": "${aws:RequestedRegion}", "aws:ResourceTag/Team": ["red", f"team-{i}"]},
            },
        }
        for i in range(STATEMENTS)
    ]
    policy = compile_policy(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    caller = Caller(account="111111111111", arn="arn:aws:iam::111111111111:user/ann")
    context = {
        "aws:SourceIp": "203.0.113.7",
        "aws:ResourceTag/Team": f"team-{STATEMENTS - 1}",
        "aws:RequestedRegion": "here-1",
        "ec2:Region": "here-1",
    }
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(TIMES):
            request = AccessRequest(
                caller=caller,
                action="ec2:RunInstances",
                resource="arn:aws:ec2:here-1:111111111111:volume/vol-49",
                context=context,
            )
            decision = evaluate(request, Policies(identity=[policy]))
        times.append((time.perf_counter() - begun) / TIMES * 1e6)
        if not decision.allowed:
            raise RuntimeError("the last statement allows it")
    name = f"a decision of {STATEMENTS} statements with conditions"
    return Figure(name, median(times), "µs", "< 300 µs", f"median of {rounds}, each of {TIMES}")
