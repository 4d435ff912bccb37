"""Each command, setting and action is in the documentation, and its generated pages are up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cumulet.cli import cumulet
from cumulet.cli.docs import pages
from cumulet.lib.config import MEANINGS, Config

DOCS = Path(__file__).resolve().parents[2] / "docs"


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for part in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), part)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {part}")
        else:
            yield f"{name} {part}", command


@pytest.mark.parametrize(("name", "command"), list(commands(cumulet, "cumulet")))
def test_each_command_is_documented_and_says_which_cloud_it_means(name: str, command: click.Command) -> None:
    assert f"`{name}" in (DOCS / "commands.md").read_text()
    assert command.help
    if name != "cumulet completion":
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--state-dir", "--config"} <= options


@pytest.mark.parametrize("page", ["configuration.md", "actions.md"])
def test_a_generated_page_is_up_to_date(page: str) -> None:
    """`python -m cumulet.cli.docs` makes it so."""
    assert (DOCS / page).read_text() == pages()[page]


def test_each_setting_has_a_meaning_and_is_documented() -> None:
    assert len(MEANINGS) == len(Config.__struct_fields__)
    text = pages()["configuration.md"]
    assert all(f"| `{key}` |" in text for key in Config.__struct_fields__)


def test_the_page_of_actions_says_what_each_honours() -> None:
    text = pages()["actions.md"]
    (line,) = [line for line in text.splitlines() if line.startswith("| `DescribeKeyPairs` |")]
    assert "`KeyNames`" in line
    assert "`key-name`" in line
