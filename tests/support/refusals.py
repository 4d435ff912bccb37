"""What a client is refused with: the code, the message and the HTTP status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


def refusal(call: Callable[..., Any], **parameters: Any) -> ClientError:
    """The error of a call that must not succeed."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value


def code(call: Callable[..., Any], **parameters: Any) -> str:
    """The code of a refusal, which is the client's mistake and not ours."""
    error = refusal(call, **parameters)
    assert 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return str(error.response["Error"]["Code"])


def message(call: Callable[..., Any], **parameters: Any) -> str:
    return str(refusal(call, **parameters).response["Error"]["Message"])
