"""Each command, setting and action is in the documentation, and its generated pages are up to date."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cumulet.cli import cumulet
from cumulet.cli.docs import pages
from cumulet.cli.manual import leaves
from cumulet.lib.config import MEANINGS, Config

DOCS = Path(__file__).resolve().parents[2] / "docs"


COMMANDS = list(leaves(cumulet, "cumulet"))
GO_ON = ("cumulet up", "cumulet join", "cumulet shell", "cumulet db shell", "cumulet completion")
"""These go on, or speak to a shell: they have nothing to tell programs."""


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_each_command_is_documented_and_says_which_cloud_it_means(name: str, command: click.Command) -> None:
    assert f"`{name}" in (DOCS / "commands.md").read_text()
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    if name != "cumulet completion":
        assert {"--state-dir", "--config"} <= options
    if name not in GO_ON:
        assert "--json" in options


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_the_help_of_each_command_ends_with_an_example_that_can_be_run(name: str, command: click.Command) -> None:
    assert command.epilog
    example = re.fullmatch(r'Example: (?:eval "\$\()?cumulet (.*?)(?:\)")?', command.epilog)
    assert example
    words = ["cumulet", *shlex.split(example[1])]
    assert " ".join(words).startswith(name)
    command.make_context(name, words[len(name.split()) :])
    assert command.epilog in CliRunner().invoke(cumulet, [*name.split()[1:], "--help"]).stdout


def test_the_lists_of_commands_show_whole_sentences() -> None:
    for group in ([], ["image"], ["account"], ["service"], ["db"]):
        shown = CliRunner().invoke(cumulet, [*group, "--help"]).stdout
        assert "Commands:" in shown
        assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("page", ["configuration.md", "actions.md", "cumulet.1"])
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
    for line in text.partition("## S3")[0].splitlines():
        parameters = line.split(" | ")[1].split("<br>") if line.startswith("| `") else []
        assert len(parameters) == len(set(parameters)), line


SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS"]
SECTIONS += ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"]
KNOWN_MACROS = {'.\\"', ".TH", ".SH", ".SS", ".TP", ".PP", ".RS", ".RE", ".nf", ".fi", ".nh", ".ad"}
READERS = [["man", "--warnings=w", "-l"], ["groff", "-man", "-Tutf8", "-ww", "-z"], ["mandoc", "-Tlint", "-Wwarning"]]


def test_the_manual_page_has_the_sections_of_one_in_their_order() -> None:
    lines = (DOCS / "cumulet.1").read_text().splitlines()
    assert lines[1].startswith(".TH CUMULET 1 ")
    assert [line[4:] for line in lines if line.startswith(".SH ")] == SECTIONS


def test_the_manual_page_has_each_command_with_its_options() -> None:
    text = (DOCS / "cumulet.1").read_text().replace("\\-", "-")
    for name, command in COMMANDS:
        _, _, part = text.partition(f'.SS "\\fB{name}\\fR')
        assert part, name
        own = part.partition("\n.S")[0] + text.partition(".SH OPTIONS")[2].partition("\n.SH")[0]
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else []:
                assert f"\\fB{option}\\fR" in own, (name, option)


def test_the_manual_page_is_sound_roff() -> None:
    """What `man` and `mandoc -Tlint` find, as far as it can be found without them."""
    text = (DOCS / "cumulet.1").read_text()
    assert text.isascii()
    assert {line.split()[0] for line in re.findall(r"^\..*", text, re.MULTILINE)} <= KNOWN_MACROS
    for begin, end in ((".nf", ".fi"), (".RS 4", ".RE")):
        found = re.findall(rf"^(?:{re.escape(begin)}|{re.escape(end)})$", text, re.MULTILINE)
        assert found == [begin, end] * (len(found) // 2)
    fonts = re.findall(r"\\f(.)", text)
    assert (set(fonts[::2]), set(fonts[1::2])) == ({"B", "I"}, {"R"})
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("reader", [reader for reader in READERS if shutil.which(reader[0])])
def test_a_reader_of_manual_pages_has_no_complaint(reader: list[str]) -> None:
    done = subprocess.run([*reader, str(DOCS / "cumulet.1")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert reader[0] != "mandoc" or done.stdout == ""
