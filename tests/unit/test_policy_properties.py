"""What holds for any policies: a denial never widens, an allowance never narrows, and order does not matter."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.policy_table import ACCOUNT, CALLERS, policy

from cumulet.identity.policy import AccessRequest, Policies, Policy, evaluate

ACTIONS = ["*", "ec2:*", "ec2:Run*", "ec2:RunInstances", "s3:GetObject", "s3:?etObject"]
RESOURCES = ["*", "arn:aws:ec2:*:*:instance/*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}"]
CONDITIONS: list[dict[str, Any]] = [
    {},
    {"StringEquals": {"aws:username": "ann"}},
    {"StringNotEquals": {"aws:username": "ann"}},
    {"Bool": {"aws:SecureTransport": "true"}},
    {"Null": {"aws:TagKeys": "true"}},
    {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
]
PRINCIPALS: list[Any] = ["*", {"AWS": ACCOUNT}, *({"AWS": caller.arn} for caller in CALLERS.values() if caller.arn)]


def statements(principals: bool = False) -> st.SearchStrategy[list[dict[str, Any]]]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        "Effect": st.sampled_from(["Allow", "Allow", "Deny"]),
        "Action": st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=3),
        "Resource": st.sampled_from(RESOURCES),
        "Condition": st.sampled_from(CONDITIONS),
    }
    if principals:
        fields["Principal"] = st.sampled_from(PRINCIPALS)
    return st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=4)


identities = statements().map(lambda those: policy(*those))
resources = statements(principals=True).map(lambda those: policy(*those, kind="resource"))
every_policy = st.builds(
    lambda identity, resource, boundary, session: Policies(
        identity=identity, resource=resource, boundary=boundary, session=session
    ),
    st.lists(identities, max_size=3),
    st.none() | resources,
    st.none() | identities,
    st.none() | st.lists(identities, max_size=2),
)
requests = st.builds(
    AccessRequest,
    caller=st.sampled_from(list(CALLERS.values())),
    action=st.sampled_from(["ec2:RunInstances", "ec2:StopInstances", "s3:GetObject"]),
    resource=st.sampled_from(["*", "arn:aws:ec2:r:1:instance/i-1", "arn:aws:s3:::b/ann", "arn:aws:s3:::b/x"]),
    owner=st.sampled_from([ACCOUNT, "222222222222"]),
    context=st.fixed_dictionaries(
        {},
        optional={
            "aws:username": st.sampled_from(["ann", "bob"]),
            "aws:SecureTransport": st.sampled_from(["true", "false"]),
            "aws:TagKeys": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
        },
    ),
)


def changed(policies: Policies, **parts: Any) -> Policies:
    return Policies(**{name: parts.get(name, getattr(policies, name)) for name in policies.__struct_fields__})


def only(effect: str) -> st.SearchStrategy[Policy]:
    return statements().map(lambda those: policy(*({**one, "Effect": effect} for one in those)))


@settings(max_examples=300, deadline=None)
@given(requests, every_policy, only("Deny"))
def test_a_denial_never_widens(request: AccessRequest, policies: Policies, denial: Policy) -> None:
    more = changed(policies, identity=[*policies.identity, denial])
    assert evaluate(request, policies).allowed or not evaluate(request, more).allowed


@settings(max_examples=300, deadline=None)
@given(requests, every_policy, only("Allow"))
def test_an_allowance_never_narrows(request: AccessRequest, policies: Policies, allowance: Policy) -> None:
    more = changed(policies, identity=[*policies.identity, allowance])
    assert evaluate(request, more).allowed or not evaluate(request, policies).allowed


@settings(max_examples=300, deadline=None)
@given(requests, every_policy, st.randoms(use_true_random=False))
def test_order_does_not_matter(request: AccessRequest, policies: Policies, random: Any) -> None:
    def shuffled(those: Any) -> Any:
        return random.sample(list(those), len(those))

    def turned(one: Policy | None) -> Policy | None:
        return one and Policy(statements=tuple(shuffled(one.statements)), kind=one.kind, keys=one.keys)

    other = changed(
        policies,
        identity=[turned(one) for one in shuffled(policies.identity)],
        resource=turned(policies.resource),
        boundary=turned(policies.boundary),
        session=None if policies.session is None else [turned(one) for one in shuffled(policies.session)],
    )
    first, second = evaluate(request, policies), evaluate(request, other)
    assert (first.verdict, first.layer) == (second.verdict, second.layer)


@settings(max_examples=300, deadline=None)
@given(requests, every_policy, identities)
def test_a_boundary_or_a_session_policy_never_widens(request: AccessRequest, policies: Policies, limit: Policy) -> None:
    free = changed(policies, boundary=None, session=None)
    for limited in (changed(free, boundary=limit), changed(free, session=[limit])):
        assert evaluate(request, free).allowed or not evaluate(request, limited).allowed


@settings(max_examples=300, deadline=None)
@given(requests, every_policy)
def test_nothing_is_allowed_that_no_policy_allows(request: AccessRequest, policies: Policies) -> None:
    if evaluate(request, policies).allowed:
        listed = [*policies.identity, policies.resource]
        assert any(not one.deny for policy in listed if policy for one in policy.statements)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab*?:/", max_size=12), st.text(alphabet="ab:/", max_size=12))
def test_a_pattern_matches_as_the_simplest_matcher_says(pattern: str, subject: str) -> None:
    from cumulet.identity.policy_patterns import glob

    assert glob(((pattern, True),))(subject) is simplest(pattern, subject)


def simplest(pattern: str, subject: str) -> bool:
    if not pattern:
        return not subject
    if pattern[0] == "*":
        return any(simplest(pattern[1:], subject[i:]) for i in range(len(subject) + 1))
    return bool(subject) and pattern[0] in ("?", subject[0]) and simplest(pattern[1:], subject[1:])
