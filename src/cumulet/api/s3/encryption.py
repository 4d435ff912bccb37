"""Encryption of objects where they rest: what a request asks for, and the ciphers of a blob.

SSE-S3 (AES256) and SSE-C encrypt; KMS is refused. Source: "Protecting data with encryption" of the S3 User Guide.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from cumulet.api.s3 import errors
from cumulet.api.s3.call import Call, Given, House, Result
from cumulet.lib import ids, object_cipher
from cumulet.lib.object_cipher import Stream
from cumulet.model.database import Row

CUSTOMER = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
PARAMETERS = "ServerSideEncryption SSECustomerAlgorithm SSECustomerKey SSECustomerKeyMD5"
METHOD = "x-amz-server-side-encryption"
_FORM = "Requests specifying Server Side Encryption with Customer provided keys must provide"


@dataclass(frozen=True)
class Sealing:
    """How an object is to be encrypted; `facts` is what is kept of that. No kind: not at all."""

    facts: dict[str, str] = field(default_factory=dict)
    customer: bytes = field(default=b"", repr=False)

    @property
    def kind(self) -> str:
        return self.facts.get("kind", "")


@dataclass(frozen=True)
class CustomerKey:
    key: bytes = field(repr=False)
    md5: str


def customer_key(given: Given, names: tuple[str, str, str] = CUSTOMER) -> CustomerKey | None:
    """The key that a request brings (and that is taken out of `given`)."""
    algorithm, text, digest = (given.pop(name, None) for name in names)
    if algorithm is None and text is None and digest is None:
        return None
    if algorithm is None:
        raise errors.invalid_argument(f"{_FORM} a valid encryption algorithm.")
    if algorithm != "AES256":
        wrong = "The Encryption request you specified is not valid. Supported value: AES256."
        raise errors.S3Refusal("InvalidEncryptionAlgorithmError", wrong, 400)
    if text is None:
        raise errors.invalid_argument(f"{_FORM} an appropriate secret key.")
    if digest is None:
        raise errors.invalid_argument(f"{_FORM} the client calculated MD5 of the secret key.")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise errors.invalid_argument("The secret key was invalid for the specified algorithm.")
    if base64.b64encode(md5(key).digest()).decode() != digest:
        raise errors.invalid_argument("The calculated MD5 hash of the key did not match the hash that was provided.")
    return CustomerKey(key, digest)


def sealing_of(call: Call, given: Given) -> Sealing:
    """How a new object is to be encrypted: as asked (and taken out of `given`), else by the bucket's default."""
    customer, asked = customer_key(given), given.pop("ServerSideEncryption", None)
    if customer and asked:
        why = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
        raise errors.invalid_argument(why, METHOD, asked)
    if customer:
        salt = ids.token(32)
        print_ = object_cipher.fingerprint(customer.key, salt)
        return Sealing({"kind": "C", "md5": customer.md5, "salt": salt, "print": print_}, customer.key)
    if asked is None:
        asked = _default(call.bucket)
    return Sealing({"kind": _method(asked)} if asked else {})


def _default(bucket: Row) -> str | None:
    rules = (bucket.settings.get("encryption") or {}).get("Rules") or [{}]
    algorithm = rules[0].get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm")
    return str(algorithm) if algorithm else None


def refuse_method(call: Call) -> None:
    """Raises InvalidArgument where a request to read says how to encrypt (`GetObject` in the S3 API Reference)."""
    asked = call.header(METHOD)
    if asked is not None:
        raise errors.invalid_argument(f"{METHOD} header is not supported for this operation.", METHOD, asked)


def _method(name: str) -> str:
    if name.startswith("aws:"):
        raise errors.unsupported(f"The encryption {name}", "it has no key management service; use AES256 or SSE-C.")
    if name != "AES256":
        wrong = "The encryption method specified is not supported"
        raise errors.invalid_argument(wrong, METHOD, name)
    return name


def check_key(sse: dict[str, str], key: CustomerKey | None) -> bytes:
    """The customer's key, if the object needs one and this is it; raises what S3 says of any other."""
    if sse.get("kind") != "C":
        if key is not None:
            raise errors.invalid_request("The encryption parameters are not applicable to this object.")
        return b""
    if key is None:
        why = "The object was stored using a form of Server Side Encryption."
        raise errors.invalid_request(f"{why} The correct parameters must be provided to retrieve the object.")
    if not hmac.compare_digest(object_cipher.fingerprint(key.key, sse["salt"]), sse["print"]):
        raise errors.denied("The key is not the one that the object was encrypted with.")
    return key.key


def members(sse: dict[str, str] | None) -> Result:
    """What an answer says of an object's encryption."""
    if not sse or not sse.get("kind"):
        return {}
    if sse["kind"] == "C":
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": sse["md5"]}
    return {"ServerSideEncryption": sse["kind"]}


def seal_blob(house: House, sealing: Sealing, blob: str) -> tuple[Stream | None, str]:
    """The cipher of a new blob, and what is kept to make it again."""
    if not sealing.kind:
        return None, ""
    if sealing.kind == "C":
        return Stream(object_cipher.from_customer(sealing.customer, blob)), "c"
    key = object_cipher.new_key()
    return Stream(key), object_cipher.seal(house.master_key, key)


def open_blob(house: House, sealed: str, blob: str, customer: bytes, offset: int) -> Stream | None:
    """The cipher of a blob from `offset` on; None if it is not encrypted."""
    if not sealed:
        return None
    if sealed == "c":
        return Stream(object_cipher.from_customer(customer, blob), offset)
    return Stream(object_cipher.unseal(house.master_key, sealed), offset)


def of_upload(facts: dict[str, Any], key: CustomerKey | None) -> Sealing:
    """How a part of an upload is encrypted: as the upload says."""
    sse = facts.get("sse") or {}
    theirs = sse.get("kind") == "C"
    if theirs and key is None:
        why = (
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate"
        )
        raise errors.invalid_request(f"{why} encryption parameters.")
    if not theirs and key is not None:
        why = "The multipart upload initiate did not request encryption. Please resend the request without sending"
        raise errors.invalid_request(f"{why} encryption parameters.")
    try:
        return Sealing(sse, check_key(sse, key))
    except errors.S3Refusal:
        why = "The provided encryption parameters did not match the ones used originally."
        raise errors.invalid_request(why) from None
