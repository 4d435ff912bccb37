"""Asking the running cloud of a state directory, as its operator."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cumulet.cli import running
from cumulet.cli.options import database
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure

if TYPE_CHECKING:
    from cumulet.model import Tx

SECONDS = 30.0


def look(config: Config, here: Callable[[Tx], Any], *path: str) -> Any:
    """What the cloud answers at a path; where no cloud runs, what `here` finds in the database."""
    found = ask(config, *path)
    if found is None:
        with database(config) as opened, opened.read() as tx:
            found = here(tx)
    return found


def change(config: Config, here: Callable[[Tx], Any], *path: str, body: dict[str, Any]) -> Any:
    """What the cloud makes of a change; where no cloud runs, `here` writes it into the database."""
    found = ask(config, *path, body=body)
    if found is None:
        with database(config) as opened, opened.write() as tx:
            found = here(tx)
    return found


def see(config: Config, kind: str, *rest: str) -> Any:
    """What `administration.registry` has to look at under this name."""

    def here(tx: Tx) -> Any:
        from cumulet.administration import registry

        return registry.look(tx, config, kind, *rest)

    return look(config, here, kind, *rest)


def order(config: Config, kind: str, act: str, **body: Any) -> Any:
    """What an order of `administration.registry` has made."""

    def here(tx: Tx) -> Any:
        from cumulet.administration import registry

        return registry.order(tx, config, kind, act, body)

    return change(config, here, kind, act, body=body)


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
