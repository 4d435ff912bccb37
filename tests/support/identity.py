"""Users and policies for tests, and what a refusal says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.tested_cloud import Account, TestedCloud

ALLOW = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def document(effect: str = "Allow", **elements: Any) -> str:
    """A policy of one statement; by default of every action on everything, and an element of None is left out."""
    statement = {"Effect": effect, "Action": "*", "Resource": "*", **elements}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{name: value for name, value in statement.items() if value is not None}],
        }
    )


def user(cloud: TestedCloud, name: str, policy: str = "", of: Account | None = None) -> Account:
    """A new user with a key, who may what `policy` says: without one, nothing."""
    owner = of or cloud.admin
    iam = owner.client("iam")
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="its-own", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Account(cloud.url, cloud.config.region, key["AccessKeyId"], key["SecretAccessKey"], owner.id)


def session(cloud: TestedCloud, answer: dict[str, Any]) -> Account:
    """Whoever holds the Credentials of an answer of STS."""
    found = answer["Credentials"]
    holder = Account(cloud.url, cloud.config.region, found["AccessKeyId"], found["SecretAccessKey"], "")
    holder.token = found["SessionToken"]
    return holder


def refusal(ask: Callable[[], Any]) -> dict[str, str]:
    """The Error of an answer that refuses."""
    with pytest.raises(ClientError) as refused:
        ask()
    return dict(refused.value.response["Error"])


def code(ask: Callable[[], Any]) -> str:
    return refusal(ask)["Code"]


def message(ask: Callable[[], Any]) -> str:
    return refusal(ask)["Message"]
