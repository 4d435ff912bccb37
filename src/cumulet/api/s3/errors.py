"""What S3 refuses with: code, status and words as its list of error codes has them, and elements of its own in the XML.

Source: "Error responses" of the Amazon S3 API Reference.
"""

from __future__ import annotations

from cumulet.lib.errors import Refusal
from cumulet.wire.request import shown
from cumulet.wire.scalars import escape


class S3Refusal(Refusal):
    """A refusal with headers of its own."""

    def __init__(self, code: str, message: str, status: int = 400, /, **details: str) -> None:
        super().__init__(code, message, status, **details)
        self.headers: dict[str, str] = {}

    def having(self, headers: dict[str, str]) -> S3Refusal:
        """The same with headers."""
        self.headers |= headers
        return self


def error_body(refusal: Refusal, resource: str, request_id: str, host_id: str) -> bytes:
    """The document of a refusal."""
    pairs = {"Code": refusal.code, "Message": refusal.message, **refusal.details}
    pairs |= {"Resource": resource, "RequestId": request_id, "HostId": host_id}
    inside = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in pairs.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'.encode()


def denied(why: str = "") -> S3Refusal:
    return S3Refusal("AccessDenied", f"Access Denied. {why}" if why else "Access Denied", 403)


def no_such_bucket(name: str) -> S3Refusal:
    return S3Refusal("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=name)


def no_such_key(key: str) -> S3Refusal:
    return S3Refusal("NoSuchKey", "The specified key does not exist.", 404, Key=key)


def no_such_version(key: str, version: str) -> S3Refusal:
    return S3Refusal("NoSuchVersion", "The specified version does not exist.", 404, Key=key, VersionId=version)


def no_such_upload(upload: str) -> S3Refusal:
    why = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or"
    return S3Refusal("NoSuchUpload", f"{why} completed.", 404, UploadId=shown(upload))


def invalid_argument(message: str, name: str = "", value: str = "") -> S3Refusal:
    details = {"ArgumentName": name, "ArgumentValue": shown(value)} if name else {}
    return S3Refusal("InvalidArgument", message, 400, **details)


def invalid_request(message: str) -> S3Refusal:
    return S3Refusal("InvalidRequest", message, 400)


def precondition(name: str) -> S3Refusal:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Refusal("PreconditionFailed", message, 412, Condition=name)


def conflict(name: str, key: str) -> S3Refusal:
    why = "The conditional request cannot succeed due to a conflicting operation against this resource."
    return S3Refusal("ConditionalRequestConflict", why, 409, Condition=name, Key=key)


def not_implemented(header: str, right: str = "") -> S3Refusal:
    known = "A header you provided implies functionality that is not implemented"
    return S3Refusal("NotImplemented", f"{known}{right and f': {right}'}", 501, Header=header)


def unsupported(what: str, why: str) -> S3Refusal:
    return S3Refusal("NotImplemented", f"{what} is one of S3's that this cloud does not have: {why}", 501)


def method_not_allowed(method: str, resource: str, allowed: str = "", **headers: str) -> S3Refusal:
    more = {"Allow": allowed} if allowed else {}
    message = "The specified method is not allowed against this resource."
    refusal = S3Refusal("MethodNotAllowed", message, 405, Method=method, ResourceType=resource)
    return refusal.having({**more, **headers})


def malformed_list(why: str) -> S3Refusal:
    known = "The ACL that you provided was not well formed or did not validate against our published schema"
    return S3Refusal("MalformedACLError", f"{known}: {why.rpartition('schema: ')[2]}", 400)


def digest_differs(name: str = "Content-MD5", **digests: str) -> S3Refusal:
    return S3Refusal("BadDigest", f"The {name} you specified did not match what we received.", 400, **digests)


def slow_down() -> S3Refusal:
    return S3Refusal("ServiceUnavailable", "The store of objects is full; nothing of the request was kept.", 503)
