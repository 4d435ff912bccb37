"""What a service says when it does not believe a signature: AWS's code, status and words for each way to be wrong."""

from __future__ import annotations

from typing import Literal

from cumulet.lib.errors import Refusal
from cumulet.wire.service import ADMINISTRATIVE

Fault = Literal[
    "missing",
    "incomplete",
    "in_url",
    "unsigned",
    "unknown_key",
    "mismatch",
    "skewed",
    "expired",
    "token",
    "scope",
    "payload",
    "session_over",
]

_UNKNOWN_TO_EC2 = "AWS was not able to validate the provided access credentials"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method."
)
_SESSION_OVER = "The security token included in the request is expired"
_QUERY_TOKEN = "The security token included in the request is invalid."

JSON = ("cloudtrail", "service-quotas", ADMINISTRATIVE)
"""The services that speak JSON."""
DENIALS: dict[str, dict[Fault, tuple[str, int, str]]] = {
    "ec2": {
        "missing": ("MissingParameter", 400, "The request must contain the parameter AWSAccessKeyId"),
        "incomplete": ("IncompleteSignature", 400, "The request signature does not conform to AWS standards."),
        "in_url": ("IncompleteSignature", 400, "The request signature does not conform to AWS standards."),
        "unsigned": ("AuthFailure", 401, _UNKNOWN_TO_EC2),
        "unknown_key": ("AuthFailure", 401, _UNKNOWN_TO_EC2),
        "mismatch": ("AuthFailure", 401, _UNKNOWN_TO_EC2),
        "skewed": ("RequestExpired", 400, "Request has expired."),
        "expired": ("RequestExpired", 400, "Request has expired."),
        "token": ("AuthFailure", 401, _UNKNOWN_TO_EC2),
        "scope": ("AuthFailure", 401, _UNKNOWN_TO_EC2),
        "payload": ("AuthFailure", 401, _UNKNOWN_TO_EC2),
        "session_over": ("RequestExpired", 400, "Request has expired."),
    },
    "query": {
        "missing": ("MissingAuthenticationToken", 403, "Request is missing Authentication Token"),
        "incomplete": ("IncompleteSignature", 400, ""),
        "in_url": ("IncompleteSignature", 400, ""),
        "unsigned": ("SignatureDoesNotMatch", 403, _MISMATCH),
        "unknown_key": ("InvalidClientTokenId", 403, _QUERY_TOKEN),
        "mismatch": ("SignatureDoesNotMatch", 403, _MISMATCH),
        "skewed": ("SignatureDoesNotMatch", 403, ""),
        "expired": ("SignatureDoesNotMatch", 403, ""),
        "token": ("InvalidClientTokenId", 403, _QUERY_TOKEN),
        "scope": ("SignatureDoesNotMatch", 403, ""),
        "payload": ("SignatureDoesNotMatch", 403, _MISMATCH),
        "session_over": ("ExpiredToken", 403, _SESSION_OVER),
    },
    "json": {
        "missing": ("MissingAuthenticationTokenException", 400, "Missing Authentication Token"),
        "incomplete": ("IncompleteSignatureException", 400, ""),
        "in_url": ("IncompleteSignatureException", 400, ""),
        "unsigned": ("InvalidSignatureException", 400, _MISMATCH),
        "unknown_key": ("UnrecognizedClientException", 400, _QUERY_TOKEN),
        "mismatch": ("InvalidSignatureException", 400, _MISMATCH),
        "skewed": ("InvalidSignatureException", 400, ""),
        "expired": ("InvalidSignatureException", 400, ""),
        "token": ("UnrecognizedClientException", 400, _QUERY_TOKEN),
        "scope": ("InvalidSignatureException", 400, ""),
        "payload": ("InvalidSignatureException", 400, _MISMATCH),
        "session_over": ("ExpiredTokenException", 400, _SESSION_OVER),
    },
    "s3": {
        "missing": ("AccessDenied", 403, "Access Denied"),
        "incomplete": ("AuthorizationHeaderMalformed", 400, "The authorization header you provided is invalid."),
        "in_url": ("AuthorizationQueryParametersError", 400, ""),
        "unsigned": ("AccessDenied", 403, "There were headers present in the request which were not signed"),
        "unknown_key": ("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."),
        "mismatch": ("SignatureDoesNotMatch", 403, _MISMATCH),
        "skewed": (
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
        ),
        "expired": ("AccessDenied", 403, "Request has expired"),
        "token": ("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
        "scope": ("AuthorizationHeaderMalformed", 400, "The authorization header is malformed;"),
        "payload": (
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        "session_over": ("ExpiredToken", 400, "The provided token has expired."),
    },
}
"""By family of services.

Sources: "Error codes for the Amazon EC2 API"; "Common Error Types" of AWS STS and IAM; "List of error codes" of the
Amazon S3 API Reference; "Troubleshoot signed requests for AWS APIs" of the IAM User Guide. EC2's answers to a request
without a signature (MissingParameter) and with a wrong one (status 401) are as its endpoint gives them.
"""


def deny(service: str, fault: Fault, detail: str = "", /, **details: str) -> Refusal:
    """The refusal for a request to `service`; `detail` says what was wrong with this one and what would be right.

    `details` are elements of S3's answer ("Error responses" of the S3 API Reference).
    """
    family = "json" if service in JSON else service
    code, status, message = DENIALS[family if family in DENIALS else "query"][fault]
    joint = " " if message.endswith(";") else ". "
    whole = f"{message.rstrip('.')}{joint}{detail}" if message and detail else message or detail
    return Refusal(code, whole, status, **details)
