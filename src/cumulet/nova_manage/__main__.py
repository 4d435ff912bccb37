"""The command `nova-manage`: flags first, then a category, an action and its arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cumulet.lib.errors import CumuletError, Failure
from cumulet.nova_manage import flags, people, things
from cumulet.nova_manage.table import ABSENT, ACTIONS, Arguments, Commands, Cumulet, Usage, arguments, find, usage

DEFAULT_FILE = Path("/etc/nova/nova.conf")
NO_ACTION = {"version": "list"}
"""What a category does without an action."""
FROM_FLAGS = {
    "network create": {
        "fixed_range": "fixed_range_v4",
        "num_networks": "num_networks",
        "network_size": "network_size",
    }
}
"""The arguments that come from a flag where they are left out."""
assert people and things


def main(words: list[str] | None = None) -> int:
    """The exit status: 0; 1 where it did not work; 2 where the command line is wrong."""
    try:
        return _main(list(sys.argv[1:] if words is None else words))
    except Usage as e:
        _complain(str(e))
        return 2
    except CumuletError as e:
        _complain(f"{e}{f' ({e.__cause__})' if e.__cause__ else ''}")
        return 1


def run() -> None:
    """Run the command line and end the process with its exit status."""
    sys.exit(main())


def _main(words: list[str]) -> int:
    given, words = _leading_flags(words)
    found = flags.meaning(given)
    if found.without_meaning:
        listed = ", ".join(found.without_meaning)
        _complain(f"warning: flags without a meaning today: {listed}; `nova-manage config flags` says why")
    if not words:
        sys.stdout.write(_overview())
        return 2
    category, action, *rest = [*words, NO_ACTION.get(words[0], "")] if len(words) == 1 else words
    own = {"config flags": lambda: _why(given, found), "config convert": lambda: _toml(found.settings)}
    if f"{category} {action}" in own:
        _say(own[f"{category} {action}"]())
        return 0
    name, known = find(category, action)
    wanted = _from_flags(name, found.own) | arguments(name, known, rest)
    with _environ(found.settings):
        _say(_done(known.do, wanted))
    return 0


@contextmanager
def _environ(settings: dict[str, str]) -> Iterator[None]:
    """The commands of `cumulet` have these settings, where the environment does not say otherwise."""
    found = {f"CUMULET_{key.upper()}": value for key, value in settings.items()}
    added = {name: value for name, value in found.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _leading_flags(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The flags before the category, those of flag files among them, and the rest of the command line."""
    found: dict[str, str] = {}
    named = False
    while words and words[0].startswith("--"):
        name, equals, value = words.pop(0).removeprefix("--").partition("=")
        if not equals and words and name in ("flagfile", "config-file"):
            value = words.pop(0)
        if name in ("flagfile", "config-file"):
            named, found = True, found | flags.read(Path(value))
        else:
            found[name.replace("-", "_")] = value if equals else "true"
    if not named and DEFAULT_FILE.exists():
        found = flags.read(DEFAULT_FILE) | found
    return found, words


def _from_flags(name: str, own: dict[str, str]) -> Arguments:
    return {argument: own[flag] for flag, argument in FROM_FLAGS.get(name, {}).items() if flag in own}


def _done(do: Callable[[Cumulet, Arguments], str], wanted: Arguments) -> str:
    """What the action says; raises `Failure` with what a command of `cumulet` says against it."""
    import click

    try:
        return do(Commands(), wanted)
    except click.ClickException as e:
        raise Failure(e.message) from None


def _why(given: dict[str, str], found: flags.Read) -> str:
    """Each flag, and what becomes of it."""
    lines = []
    for name in given:
        if name in found.without_meaning:
            lines.append(f"{name}: no meaning: {found.without_meaning[name]}")
        elif name in flags.SETTINGS:
            lines.append(f"{name}: the setting {flags.SETTINGS[name]}")
        else:
            lines.append(f"{name}: {flags.HERE.get(name, 'the setting bus_url')}")
    return "\n".join(lines)


def _toml(settings: dict[str, str]) -> str:
    """The same cloud's configuration file for `cumulet --config`."""
    import json

    from cumulet.lib.config import Config

    lines = []
    for key, value in settings.items():
        default = getattr(Config(), key)
        if isinstance(default, list):
            lines.append(f"{key} = {json.dumps([part for part in value.split(',') if part])}")
        else:
            lines.append(f"{key} = {value if isinstance(default, int) else json.dumps(value)}")
    return "\n".join(lines)


def _overview() -> str:
    lines = ["nova-manage [--flagfile=FILE] CATEGORY ACTION [ARGUMENTS]", ""]
    for category, known in ACTIONS.items():
        lines += [f"  {category} {name} {usage(one)}".rstrip() for name, one in known.items()]
    lines += ["  config flags", "  config convert", "", f"Without a counterpart: {', '.join(ABSENT)}."]
    return "\n".join(lines) + "\n"


def _say(text: str) -> None:
    if text:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"nova-manage: {text}\n")


if __name__ == "__main__":
    run()
