"""`cumulet config`: every setting, its value, where that comes from, and what it means."""

from __future__ import annotations

from pathlib import Path

import click

from cumulet.cli.options import as_json, load, which_cloud
from cumulet.cli.output import show_json, show_table


@click.command(epilog="Example: cumulet config --config /etc/cumulet.toml")
@as_json
@which_cloud
def config(file: Path | None, state_dir: Path | None, json: bool) -> None:
    """Show every setting: its value, its origin and its meaning."""
    import msgspec

    from cumulet.lib.config import MEANINGS
    from cumulet.lib.urls import without_password

    found, origins = load(file, state_dir=state_dir)
    shown = {"database_url": _shown(found.database_url), "bus_url": without_password(found.bus_url)}
    values = msgspec.to_builtins(found, enc_hook=str) | shown
    rows = [(key, values[key], origins[key], meaning) for key, meaning in zip(values, MEANINGS, strict=True)]
    if json:
        show_json([dict(zip(("key", "value", "origin", "meaning"), row, strict=True)) for row in rows])
    else:
        show_table(["key", "value", "origin", "meaning"], rows)


def _shown(url: str) -> str:
    """A database's URL without its password."""
    if not url:
        return ""
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)
