"""Uploads by a browser's form (POST): the fields, the policy that says what they may be, and the file.

Source: "Browser-Based Uploads Using POST" of the Amazon S3 API Reference.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from cumulet.api.s3 import access, describing, encryption, errors, quotas
from cumulet.api.s3.call import Answer, Call, Given
from cumulet.api.s3.form_parts import FormParts, malformed
from cumulet.api.s3.objects import keep, require_extras
from cumulet.api.s3.receiving import MOST, BlobSink, Received, too_large
from cumulet.identity.principal import who_claims
from cumulet.lib import checksums
from cumulet.model import bucket
from cumulet.wire.models import load
from cumulet.wire.request import Request
from cumulet.wire.rest_parse import malformed as malformed_xml
from cumulet.wire.rest_parse import parse_rest
from cumulet.wire.s3_signature import form_claim
from cumulet.wire.scalars import escape

_BOUNDARY = re.compile(r'boundary="?([^";,]{1,200})"?')
_FREE = ("x-amz-signature", "file", "policy", "awsaccesskeyid", "signature")
"""Fields that a policy need not speak of; so are all that begin with x-ignore-."""


def is_form(call: Call) -> bool:
    kind = (call.header("content-type") or "").strip().lower()
    posts = call.request.method == "POST" and kind.startswith("multipart/form-data")
    return posts and bool(call.bucket_name) and not call.key and "delete" not in call.query


def begin(call: Call) -> tuple[Form, Callable[[Any], Answer]]:
    """The receiver of the form, and what is to be done with what it has received."""
    found = _BOUNDARY.search(call.header("content-type") or "")
    if found is None:
        raise malformed("it has no boundary")
    call.operation = "PostObject"
    form = Form(call, found[1].encode("latin-1"))
    return form, form.answer


class Form:
    """Takes a form as it comes: the fields are judged when the file begins, and the file becomes a blob."""

    def __init__(self, call: Call, boundary: bytes) -> None:
        self._call = call
        self._parts = FormParts(boundary)
        self._sink: BlobSink | None = None
        self._given: Given = {}
        self._limits: tuple[int, int] = (0, MOST)

    def feed(self, piece: bytes) -> None:
        for part in self._parts.feed(piece):
            if self._sink is None:
                self._start()
            assert self._sink is not None
            self._sink.write(part)
            if self._sink.size > MOST:
                raise too_large(self._sink.size)
            if self._sink.size > self._limits[1]:
                why = "Your proposed upload exceeds the maximum allowed size"
                details = {"ProposedSize": str(self._sink.size), "MaxSizeAllowed": str(self._limits[1])}
                raise errors.S3Refusal("EntityTooLarge", why, 400, **details)

    def finish(self) -> Received:
        self._parts.finish()
        if self._sink is None:
            if not self._parts.has_file:
                raise errors.invalid_argument("POST requires exactly one file upload per request.", "file", "0")
            self._start()
        assert self._sink is not None
        if self._sink.size < self._limits[0]:
            details = {"ProposedSize": str(self._sink.size), "MinSizeAllowed": str(self._limits[0])}
            raise errors.S3Refusal(
                "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", 400, **details
            )
        self._check_digests()
        return self._sink.commit()

    def abort(self) -> None:
        if self._sink is not None:
            self._sink.abort()

    def _start(self) -> None:
        """All the fields are here: who sends them, and may he?"""
        call, fields = self._call, self._parts.fields
        if not fields.get("key"):
            raise _missing("key")
        call.key = fields["key"].replace("${filename}", self._parts.filename).encode()
        if len(call.key) > 1024:
            raise errors.S3Refusal("KeyTooLongError", "Your key is too long", 400)
        with call.read() as tx:
            call.bucket_row = bucket.find(tx, call.bucket_name)
            if call.bucket_row is None:
                raise errors.no_such_bucket(call.bucket_name)
            call.claim = form_claim(fields)
            if call.claim is None and "policy" in fields:
                raise _missing("X-Amz-Signature" if "x-amz-algorithm" in fields else "AWSAccessKeyId")
            if call.claim is not None:
                if not fields.get("policy"):
                    raise _missing("policy")
                if not call.claim.access_key or not call.claim.signature:
                    missing = "Signature" if call.claim.access_key else "AWSAccessKeyId"
                    raise _missing(missing)
                call.principal, call.secret = who_claims(
                    call.database, tx, call.claim, "s3", call.config.region, call.request.address
                )
        call.context |= access.context_of_form(fields)
        if "policy" in fields:
            self._limits = check_policy(fields, call.bucket_name, call.key_text, call.database.clock.now())
        self._prepare(_given(fields))

    def _prepare(self, given: Given) -> None:
        call = self._call
        with call.read() as tx:
            grants = describing.list_of_new(call, tx, call.bucket, given)
            facts, storage = describing.described(call, tx, given)
        access.require(call, call.bucket, "s3:PutObject", "WRITE", key=call.key)
        require_extras(call, given, has_list=grants is not None)
        sealing = encryption.sealing_of(call, given)
        facts |= {"sse": sealing.facts} if sealing.kind else {}
        facts |= {"acl": grants} if grants is not None else {}
        owner = describing.owner_of_new(call, call.bucket, grants)
        self._given = {"facts": facts, "storage": storage, "owner": owner}
        quotas.check(call, call.bucket, 0)
        named = [one for header, one in checksums.BY_HEADER.items() if header in self._parts.fields]
        self._sink = BlobSink(call, sealing, {one.name: one for one in named})

    def _check_digests(self) -> None:
        assert self._sink is not None
        fields = self._parts.fields
        md5 = fields.get("content-md5")
        if md5 is not None and md5 != base64.b64encode(self._sink.md5.digest()).decode():
            raise errors.digest_differs()
        found = self._sink.checksums()
        for header, one in checksums.BY_HEADER.items():
            if header in fields and fields[header] != found[one.name]:
                raise errors.digest_differs(one.name)

    def answer(self, received: Received) -> Answer:
        call, facts = self._call, self._given["facts"]
        name, value = next(iter(received.checksums.items()))
        facts |= {"checksum": {"algorithm": name, "type": "FULL_OBJECT", "value": value}}
        facts |= {"sealed": received.sealed} if received.sealed else {}
        values = {"size": received.size, "etag": received.md5, "blob": received.blob, "facts": facts}
        version = keep(call, self._given, values, received)
        return _answer(call, self._parts.fields, received.md5, version)


def _missing(name: str) -> errors.S3Refusal:
    why = f"Bucket POST must contain a field named '{name}'."
    return errors.invalid_argument(f"{why} If it is specified, please check the order of the fields.", name, "")


def _answer(call: Call, fields: dict[str, str], etag: str, version: str | None) -> Answer:
    location = f"{call.url}{call.request.raw_path.rstrip('/')}/{quote(call.key_text)}"
    headers = [("ETag", f'"{etag}"'), ("Location", location)]
    headers += [("x-amz-version-id", version)] if version else []
    target = fields.get("success_action_redirect") or fields.get("redirect")
    if target and target.startswith(("http://", "https://")):
        more = urlencode({"bucket": call.bucket_name, "key": call.key_text, "etag": f'"{etag}"'})
        where = f"{target}{'&' if '?' in target else '?'}{more}"
        return Answer(303, [("Location", where), *headers[:1], *headers[2:]])
    status = fields.get("success_action_status")
    if status != "201":
        return Answer(200 if status == "200" else 204, headers)
    inside = {"Location": location, "Bucket": call.bucket_name, "Key": call.key_text, "ETag": f'"{etag}"'}
    body = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in inside.items())
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>{body}</PostResponse>'
    return Answer(201, headers, document.encode())


def _given(fields: dict[str, str]) -> Given:
    """The fields as PutObject's parameters."""
    given: Given = {}
    members = load("s3").input("PutObject").members
    for name, ref in members.items():
        header = ref.location_name.lower()
        if ref.location == "header" and header in fields and not name.startswith("Checksum"):
            given[name] = fields[header]
    if "acl" in fields:
        given["ACL"] = fields["acl"]
    until = given.get("ObjectLockRetainUntilDate")
    if until is not None:
        given["ObjectLockRetainUntilDate"] = _time(until)
    meta = {name[11:]: value for name, value in fields.items() if name.startswith("x-amz-meta-")}
    if "tagging" in fields:
        given["Tagging"] = _tags_of_xml(fields["tagging"])
    return given | ({"Metadata": meta} if meta else {})


def _tags_of_xml(text: str) -> str:
    request = Request("PUT", "/", "", (), None)
    path = {"Bucket": "b", "Key": "k"}
    found = parse_rest(load("s3"), "PutObjectTagging", request, {}, path, text.encode())
    if "Tagging" not in found:
        raise malformed_xml("the field tagging is empty")
    return urlencode([(tag["Key"], tag["Value"]) for tag in found["Tagging"]["TagSet"]])


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise errors.invalid_argument(
            "It must be a time of ISO 8601.", "x-amz-object-lock-retain-until-date", text
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def check_policy(fields: dict[str, str], bucket_name: str, key: str, now: float) -> tuple[int, int]:
    """Raise AccessDenied for a form that its policy does not allow; gives the least and the most bytes of the file."""
    document = _document(fields["policy"])
    if _expires(document) < now:
        raise _not_by_policy("Policy expired.")
    values = {**fields, "bucket": bucket_name, "key": key}
    limits = (0, MOST)
    named: set[str] = set()
    for condition in document["conditions"]:
        kind, name, wanted = _condition(condition)
        if kind == "content-length-range":
            limits = _range(condition)
            continue
        named.add(name)
        actual = values.get(name, "")
        holds = actual.startswith(wanted) if kind == "starts-with" else actual == wanted
        if name == "content-type" and kind == "starts-with":
            holds = all(part.strip().startswith(wanted) for part in actual.split(","))
        if not holds:
            raise _not_by_policy(f"Policy Condition failed: {json.dumps(condition)}")
    said = ["bucket", *fields]
    extra = [name for name in said if name not in named and name not in _FREE and not name.startswith("x-ignore-")]
    if extra:
        raise _not_by_policy(f"Extra input fields: {', '.join(sorted(set(extra)))}")
    return limits


def _not_by_policy(why: str) -> errors.S3Refusal:
    return errors.S3Refusal("AccessDenied", f"Invalid according to Policy: {why}", 403)


def _document(text: str) -> dict[str, Any]:
    invalid = "Invalid Policy: Invalid JSON."
    try:
        decoded = base64.b64decode(text, validate=False).decode()
        document = json.loads(_ESCAPED.sub(_as_in_json, decoded))
    except (ValueError, UnicodeDecodeError):
        raise _policy_document(invalid) from None
    if not isinstance(document, dict):
        raise _policy_document(invalid)
    if "expiration" not in document:
        raise _policy_document("Invalid Policy: Policy missing expiration.")
    if not isinstance(document.get("conditions"), list):
        raise _policy_document("Invalid Policy: Policy missing conditions.")
    return document


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _as_in_json(found: re.Match[str]) -> str:
    """A policy may escape the dollar sign and the vertical tab, for which JSON has no such escapes."""
    return {"$": "$", "v": "\\u000b"}.get(found[1], found[0])


def _policy_document(why: str) -> errors.S3Refusal:
    return errors.S3Refusal("InvalidPolicyDocument", why, 400)


def _expires(document: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(document["expiration"]).replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise _policy_document(f"Invalid Policy: Invalid 'expiration' value: '{document['expiration']}'") from None


def _condition(condition: Any) -> tuple[str, str, str]:
    if isinstance(condition, dict) and len(condition) == 1:
        name, value = next(iter(condition.items()))
        return "eq", str(name).lower(), str(value)
    if not isinstance(condition, list) or len(condition) != 3:
        raise _policy_document(
            "Invalid Policy: Invalid Simple-Condition: a condition is a list of three or an object of one."
        )
    kind = str(condition[0]).lower()
    if kind == "content-length-range":
        return kind, "", ""
    if kind not in ("eq", "starts-with") or not str(condition[1]).startswith("$"):
        raise _policy_document(f"Invalid Policy: Invalid Condition: {json.dumps(condition)}")
    return kind, str(condition[1])[1:].lower(), str(condition[2])


def _range(condition: list[Any]) -> tuple[int, int]:
    try:
        least, most = int(condition[1]), int(condition[2])
    except (TypeError, ValueError):
        raise _policy_document("Invalid Policy: Invalid content-length-range.") from None
    return least, most
