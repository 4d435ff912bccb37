"""Ids as AWS makes them: a prefix of the kind and 17 hex digits; MAC addresses and keys beside them."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import string

PREFIX = {
    "instance": "i",
    "reservation": "r",
    "image": "ami",
    "kernel_image": "aki",
    "ramdisk_image": "ari",
    "image_file": "imf",
    "image_copy": "imc",
    "import_image": "import-ami",
    "import_snapshot": "import-snap",
    "export_image": "export-ami",
    "volume": "vol",
    "snapshot": "snap",
    "volume_attachment": "volattach",
    "vpc": "vpc",
    "subnet": "subnet",
    "interface": "eni",
    "attachment": "eni-attach",
    "group": "sg",
    "rule": "sgr",
    "key_pair": "key",
    "placement_group": "pg",
    "allocation": "eipalloc",
    "association": "eipassoc",
    "dhcp_options": "dopt",
    "profile_association": "iip-assoc",
    "launch_template": "lt",
}
ENTITY_PREFIX = {"user": "AIDA", "group": "AGPA", "role": "AROA", "instance-profile": "AIPA", "policy": "ANPA"}
"""As AWS has them (IAM User Guide: "Unique identifiers")."""
KINDS = {prefix: kind for kind, prefix in PREFIX.items()}
_DIGITS = re.compile(r"[0-9a-f]{8}(?:[0-9a-f]{9})?")


def new(kind: str) -> str:
    """A new id of `kind`, such as `i-0123456789abcdef0`."""
    return f"{PREFIX[kind]}-0{secrets.token_hex(8)}"


def well_formed(id: str, prefix: str) -> bool:
    """Whether it is what an id with `prefix` (`i-`) looks like: 17 hex digits follow, or the 8 of AWS's first ids."""
    return id.startswith(prefix) and _DIGITS.fullmatch(id.removeprefix(prefix)) is not None


def kind_of(id: str) -> str | None:
    """The kind that an id's prefix names, or None."""
    return KINDS.get(id.rpartition("-")[0])


def account_id() -> str:
    """Twelve digits, the first of them not 0."""
    return str(secrets.randbelow(9 * 10**11) + 10**11)


def canonical_id() -> str:
    """The 64 hex digits by which S3 knows an account."""
    return secrets.token_hex(32)


def access_key() -> tuple[str, str]:
    """An access key id (`AKIA` and 16 capitals or digits 2-7) and its secret (40 characters)."""
    letters = string.ascii_uppercase + "234567"
    key = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
    return key, "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))


def temporary_key(account: str) -> tuple[str, str]:
    """An access key id of temporary credentials (`ASIA…`, from which `account_of` gives the account), and a secret."""
    packed = int(account).to_bytes(5, "big") + secrets.token_bytes(5)
    return "ASIA" + base64.b32encode(packed).decode(), access_key()[1]


def account_of(temporary: str) -> str:
    """The account of temporary credentials; empty for an id that is not of their form."""
    try:
        return str(int.from_bytes(base64.b32decode(temporary.removeprefix("ASIA"))[:5], "big")).zfill(12)
    except binascii.Error:
        return ""


def entity(kind: str) -> str:
    """The unique id of something of IAM's: AIDA… of a user, AROA… of a role."""
    letters = string.ascii_uppercase + "234567"
    return ENTITY_PREFIX[kind] + "".join(secrets.choice(letters) for _ in range(17))


def vni() -> int:
    """A number for VXLAN's header: 24 bits, and more than people choose by hand."""
    return secrets.randbelow(2**24 - 4096) + 4096


def mac() -> str:
    """A locally administered unicast MAC address, beginning with 02 as AWS's do."""
    return ":".join(["02", *(f"{byte:02x}" for byte in secrets.token_bytes(5))])


def request_id() -> str:
    """A request's id: a random UUID (version 4)."""
    digits = secrets.token_hex(16)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def token(length: int = 32) -> str:
    """A random secret of `length` hex digits."""
    return secrets.token_hex(length // 2)
