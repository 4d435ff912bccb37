"""The names of buckets. Source: "General purpose bucket naming rules" of the Amazon S3 User Guide."""

from __future__ import annotations

import ipaddress
import re

from cumulet.api.s3 import errors

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket_name(name: str) -> None:
    """Raises InvalidBucketName."""
    if not is_bucket_name(name):
        raise errors.S3Refusal("InvalidBucketName", "The specified bucket is not valid.", 400, BucketName=name[:255])


def is_bucket_name(name: str) -> bool:
    if not _NAME.fullmatch(name) or ".." in name or ".-" in name or "-." in name:
        return False
    return not name.startswith(_PREFIXES) and not name.endswith(_SUFFIXES) and not _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
