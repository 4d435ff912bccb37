"""The cloud's keys: kept in a file apart from the database, changed by command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cumulet.cli import cumulet
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure
from cumulet.lib.sealed import Keyring
from cumulet.model import Database, account, bootstrap, migrate, secret


def test_the_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "there" / "secret.key"
    first, second = Keyring(file), Keyring(file)
    assert second.unseal(first.seal(b"word")) == b"word"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_an_older_key_still_opens_until_it_is_forgotten(tmp_path: Path) -> None:
    running, command = Keyring(tmp_path / "k"), Keyring(tmp_path / "k")
    sealed = running.seal(b"word")
    command.add()
    assert running.unseal(sealed) == b"word"
    newer = running.seal(b"word")
    command.forget_older()
    assert running.unseal(newer) == b"word"
    with pytest.raises(Failure, match="secret_key_file"):
        running.unseal(sealed)


def test_what_was_changed_or_is_not_ours_does_not_open(tmp_path: Path) -> None:
    keys = Keyring(tmp_path / "k")
    sealed = keys.seal(b"word")
    for wrong in (sealed[:-4] + "AAAA", "", "nonsense", Keyring().seal(b"word")):
        with pytest.raises(Failure):
            keys.unseal(wrong)
    (tmp_path / "k").write_text("no key\n")
    with pytest.raises(Failure, match="is no key"):
        keys.seal(b"word")


def test_the_command_seals_every_secret_again(tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path)
    database = Database(config.database(), keys=config.keyring())
    migrate.upgrade(database)
    with database.write() as tx:
        owner = bootstrap.create_account(tx, config, "admin").id
        before = account.keys(tx, owner)[0]
        word = account.secret(tx, before)
        master = secret.of(tx, "objects")
    key = (tmp_path / "secret.key").read_text()
    said = CliRunner().invoke(cumulet, ["account", "rotate-key", "--state-dir", str(tmp_path)])
    assert said.output == "2 secrets are sealed with the new key\n", said
    assert (tmp_path / "secret.key").read_text() != key
    with database.read() as tx:
        after = account.keys(tx, owner)[0]
        assert after.secret != before.secret
        assert account.secret(tx, after) == word
        assert secret.of(tx, "objects") == master
    database.close()
