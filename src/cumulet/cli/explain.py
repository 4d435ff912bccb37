"""`cumulet explain`: why a thing is not as it should be."""

from __future__ import annotations

import json as jsons
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from cumulet.cli import running
from cumulet.cli.options import as_json, database, settings
from cumulet.cli.output import show_json, show_table
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure

SECONDS = 30.0


@click.command(epilog="Example: cumulet explain i-0123456789abcdef0")
@click.argument("id")
@as_json
@settings
def explain(config: Config, id: str, json: bool) -> None:
    """Say why a thing is not as it should be. ID: of an instance, volume, interface, security group, VPC or image."""
    url = running.url(config.state_dir)
    found = _ask(url, id, config.state_dir) if url is not None else _read(config, id)
    if json:
        show_json(found)
    else:
        show_table(["what", "value"], [(key.replace("_", " "), _shown(value)) for key, value in found.items()])


def _ask(url: str, id: str, state: Path) -> dict[str, Any]:
    headers = {"x-cumulet-token": (state / "admin.token").read_text().strip()}
    try:
        request = urllib.request.Request(f"{url}/_cumulet/explain/{quote(id, safe='')}", headers=headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=SECONDS) as answer:
            found: dict[str, Any] = jsons.load(answer)
            return found
    except urllib.error.HTTPError as e:
        raise Failure(jsons.load(e)["error"]) from None
    except OSError as e:
        raise Failure(f"asking the cloud at {url}") from e


def _read(config: Config, id: str) -> dict[str, Any]:
    from cumulet.model.explanation import explain as explain_rows

    with database(config) as opened, opened.read() as tx:
        return explain_rows(tx, id) | {"host_says": "unknown: no cloud runs, only the database was read"}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_shown(inner)}" for key, inner in value.items()) or "nothing"
    if isinstance(value, list):
        return "\n".join(_shown(inner) for inner in value) or "nothing"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
