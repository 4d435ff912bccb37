"""What ids look like, and AWS's refusals of what cannot be one (EC2 API Reference: "Error codes", `….Malformed`)."""

from __future__ import annotations

from cumulet.lib import ids
from cumulet.lib.errors import Refusal

_PARAMETERS = {"vol-": "volumeId", "snap-": "snapshotId"}
"""AWS has no code of its own for ids of these; its message names the parameter."""


def check_id(id: str, code: str, *prefixes: str) -> None:
    """Raises `Refusal` with `code` for what cannot be an id with one of these prefixes, such as `i-`."""
    if any(ids.well_formed(id, prefix) for prefix in prefixes):
        return
    first = prefixes[0]
    if code == "InvalidParameterValue" and first in _PARAMETERS:
        text = f"Value ({id}) for parameter {_PARAMETERS[first]} is invalid. Expected: '{first}...' and 17 hex digits."
        raise Refusal(code, text)
    expected = "" if id.startswith(prefixes) else f' (expecting "{first}...")'
    raise Refusal(code, f'Invalid id: "{id}"{expected}')
