"""The options that every command takes, and what they lead to: the configuration and the database."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cumulet.lib.errors import Failure

if TYPE_CHECKING:
    from cumulet.lib.config import Config
    from cumulet.model import Database

Command = Callable[..., Any]


def which_cloud(command: Command) -> Command:
    """Give a command the options that say which cloud is meant, as `state_dir` and `file`."""
    path = click.Path(readable=False, path_type=Path)
    directory = click.option("--state-dir", type=path, help="Directory of everything that is kept.")
    return directory(click.option("--config", "file", type=path, help="Configuration file (TOML).")(command))


def settings(command: Command) -> Command:
    """Give a command its configuration as `config`; it takes --state-dir and --config, and CUMULET_… variables."""

    @which_cloud
    @functools.wraps(command)
    def with_config(state_dir: Path | None, file: Path | None, **others: Any) -> Any:
        if _endpoint_before():
            raise Failure("--endpoint is not for this command: it works on the host of the cloud, or of a part of it")
        return command(config=load(file, state_dir=state_dir)[0], **others)

    return with_config


class Cloud(NamedTuple):
    """The cloud that a command asks: of this configuration, or if that is not empty, the one at `endpoint`.

    `only_here`: no other is asked, whatever the environment says: what it is about are files of this host, or the
    command line names a state directory.
    """

    config: Config
    endpoint: str = ""
    only_here: bool = False


def endpoint(command: Command) -> Command:
    """Give a command the option that names a cloud elsewhere."""
    text = "Ask the cloud at this URL, with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    return click.option("--endpoint", metavar="URL", envvar="CUMULET_ENDPOINT", default="", help=text)(command)


def any_cloud(command: Command) -> Command:
    """Give a command the `cloud` that it asks; it takes --endpoint besides what `settings` takes."""

    @endpoint
    @which_cloud
    @functools.wraps(command)
    def with_cloud(endpoint: str, state_dir: Path | None, file: Path | None, **others: Any) -> Any:
        config, url = load(file, state_dir=state_dir)[0], endpoint or _endpoint_before()
        return command(cloud=Cloud(config, url, only_here=state_dir is not None and not url), **others)

    return with_cloud


def _endpoint_before() -> str:
    """What --endpoint says before the command's name: `cumulet --endpoint URL host list`."""
    return str(click.get_current_context().find_root().params.get("endpoint") or "")


def as_json(command: Command) -> Command:
    """Give a command the flag `json`."""
    return click.option("--json", is_flag=True, help="Answer in JSON, for programs.")(command)


def pairs(words: tuple[str, ...]) -> dict[str, str]:
    """What KEY=VALUE words say; raises `Failure` for one that is none."""
    wrong = [word for word in words if "=" not in word or word.startswith("=")]
    if wrong:
        raise Failure(f"{wrong[0]!r} is not KEY=VALUE, such as ssd=true")
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def load(file: Path | None, **overrides: Any) -> tuple[Config, dict[str, str]]:
    """The configuration, with paths made absolute, and each key's origin; raises `Failure`."""
    import msgspec

    from cumulet.lib.config import load as load_config

    named = file or (Path(os.environ["CUMULET_CONFIG"]) if os.environ.get("CUMULET_CONFIG") else None)
    config, origins = load_config(named, overrides)
    return msgspec.structs.replace(config, state_dir=config.state_dir.expanduser().absolute()), origins


@contextmanager
def database(config: Config) -> Iterator[Database]:
    """The cloud's database as it is; raises `Failure` where there is none yet, or where it does not answer."""
    from cumulet.model import Database

    file = _file(config)
    if file is not None:
        _must_be_ours(file)
    with said_clearly(config):
        opened = Database(config.database(), durable=not config.test, keys=config.keyring())
        try:
            _refuse_empty(config, opened)
            yield opened
        finally:
            opened.close()


@contextmanager
def empty_or_not(config: Config) -> Iterator[Database]:
    """The same, and a file for it where there is none; for the commands that see to the tables."""
    from cumulet.model import Database

    make_state(config)
    with said_clearly(config):
        opened = Database(config.database(), keys=config.keyring())
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def prepared_database(config: Config) -> Iterator[Database]:
    """The same, made if it is not there yet, with the first account."""
    import sqlalchemy as sa

    from cumulet.model import Database
    from cumulet.services import prepare

    make_state(config)
    with said_clearly(config):
        opened = Database(config.database(), durable=not config.test, keys=config.keyring())
        try:
            if not sa.inspect(opened.engine).has_table("account"):
                prepare(opened, config)
            yield opened
        finally:
            opened.close()


def is_here(config: Config) -> bool:
    """Whether the database that is configured is there, as far as that can be said without asking a server."""
    file = _file(config)
    return file is None or file.is_file()


def _must_be_ours(file: Path) -> None:
    """SQLite would only say that it is unable to open the file."""
    if not file.is_file():
        raise Failure(f"there is no cloud in {file.parent}: `cumulet up` starts one, --state-dir names another")
    file.open("r+b").close()


def make_state(config: Config) -> None:
    """The state directory is there, and its database is for nobody else to read: it holds secrets."""
    try:
        config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = _file(config)
        if file is not None:
            file.touch(mode=0o600)
            file.chmod(0o600)
    except OSError as e:
        reason = "it is a file" if isinstance(e, FileExistsError) else e.strerror
        who = "run this as root, or " if isinstance(e, PermissionError) else ""
        advice = f"{who}choose another directory by --state-dir"
        raise Failure(f"nothing can be kept in {config.state_dir}: {reason}; {advice}") from None


def _file(config: Config) -> Path | None:
    """SQLite's file; None for a database of another kind."""
    kind, _, path = config.database().partition(":///")
    return Path(path) if kind.startswith("sqlite") and path else None


def _refuse_empty(config: Config, opened: Database) -> None:
    import sqlalchemy as sa

    with opened.engine.connect() as connection:
        if not sa.inspect(connection).has_table("account"):
            raise Failure("the database is empty: `cumulet up` or `cumulet db sync` makes its tables")


@contextmanager
def said_clearly(config: Config) -> Iterator[None]:
    """A database that does not answer is a `Failure` of one line, without its password."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as e:
        from sqlalchemy.engine import make_url

        from cumulet.model import servers

        raise Failure(servers.said(make_url(config.database()), e)) from None
