"""Asking the running cloud of a state directory, as its operator."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

from cumulet.cli import running
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure

SECONDS = 30.0


def ask(config: Config, *path: str, body: dict[str, Any] | None = None) -> Any:
    """What the cloud answers at `/_cumulet/PATH`, asked by POST if there is a body; None where no cloud runs.

    Raises `Failure` with what it says where it cannot be done.
    """
    url = running.url(config.state_dir)
    if url is None:
        return None
    where = f"{url}/_cumulet/{'/'.join(quote(part, safe='') for part in path)}"
    try:
        headers = {"x-cumulet-token": (config.state_dir / "admin.token").read_text().strip()}
        sent = json.dumps(body).encode() if body is not None else None
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(urllib.request.Request(where, sent, headers), timeout=SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as e:
        raise Failure(json.load(e)["error"]) from None
    except OSError as e:
        raise Failure(f"asking the cloud at {url}: {e}") from e
