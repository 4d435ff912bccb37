"""What it costs to ask whether a request is allowed."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from bench.figures import Figure, median
from cumulet.identity import permissions
from cumulet.identity.policy import AccessRequest, Caller, Policies, compile_policy, evaluate
from cumulet.identity.principal import authenticate
from cumulet.lib.config import Config
from cumulet.model import Database, account, entity, migrate, policy
from cumulet.wire.request import Request, read_form
from cumulet.wire.signature import read

STATEMENTS = 50
TIMES = 2000
SIGNED = 300


def measure(rounds: int) -> list[Figure]:
    few, many = _requests(rounds, accounts=10), _requests(rounds, accounts=10_000)
    note = f"signature, policies and decision: processor's time, median of {rounds}, each of {SIGNED}"
    return [
        _decision(rounds),
        Figure("a signed request's identity, 10 accounts with 100 keys", few, "µs", "", note),
        Figure("a signed request's identity, 10,000 accounts with 100,000 keys", many, "µs", "flat", note),
    ]


def _requests(rounds: int, accounts: int) -> float:
    """Microseconds from a signed request to what its user may, with 50 statements; ten keys for each account."""
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-") as name:
        config = Config(state_dir=Path(name), drivers="fake", test=True)
        database = Database(config.database(), durable=False, keys=config.keyring())
        migrate.upgrade(database)
        key, secret = _many(database, accounts)
        request = _signed(key, secret)
        times = []
        for _ in range(rounds):
            begun = time.process_time()
            for _ in range(SIGNED):
                claim = read(request, read_form(request))
                who = authenticate(database, request, claim, "ec2", "us-east-1")
                asked = AccessRequest(caller=who.caller, action="ec2:DescribeVpcs")
                allowed = permissions.decide(database, who, asked).allowed
            times.append((time.process_time() - begun) / SIGNED * 1e6)
            if not allowed:
                raise RuntimeError("the user may")
        database.close()
    return median(times)


def _many(database: Database, accounts: int) -> tuple[str, str]:
    """So many accounts with ten keys each; gives a key of a user with 50 statements, and its secret."""
    with database.write() as tx:
        owner = account.create(tx, "the-first")
        ann = entity.create(tx, owner.id, "user", "ann", "/")
        statements = [
            {"Effect": "Allow", "Action": f"ec2:Describe*{i}", "Resource": "*"} for i in range(STATEMENTS - 1)
        ]
        last = {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [*statements, last]}
        policy.put_inline(tx, ann.id, "p", json.dumps(document))
        key, secret = account.add_key(tx, owner.id, ann.id)
        sealed = tx.keys.seal(b"x" * 40)
        for i in range(accounts):
            id = f"{10**11 + i}"
            tx.insert(account.account, {"id": id, "name": id, "canonical_id": id})
            shared = {"account": id, "secret": sealed, "entity": ""}
            tx.insert(account.access_key, *({**shared, "id": f"AKIA{i:08}{j:08}"} for j in range(10)))
    return key, secret


def _signed(key: str, secret: str) -> Request:
    body = b"Action=DescribeVpcs&Version=2016-11-15"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Host": "localhost"}
    signed = AWSRequest("POST", "http://localhost/", data=body, headers=headers)
    SigV4Auth(Credentials(key, secret), "ec2", "us-east-1").add_auth(signed)
    return Request.of("POST", "/", b"", list(signed.headers.items()), body)


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
    compiled = compile_policy(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    caller = Caller(account="111111111111", arn="arn:aws:iam::111111111111:user/ann")
    context = {
        "aws:SourceIp": "203.0.113.7",
        "aws:ResourceTag/Team": f"team-{STATEMENTS - 1}",
        "aws:RequestedRegion": "here-1",
        "ec2:Region": "here-1",
    }
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(TIMES):
            request = AccessRequest(
                caller=caller,
                action="ec2:RunInstances",
                resource="arn:aws:ec2:here-1:111111111111:volume/vol-49",
                context=context,
            )
            decision = evaluate(request, Policies(identity=[compiled]))
        times.append((time.process_time() - begun) / TIMES * 1e6)
        if not decision.allowed:
            raise RuntimeError("the last statement allows it")
    name = f"a decision of {STATEMENTS} statements with conditions"
    return Figure(name, median(times), "µs", "< 300 µs", f"processor's time, median of {rounds}, each of {TIMES}")
