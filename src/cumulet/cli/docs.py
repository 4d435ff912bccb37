"""`python -m cumulet.cli.docs DIRECTORY`: the pages of the documentation that are made from the program itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cumulet.lib.config import MEANINGS, Config

_MADE = "<!-- Made by `python -m cumulet.cli.docs`; change the program instead. -->\n\n"


def pages() -> dict[str, str]:
    """Each page's text by the name of its file in `docs/`."""
    from cumulet.cli import cumulet
    from cumulet.cli.manual import manual

    return {"configuration.md": configuration(), "actions.md": actions(), "cumulet.1": manual(cumulet)}


def configuration() -> str:
    """The settings: key, default and meaning."""
    import msgspec

    defaults = msgspec.to_builtins(Config(), enc_hook=str)
    rows = [(f"`{key}`", _value(defaults[key]), text) for key, text in zip(defaults, MEANINGS, strict=True)]
    head = (
        "# Configuration\n\n" + _MADE + "A setting comes from the command line, else from `CUMULET_KEY` in the "
        "environment (lists with commas), else from the TOML file that `--config` or `CUMULET_CONFIG` names, else from "
        "its default. `cumulet config` shows what holds and where it comes from.\n\n"
    )
    return head + _table(("key", "default", "meaning"), rows)


def _value(default: Any) -> str:
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, list):
        return ", ".join(f"`{part}`" for part in default) or "none"
    return f"`{default}`" if default not in ("", {}) else "none"


def actions() -> str:
    """The actions, with the parameters and filters that they honour, and those that have no effect."""
    from cumulet.api.app import SERVICES
    from cumulet.wire.models import load

    names = [module.__name__.rpartition(".")[2].replace("_", "-") for module in SERVICES]
    head = (
        "# Actions\n\n" + _MADE + "An action that is not here answers `UnsupportedOperation`, and so does a parameter "
        "that is not named, unless it is one of IPv6 that asks for nothing (0, false, empty); `DryRun` works with all "
        "actions of EC2, and the filters `tag:KEY`, `tag-key` and `tag-value` with all that has tags. S3's answer is "
        "`NotImplemented`.\n"
    )
    return head + "".join(_service(name, load(name)) for name in names) + _objects() + _administrative()


def _administrative() -> str:
    """The administrative API: what each action takes."""
    from msgspec.structs import fields

    from cumulet.administration.registry import ACTIONS

    rows = [
        (f"`{name}`", ", ".join(f"`{one.name}`" + ("" if one.required else " (optional)") for one in fields(kind)))
        for name, (kind, _) in sorted(ACTIONS.items())
    ]
    head = (
        f"{len(rows)} actions of the cloud's operator, for principals of an administrator's account only "
        "([identity](identity.md)); in policies `cumulet:` and the name.\n\n"
    )
    return f"\n## Cumulet's administrative API\n\n{head}{_table(('action', 'parameters'), rows)}"


def _objects() -> str:
    """The operations of S3, which are registered by a list of names."""
    import cumulet.api.s3
    from cumulet.api.s3.operations import EVERYWHERE, OPERATIONS
    from cumulet.wire.models import load

    assert cumulet.api.s3.MODULES
    rows = []
    for name in sorted(OPERATIONS):
        one = OPERATIONS[name]
        members = load("s3").input(name).members
        honoured = [f"`{member}`" for member in members if member in one.honours or member.startswith("Checksum")]
        reasons = {**{member: why for member, why in EVERYWHERE.items() if why and member in members}, **one.accepts}
        accepted = [f"`{member}`: {why}" for member, why in sorted(reasons.items()) if member not in one.honours]
        rows.append((f"`{name}`", ", ".join(honoured), "<br>".join(accepted)))
    table = _table(("operation", "parameters", "accepted, without effect"), rows)
    return f"\n## S3\n\n{len(rows)} operations, and forms (POST), websites and CORS preflights.\n\n{table}"


def _service(service: str, model: Any) -> str:
    from cumulet.api.actions import ACTIONS

    found = sorted((action for action in ACTIONS.values() if action.service == service), key=lambda one: one.name)
    rows = [_row(action, model) for action in found]
    columns = ("action", "parameters", "accepted, without effect", "filters")
    return f"\n## {service.upper()}\n\n{len(rows)} action{'s' if len(rows) > 1 else ''}.\n\n{_table(columns, rows)}"


def _row(action: Any, model: Any) -> tuple[str, ...]:
    parameters = list(_parameters(action, model))
    accepted = [f"`{name}`: {reason}" for name, reason in sorted(action.accepts.items())]
    filters = [f"`{name}`" for name in sorted(action.listing.filters)] if action.listing else []
    return f"`{action.name}`", "<br>".join(parameters), "<br>".join(accepted), ", ".join(filters)


def _parameters(action: Any, model: Any) -> Iterator[str]:
    """What is honoured: parameters of the function, and those that a listing sees to."""
    from cumulet.api.dispatch import LISTING
    from cumulet.wire.names import python_name

    members = {python_name(member): member for member in model.input(action.name).members}
    for name, tree in action.honoured().items():
        yield f"`{members[name]}`" + (f" ({_inner(tree)})" if tree else "")
    if action.listing:
        own = "" if action.listing.ids in action.honoured() else members.get(action.listing.ids)
        yield from (f"`{name}`" for name in (own, *LISTING) if name in members.values())


def _inner(tree: dict[str, Any]) -> str:
    return ", ".join(f"`{name}`" + (f" ({_inner(inner)})" if inner else "") for name, inner in tree.items())


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def main(arguments: list[str]) -> None:
    """Write the pages into the directory that is named, `docs` by default."""
    directory = Path(arguments[0] if arguments else "docs")
    for name, text in pages().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
