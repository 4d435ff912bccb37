"""The table of who decides: the kinds of policies together, in one account and between two."""

from __future__ import annotations

import pytest
from support.policy_table import ACCOUNT, CALLERS, OTHER, allow, deny, policy, rows

from cumulet.identity.policy import ALLOW_ALL, AccessRequest, Policies, Policy, evaluate

# What each policy says of the one request: `+` allows, `-` denies, `0` speaks of something else, `.` is not there.
# The resource's names whom it means: `+ann` the user, `+session`, `+role`, `+account`, `+all`, `+other` (another user);
# its owner is the account 111111111111, also ann's, root's, session's (of role app) and federated's (asked for by ann).
TABLE = rows("""
# caller  | identity | resource   | boundary | session | verdict
ann       | +        | .          | .        | .       | allowed
ann       | 0        | .          | .        | .       | implicitDeny identity
ann       | -        | .          | .        | .       | explicitDeny identity
ann       | +-       | .          | .        | .       | explicitDeny identity
ann       | -+       | .          | .        | .       | explicitDeny identity
ann       | 00       | .          | .        | .       | implicitDeny identity
ann       | 0+       | .          | .        | .       | allowed
# a boundary
ann       | +        | .          | +        | .       | allowed
ann       | +        | .          | 0        | .       | implicitDeny boundary
ann       | +        | .          | -        | .       | explicitDeny boundary
ann       | 0        | .          | +        | .       | implicitDeny identity
ann       | 0        | .          | 0        | .       | implicitDeny identity
ann       | -        | .          | +        | .       | explicitDeny identity
# a resource's policy, in the same account
ann       | +        | 0          | .        | .       | allowed
ann       | 0        | 0          | .        | .       | implicitDeny identity
ann       | 0        | +ann       | .        | .       | allowed
ann       | 0        | +all       | .        | .       | allowed
ann       | 0        | +account   | .        | .       | implicitDeny identity
ann       | +        | +account   | .        | .       | allowed
ann       | 0        | +other     | .        | .       | implicitDeny identity
ann       | +        | +other     | .        | .       | allowed
ann       | +        | -ann       | .        | .       | explicitDeny resource
ann       | +        | -all       | .        | .       | explicitDeny resource
ann       | +        | -account   | .        | .       | explicitDeny resource
ann       | +        | -other     | .        | .       | allowed
ann       | -        | +ann       | .        | .       | explicitDeny identity
ann       | -        | +all       | .        | .       | explicitDeny identity
ann       | 0        | +ann-all   | .        | .       | explicitDeny resource
# … and a boundary: not for what is granted to the user itself
ann       | 0        | +ann       | 0        | .       | allowed
ann       | 0        | +ann       | -        | .       | explicitDeny boundary
ann       | 0        | +all       | 0        | .       | implicitDeny boundary
ann       | 0        | +all       | +        | .       | allowed
ann       | +        | +account   | 0        | .       | implicitDeny boundary
ann       | +        | +account   | +        | .       | allowed
ann       | +        | 0          | 0        | .       | implicitDeny boundary
# the root of the account
root      | +        | .          | .        | .       | allowed
root      | +        | 0          | .        | .       | allowed
root      | +        | -account   | .        | .       | explicitDeny resource
root      | +        | -all       | .        | .       | explicitDeny resource
root      | +        | -ann       | .        | .       | allowed
root      | +        | +account   | .        | .       | allowed
# a session of a role
session   | +        | .          | .        | .       | allowed
session   | 0        | .          | .        | .       | implicitDeny identity
session   | +        | .          | .        | +       | allowed
session   | +        | .          | .        | 0       | implicitDeny session
session   | +        | .          | .        | -       | explicitDeny session
session   | 0        | .          | .        | +       | implicitDeny identity
session   | +        | .          | 0        | +       | implicitDeny boundary
session   | +        | .          | +        | 0       | implicitDeny session
session   | +        | .          | +        | +       | allowed
session   | +        | .          | .        | 0+      | allowed
session   | +        | .          | .        | +-      | explicitDeny session
session   | 0        | +role      | .        | .       | allowed
session   | 0        | +role      | 0        | .       | implicitDeny boundary
session   | 0        | +role      | .        | 0       | implicitDeny session
session   | 0        | +role      | +        | +       | allowed
session   | 0        | +session   | 0        | 0       | allowed
session   | 0        | +session   | -        | .       | explicitDeny boundary
session   | 0        | +session   | .        | -       | explicitDeny session
session   | 0        | +all       | .        | 0       | implicitDeny session
session   | 0        | +all       | .        | +       | allowed
session   | 0        | +account   | .        | .       | implicitDeny identity
session   | +        | +account   | .        | 0       | implicitDeny session
session   | +        | -role      | .        | .       | explicitDeny resource
session   | +        | -session   | .        | .       | explicitDeny resource
session   | +        | -account   | .        | .       | explicitDeny resource
session   | 0        | +ann       | .        | .       | implicitDeny identity
# a federated user: the session's policies limit what the user who asked for it may
federated | +        | .          | .        | +       | allowed
federated | +        | .          | .        | 0       | implicitDeny session
federated | 0        | .          | .        | +       | implicitDeny identity
federated | 0        | +federated | .        | 0       | allowed
federated | 0        | +ann       | .        | 0       | implicitDeny session
federated | 0        | +ann       | .        | +       | allowed
federated | +        | -ann       | .        | +       | explicitDeny resource
# from another account: both have to allow
outsider  | +        | .          | .        | .       | implicitDeny resource
outsider  | +        | 0          | .        | .       | implicitDeny resource
outsider  | 0        | +outsider  | .        | .       | implicitDeny identity
outsider  | +        | +outsider  | .        | .       | allowed
outsider  | +        | +theirs    | .        | .       | allowed
outsider  | 0        | +theirs    | .        | .       | implicitDeny identity
outsider  | +        | +all       | .        | .       | allowed
outsider  | 0        | +all       | .        | .       | implicitDeny identity
outsider  | +        | +ann       | .        | .       | implicitDeny resource
outsider  | +        | +account   | .        | .       | implicitDeny resource
outsider  | +        | +outsider  | 0        | .       | implicitDeny boundary
outsider  | +        | +outsider  | +        | .       | allowed
outsider  | +        | +outsider  | .        | 0       | implicitDeny session
outsider  | +        | -outsider  | .        | .       | explicitDeny resource
outsider  | -        | +outsider  | .        | .       | explicitDeny identity
outsider  | -        | .          | .        | .       | explicitDeny identity
outsider  | +        | +all-theirs | .       | .       | explicitDeny resource
# nobody, and a service
nobody    | .        | .          | .        | .       | implicitDeny resource
nobody    | .        | 0          | .        | .       | implicitDeny resource
nobody    | .        | +all       | .        | .       | allowed
nobody    | .        | +ann       | .        | .       | implicitDeny resource
nobody    | .        | +account   | .        | .       | implicitDeny resource
nobody    | .        | -all       | .        | .       | explicitDeny resource
nobody    | .        | +all-ann   | .        | .       | allowed
ec2       | .        | +ec2       | .        | .       | allowed
ec2       | .        | +s3        | .        | .       | implicitDeny resource
ec2       | .        | +all       | .        | .       | allowed
ec2       | .        | -ec2+all   | .        | .       | explicitDeny resource
nobody    | .        | +ec2       | .        | .       | implicitDeny resource
# by the id of S3's accounts
ann       | +        | +canonical | .        | .       | allowed
ann       | 0        | +canonical | .        | .       | implicitDeny identity
outsider  | +        | +canonical | .        | .       | implicitDeny resource
# NotPrincipal: all but those who are named
ann       | 0        | +!other    | .        | .       | allowed
ann       | 0        | +!ann      | .        | .       | implicitDeny identity
ann       | 0        | +!account  | .        | .       | implicitDeny identity
outsider  | +        | +!ann      | .        | .       | allowed
nobody    | .        | +!ann      | .        | .       | allowed
ann       | +        | -!other    | .        | .       | explicitDeny resource
ann       | +        | -!ann      | .        | .       | explicitDeny resource
ann       | +        | -!ann,account | .     | .       | allowed
ann       | +        | -!account  | .        | .       | explicitDeny resource
root      | +        | -!account  | .        | .       | allowed
session   | +        | -!session,role,account | . | .  | allowed
session   | +        | -!role,account | .    | .       | explicitDeny resource
session   | +        | -!session,role | .    | .       | explicitDeny resource
outsider  | +        | +all-!ann,account | . | .       | explicitDeny resource
nobody    | .        | +all-!ann,account | . | .       | explicitDeny resource
""")

ARNS = {
    "ann": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"},
    "other": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"},
    "role": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/app"},
    "session": {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/app/i-1"},
    "federated": {"AWS": f"arn:aws:sts::{ACCOUNT}:federated-user/guest"},
    "account": {"AWS": ACCOUNT},
    "theirs": {"AWS": f"arn:aws:iam::{OTHER}:root"},
    "outsider": {"AWS": f"arn:aws:iam::{OTHER}:user/ann"},
    "all": "*",
    "ec2": {"Service": "ec2.amazonaws.com"},
    "s3": {"Service": "s3.amazonaws.com"},
    "canonical": {"CanonicalUser": "c1"},
}
STATEMENTS = {"+": allow("s3:GetObject"), "-": deny("s3:GetObject"), "0": allow("s3:PutObject")}


def policies(field: str) -> list[Policy]:
    return [policy(STATEMENTS[sign]) for sign in field if sign != "."]


def resource_policy(field: str, kind: str = "resource") -> Policy | None:
    if field == ".":
        return None
    if field == "0":
        return policy(allow("s3:PutObject", Principal="*"), kind=kind)
    statements = []
    for part in field.replace("+", " +").replace("-", " -").split():
        element = "NotPrincipal" if part[1] == "!" else "Principal"
        names = part[1:].removeprefix("!").split(",")
        whom = ARNS[names[0]] if len(names) == 1 else {"AWS": [ARNS[name]["AWS"] for name in names]}  # type: ignore[index]
        statements.append({**STATEMENTS[part[0]], element: whom})
    return policy(*statements, kind=kind)


@pytest.mark.parametrize(("caller", "identity", "resource", "boundary", "session", "expected"), TABLE)
def test_who_decides(caller: str, identity: str, resource: str, boundary: str, session: str, expected: str) -> None:
    request = AccessRequest(
        caller=CALLERS[caller], action="s3:GetObject", resource="arn:aws:s3:::bucket/key", owner=ACCOUNT
    )
    decision = evaluate(
        request,
        Policies(
            identity=policies(identity),
            resource=resource_policy(resource),
            boundary=next(iter(policies(boundary)), None),
            session=None if session == "." else policies(session),
        ),
    )
    assert " ".join(filter(None, [decision.verdict, decision.layer])) == expected


# A role's trust policy has to allow, whatever the caller's own policies say.
TRUST = rows("""
# caller  | identity | trust policy | verdict
ann       | +        | ann          | allowed
ann       | 0        | ann          | allowed
ann       | +        | account      | allowed
ann       | 0        | account      | implicitDeny identity
ann       | +        | other        | implicitDeny resource
ann       | -        | ann          | explicitDeny identity
root      | +        | account      | allowed
root      | +        | ann          | implicitDeny resource
outsider  | +        | outsider     | allowed
outsider  | +        | theirs       | allowed
outsider  | 0        | outsider     | implicitDeny identity
outsider  | +        | account      | implicitDeny resource
session   | +        | role         | allowed
session   | +        | account      | allowed
session   | +        | ann          | implicitDeny resource
ec2       | .        | ec2          | allowed
ec2       | .        | s3           | implicitDeny resource
nobody    | .        | ec2          | implicitDeny resource
""")


@pytest.mark.parametrize(("caller", "identity", "trusted", "expected"), TRUST)
def test_who_may_assume_a_role(caller: str, identity: str, trusted: str, expected: str) -> None:
    trust = policy({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": ARNS[trusted]}, kind="trust")
    signs = {"+": allow("sts:*"), "-": deny("sts:*"), "0": allow("ec2:*")}
    own = [policy(signs[sign]) for sign in identity if sign != "."]
    role = f"arn:aws:iam::{ACCOUNT}:role/app"
    request = AccessRequest(caller=CALLERS[caller], action="sts:AssumeRole", resource=role, owner=ACCOUNT)
    decision = evaluate(request, Policies(identity=own, resource=trust))
    assert " ".join(filter(None, [decision.verdict, decision.layer])) == expected


def test_a_refusal_says_whose_fault_it_is() -> None:
    request = AccessRequest(caller=CALLERS["ann"], action="ec2:RunInstances")
    reasons = {
        " because no identity-based policy allows the ec2:RunInstances action": Policies(),
        " because no permissions boundary allows the ec2:RunInstances action": Policies(
            identity=[ALLOW_ALL], boundary=policy(allow("s3:*"))
        ),
        " because no session policy allows the ec2:RunInstances action": Policies(identity=[ALLOW_ALL], session=[]),
        " with an explicit deny in an identity-based policy": Policies(identity=[ALLOW_ALL, policy(deny())]),
        " with an explicit deny in a session policy": Policies(identity=[ALLOW_ALL], session=[policy(deny())]),
        "": Policies(identity=[ALLOW_ALL]),
    }
    for reason, those in reasons.items():
        assert evaluate(request, those).reason("ec2:RunInstances") == reason


def test_a_decision_names_the_statements_that_made_it() -> None:
    one = policy(allow("ec2:*", Sid="first"), allow("s3:*", Sid="second"), allow("ec2:Run*", Sid="third"))
    request = AccessRequest(caller=CALLERS["ann"], action="ec2:RunInstances")
    matched = evaluate(request, Policies(identity=[one])).matched
    assert [(match.layer, match.statement.sid) for match in matched] == [("identity", "first"), ("identity", "third")]
