"""Tables of policy cases: lines of fields between bars, comments and blank lines left out."""

from __future__ import annotations

import json
from typing import Any

from cumulet.identity.policy import AccessRequest, Caller, Decision, Policies, Policy, compile_policy, evaluate

ACCOUNT = "111111111111"
OTHER = "222222222222"
ANN = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/ann", canonical_id="c1")
ROOT = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:root", canonical_id="c1")
OUTSIDER = Caller(account=OTHER, arn=f"arn:aws:iam::{OTHER}:user/ann", canonical_id="c2")
SESSION = Caller(
    account=ACCOUNT,
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/app/i-1",
    behind=f"arn:aws:iam::{ACCOUNT}:role/app",
    canonical_id="c1",
)
FEDERATED = Caller(
    account=ACCOUNT, arn=f"arn:aws:sts::{ACCOUNT}:federated-user/guest", behind=ANN.arn, canonical_id="c1"
)
SERVICE = Caller(service="ec2.amazonaws.com")
NOBODY = Caller()
CALLERS = {
    "ann": ANN,
    "root": ROOT,
    "outsider": OUTSIDER,
    "session": SESSION,
    "federated": FEDERATED,
    "ec2": SERVICE,
    "nobody": NOBODY,
}


def rows(table: str) -> list[tuple[str, ...]]:
    """Each line's fields; the number of fields of the first line is that of all."""
    lines = [line for line in table.strip().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = [tuple(field.strip() for field in line.split("|")) for line in lines]
    assert {len(row) for row in found} == {len(found[0])}, [row for row in found if len(row) != len(found[0])]
    return found


def policy(*statements: dict[str, Any], kind: Any = "identity", version: str = "2012-10-17") -> Policy:
    return compile_policy(json.dumps({"Version": version, "Statement": list(statements)}), kind)


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def decide(one: Policy, *, action: str = "ec2:RunInstances", resource: str = "*", **context: Any) -> Decision:
    """What a user with this one policy may; `context` as in AccessRequest."""
    request = AccessRequest(caller=ANN, action=action, resource=resource, context=context.get("context", {}))
    return evaluate(request, Policies(identity=[one]))
