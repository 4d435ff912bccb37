"""The manual page `cumulet.1`, in roff's man macros, made from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from textwrap import wrap

import click

REVISED = "2026-11-24"
"""The day of this page, for its foot: of the version that it goes with, or of a change in what is written here."""

WIDTH = 78
EXIT = {
    "0": "Done.",
    "1": "It did not work; one line on standard error says why. From doctor: there is a problem.",
    "2": "The command line is wrong.",
    "3": "From status: the cloud does not run.",
}
ENVIRONMENT = {
    "CUMULET_KEY": "The value of the setting KEY, such as CUMULET_STATE_DIR or CUMULET_REGION; lists with commas. "
    "`cumulet config` lists all settings. An option comes before it, and it comes before the file.",
    "CUMULET_ENDPOINT": "The URL of a cloud elsewhere, where --endpoint is not given.",
    "AWS_ENDPOINT_URL, AWS_REGION": "Where a cloud elsewhere is, as `cumulet env` prints it on its host. A cloud that "
    "is here comes first.",
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN": "Who asks it.",
    "AWS_CA_BUNDLE": "File of the certificates that are believed where the endpoint is one of https.",
    "CUMULET_CONFIG": "Configuration file, where --config is not given.",
}
FILES = {
    "/var/lib/cumulet": "Everything that is kept, unless --state-dir or CUMULET_STATE_DIR names another directory.",
    "cumulet.db": "In it: the database, unless database_url names one elsewhere. It holds secrets, and only its owner "
    "can read it.",
    "cumulet.pid, endpoint, region, account": "In it, while the cloud runs: its process, its URL, the region that "
    "requests are signed for, and the first account's number.",
    "agents, images, volumes, consoles": "In it: what each agent has been told, and the files of guests.",
}
EXAMPLES = {
    "A cloud without a hypervisor, for a test of a client:": [
        "cumulet up --drivers fake --test --state-dir /tmp/cloud &",
        'eval "$(cumulet env --state-dir /tmp/cloud)"',
        "aws ec2 describe-images",
    ],
    "As root, a cloud that stays, and its first guest:": [
        "cumulet doctor",
        "cumulet up &",
        "cumulet image build-tiny",
        'eval "$(cumulet env)"',
        "aws ec2 run-instances --image-id ami-... --instance-type m1.tiny",
    ],
    "Why an instance does not run:": ["cumulet explain i-0123456789abcdef0"],
}
DESCRIPTION = """\
Cumulet is a private cloud: real virtual machines, networks, firewalls, images and public addresses behind the EC2 \
API, so that the aws command, boto3 and Terraform work unchanged. This command runs it and looks after it. Guests go \
on when the cloud ends or starts again."""
OPTIONS = "All commands but `cumulet completion` take these, to say which cloud is meant:"
ELSEWHERE = """\
What the operator asks of a cloud can be asked of one elsewhere, by this option or, where no cloud is here, by the \
variable AWS_ENDPOINT_URL. Commands that work with files of the cloud's host do not take it."""
COMMON = {"state_dir", "file", "endpoint"}
"""The parameters that nearly every command has; the page has them once."""
SEE_ALSO = "aws(1), qemu-img(1), virsh(1); docs/ beside the program's source, for the settings, the actions and guests."


def manual(root: click.Group) -> str:
    """The page for `root` and all the commands below it."""
    from cumulet import __version__

    sections = {
        "NAME": [f"cumulet \\- {_text(_summary(root))}"],
        "SYNOPSIS": [f"\\fBcumulet\\fR [{_bold('--version')}] [{_bold('--help')}] {_italic('COMMAND')} ..."],
        "DESCRIPTION": [_text(DESCRIPTION)],
        "OPTIONS": [_text(OPTIONS), *_options(_one_with("file", root), {"state_dir", "file"})]
        + [".PP", _text(ELSEWHERE), *_options(_one_with("endpoint", root), {"endpoint"})],
        "COMMANDS": [line for name, command in leaves(root, "cumulet") for line in _command(name, command)],
        "EXIT STATUS": _listed(EXIT),
        "ENVIRONMENT": _listed(ENVIRONMENT),
        "FILES": _listed(FILES),
        "EXAMPLES": _separated([[_text(text), *_typed(lines)] for text, lines in EXAMPLES.items()]),
        "SEE ALSO": [_text(SEE_ALSO)],
    }
    head = ['.\\" Made by `python -m cumulet.cli.docs`; change the program instead.']
    head += [f'.TH CUMULET 1 {REVISED} "cumulet {__version__}" "User Commands"', ".nh", ".ad l"]
    return "\n".join([*head, *(line for name, lines in sections.items() for line in (f".SH {name}", *lines)), ""])


def _one_with(parameter: str, root: click.Group) -> click.Command:
    """The first command that has this parameter."""
    commands = (command for _, command in leaves(root, ""))
    return next(command for command in commands if parameter in {one.name for one in command.params})


def leaves(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    """Each command that does something, by its whole name, in the order of the help."""
    context = click.Context(group)
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, f"{name} {part}")
        else:
            yield f"{name} {part}", command


def _summary(command: click.Command) -> str:
    text = (command.help or "").rstrip(".")
    return text[:1].lower() + text[1:]


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    words = command.collect_usage_pieces(context)
    arguments = "".join(f" {_italic(word)}" for word in words if word != "[OPTIONS]")
    yield f'.SS "{_bold(name)}{arguments}"'
    yield _text(" ".join((command.help or "").split()))
    yield from _options(command, {parameter.name for parameter in command.params} - COMMON)
    if command.epilog:
        yield from (".PP", "Example:", *_typed([command.epilog.removeprefix("Example: ")]))


def _options(command: click.Command, names: Container[str | None]) -> Iterator[str]:
    context = click.Context(command)
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and parameter.name in names:
            yield from _tagged(_option(record[0]), record[1])


def _option(text: str) -> str:
    """`--name TEXT` as such things are set: what is typed bold, what is replaced italic."""
    name, _, value = text.partition(" ")
    return _bold(name) + (f" {_italic(value)}" if value else "")


def _listed(entries: dict[str, str]) -> list[str]:
    return [line for name, text in entries.items() for line in _tagged(_bold(name), text)]


def _tagged(tag: str, text: str) -> list[str]:
    return [".TP", tag, _text(text)]


def _separated(paragraphs: list[list[str]]) -> list[str]:
    first, *others = paragraphs
    return [*first, *(line for paragraph in others for line in (".PP", *paragraph))]


def _typed(lines: list[str]) -> list[str]:
    return [".RS 4", ".nf", *map(_literal, lines), ".fi", ".RE"]


def _bold(text: str) -> str:
    return f"\\fB{_literal(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_literal(text)}\\fR"


def _text(text: str) -> str:
    """Prose, in lines of a terminal's width; options, and what is in backquotes, as they are typed."""
    parts = re.split(r"(`[^`]*`|(?<![\w-])--[a-z][a-z-]*)", text)
    whole = "".join(_bold(part.strip("`")) if number % 2 else _plain(part) for number, part in enumerate(parts))
    lines = wrap(whole, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line[0] in ".'" else line for line in lines)


def _literal(text: str) -> str:
    """What is typed as it stands: its hyphens are minus signs."""
    return _plain(text).replace("-", "\\-")


def _plain(text: str) -> str:
    return text.replace("\\", "\\e").replace("…", "...")
