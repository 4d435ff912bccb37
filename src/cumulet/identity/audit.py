"""The audit log: who has asked for what, from where, and what came of it, in the form of CloudTrail's records.

Each account has a directory with a file for each day, a record a line, for the cloud's user alone. A secret is never
written: what a member's name says is one is replaced, whatever the action.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from cumulet.identity.principal import Principal
from cumulet.lib import files
from cumulet.lib.log import Log

log = Log("audit")
LOOKS = re.compile("Describe|Get|List|Lookup|Search|Simulate|Decode|Head|Check")
SECRET = re.compile("password|secret|sessiontoken|securitytoken|keymaterial|userdata|privatekey|token(code)?$", re.I)
REMOVED = "HIDDEN_DUE_TO_SECURITY_REASONS"
UNKNOWN = "unknown"
"""The directory of those of whom no account is known."""
LONGEST = 8192
"""Bytes that parameters, or an answer, may take in a record."""


class Trail:
    """One request: filled while it is answered, written down when it has been."""

    def __init__(self, request_id: str, address: str, user_agent: str) -> None:
        self.request_id = request_id
        self.address = address
        self.user_agent = user_agent
        self.service = ""
        self.action = ""
        self.access_key = ""
        self.principal: Principal | None = None
        self.parameters: dict[str, Any] | None = None
        self.result: dict[str, Any] | None = None
        self.error: tuple[str, str] | None = None

    def record(self, now: float, region: str) -> dict[str, Any]:
        """Source: "CloudTrail record contents for management, data, and network activity events"."""
        looks = LOOKS.match(self.action) is not None
        code, message = self.error or (None, None)
        found = {
            "eventVersion": "1.08",
            "userIdentity": self._identity(),
            "eventTime": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "eventSource": f"{ {'service-quotas': 'servicequotas'}.get(self.service, self.service) }.amazonaws.com",
            "eventName": self.action,
            "awsRegion": region,
            "sourceIPAddress": self.address,
            "userAgent": self.user_agent,
            "errorCode": code,
            "errorMessage": message,
            "requestParameters": _shown(self.parameters),
            "responseElements": None if looks else _shown(self.result),
            "requestID": self.request_id,
            "eventID": str(uuid.uuid4()),
            "readOnly": looks,
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": self.account,
            "eventCategory": "Management",
        }
        optional = ("errorCode", "errorMessage")
        return {name: value for name, value in found.items() if value is not None or name not in optional}

    @property
    def account(self) -> str:
        return self.principal.account if self.principal is not None else UNKNOWN

    def _identity(self) -> dict[str, Any]:
        who = self.principal
        if who is None:
            return {"type": "Unknown", "accessKeyId": self.access_key}
        of_type = {"Account": "Root", "User": "IAMUser"}.get(who.type, who.type)
        found: dict[str, Any] = {
            "type": of_type,
            "principalId": who.user_id,
            "arn": who.arn,
            "accountId": who.account,
            "accessKeyId": who.access_key,
        }
        if of_type == "IAMUser":
            found["userName"] = who.name
        if who.session is not None:
            begun = f"{datetime.fromtimestamp(who.session.issued, UTC):%Y-%m-%dT%H:%M:%SZ}"
            issuer = {"arn": who.owner_arn, "accountId": who.account, "userName": who.name, "principalId": who.entity}
            found["sessionContext"] = {"attributes": {"creationDate": begun, "mfaAuthenticated": "false"}}
            found["sessionContext"]["sessionIssuer"] = {"type": who.kind.capitalize(), **issuer}
        return found


class AuditLog:
    """The directory; `days` is how long a file is kept."""

    def __init__(self, directory: Path, days: int) -> None:
        self._directory = directory
        self._days = days

    def write(self, trail: Trail, now: float, region: str) -> None:
        """Append a record. A log that cannot be written is said, and stops no request."""
        line = msgspec.json.encode(trail.record(now, region), enc_hook=str) + b"\n"
        file = self._file(trail.account, datetime.fromtimestamp(now, UTC).date())
        try:
            try:
                descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            except FileNotFoundError:
                files.make_directory(file.parent)
                self._forget(file.parent, datetime.fromtimestamp(now, UTC).date())
                descriptor = files.append_to(file)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as e:
            log.error("the audit log cannot be written", file=file, error=e)

    def records(self, account: str, newest: date, oldest: date) -> Iterator[dict[str, Any]]:
        """The account's records of these days, newest first."""
        day = newest
        while day >= oldest:
            file = self._file(account, day)
            if file.exists():
                for line in reversed(file.read_bytes().splitlines()):
                    yield msgspec.json.decode(line)
            day -= timedelta(days=1)

    def empty(self) -> None:
        """Forget everything, as a test's cloud may."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _file(self, account: str, day: date) -> Path:
        return self._directory / account / f"{day.isoformat()}.jsonl"

    def _forget(self, directory: Path, today: date) -> None:
        oldest = (today - timedelta(days=self._days)).isoformat()
        for file in directory.glob("*.jsonl"):
            if file.stem < oldest:
                file.unlink(missing_ok=True)


def _shown(value: dict[str, Any] | None) -> Any:
    if not value:
        return None
    found = _hidden(value)
    return found if len(msgspec.json.encode(found, enc_hook=str)) <= LONGEST else {"omitted": "too large"}


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name[:1].lower() + name[1:]: REMOVED if SECRET.search(name) else _hidden(inner)
            for name, inner in value.items()
            if inner is not None
        }
    if isinstance(value, list):
        return [_hidden(inner) for inner in value]
    return REMOVED if isinstance(value, bytes) else value
