"""The configuration: where a key comes from, and mistakes named with key, value and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cumulet.lib.config import MEANINGS, Config, load
from cumulet.lib.errors import Failure


def test_the_command_comes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cumulet.toml"
    file.write_text('region = "from-file"\nthreads = 3\nlisten = "1.2.3.4:5"\n')
    environ = {"CUMULET_REGION": "from-environment", "CUMULET_THREADS": "5"}
    config, origins = load(file, {"region": "from-command", "listen": None}, environ)
    assert (config.region, config.threads, config.listen) == ("from-command", 5, "1.2.3.4:5")
    assert origins["region"] == "command"
    assert origins["threads"] == "environment"
    assert origins["listen"] == str(file)
    assert origins["state_dir"] == "default"


def test_each_key_has_a_meaning() -> None:
    assert len(MEANINGS) == len(Config.__struct_fields__)
    assert all(MEANINGS)


def test_lists_come_from_the_environment_with_commas() -> None:
    config, _ = load(None, {}, {"CUMULET_ZONES": "a,b,c", "CUMULET_PUBLIC_POOL": "192.0.2.0/28"})
    assert config.zone_names() == ["a", "b", "c"]
    assert config.public_pool == ["192.0.2.0/28"]


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"threads": "many"}, ["threads", "'many'", "int"]),
        ({"drivers": "imaginary"}, ["drivers", "'imaginary'"]),
        ({"colour": "red"}, ["colour", "cumulet config"]),
    ],
)
def test_a_mistake_is_named_with_key_and_value(overrides: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(Failure) as refused:
        load(None, overrides, {})
    assert all(name in str(refused.value) for name in names), refused.value


def test_a_file_that_is_not_toml_or_not_there_is_named(tmp_path: Path) -> None:
    crooked = tmp_path / "crooked.toml"
    crooked.write_text("region = \n")
    for file in (crooked, tmp_path / "absent.toml"):
        with pytest.raises(Failure, match=file.name):
            load(file, {}, {})


def test_an_address_to_listen_at_is_checked() -> None:
    assert Config(listen="[::1]:80").address() == ("::1", 80)
    for wrong in ("8773", "localhost:", "localhost:http", "localhost:70000"):
        with pytest.raises(Failure, match="listen"):
            Config(listen=wrong).address()
