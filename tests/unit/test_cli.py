"""The command `cumulet` on a state directory for which no cloud runs."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec
import pytest
from click.testing import CliRunner, Result

from cumulet.cli import checks, cumulet
from cumulet.cli.running import only_one, pid
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure


class Shell:
    """Runs the command for a state directory."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def run(self, *words: str) -> Result:
        environ = {key: None for key in os.environ if key.startswith("CUMULET_")}
        return CliRunner().invoke(cumulet, [*words, "--state-dir", str(self.state)], env={**environ, **FAKE})

    def json(self, *words: str) -> object:
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


NOBODY = 65534
FAKE = {"CUMULET_DRIVERS": "fake", "CUMULET_HOST_NAME": "h1", "CUMULET_IMPORT_RANGES": "127.0.0.1/32"}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "state")


@pytest.fixture
def made(shell: Shell) -> Shell:
    """A cloud that has been made, with an account `bob`."""
    shell.json("account", "create", "bob")
    return shell


def test_a_cloud_that_is_not_there_is_said_in_one_line(shell: Shell) -> None:
    done = shell.run("status")
    assert done.exit_code == 1
    hint = "`cumulet up` starts one, --state-dir names another, and --endpoint URL one elsewhere"
    assert done.stderr.startswith(f"cumulet: there is no cloud in {shell.state}: {hint}")
    assert len(done.stderr.splitlines()) == 1
    assert not shell.state.exists()


def test_a_wrong_command_line_is_a_usage_error(shell: Shell) -> None:
    assert shell.run("nonsense").exit_code == 2
    assert "Did you mean 'config'?" in shell.run("konfig").stderr
    assert "Did you mean 'list'?" in shell.run("image", "lst").stderr
    assert shell.run("image", "import").exit_code == 2


def test_a_wrong_setting_is_named(shell: Shell) -> None:
    done = CliRunner().invoke(cumulet, ["config"], env={"CUMULET_THREADS": "many"})
    assert done.exit_code == 1
    assert done.stderr.startswith("cumulet: the setting threads is 'many'")


def test_why_is_said_once(shell: Shell, tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    done = shell.run("config", "--config", str(absent))
    assert done.stderr == f"cumulet: the configuration {absent} cannot be read (No such file or directory)\n"
    shell.state.touch()
    done = shell.run("account", "create", "bob")
    advice = "it is a file; choose another directory by --state-dir"
    assert done.stderr == f"cumulet: nothing can be kept in {shell.state}: {advice}\n"


def test_looking_makes_nothing(shell: Shell) -> None:
    for words in (["db", "version"], ["env"], ["image", "list"], ["account", "list"], ["service", "list"], ["status"]):
        assert shell.run(*words).stderr.startswith(f"cumulet: there is no cloud in {shell.state}: `cumulet up`")
    assert not shell.state.exists()


@pytest.mark.parametrize("words", [["status"], ["env"], ["image", "list"], ["db", "version"], ["explain", "i-1"]])
def test_a_cloud_of_another_user_is_said_to_be_so_in_one_line(made: Shell, words: list[str]) -> None:
    made.run(*words)  # whatever this loads is loaded: the other user may not be allowed to read it
    with of_another_user(made.state):
        done = made.run(*words)
    assert done.exit_code == 1
    assert done.stderr.endswith(" is not for this user: run this as the user whose cloud it is\n")
    assert done.stderr.count("\n") == 1


@contextmanager
def of_another_user(directory: Path) -> Iterator[None]:
    """A directory that we may not look into; root may look everywhere, so it is nobody meanwhile."""
    directory.chmod(0)
    am_root = os.geteuid() == 0
    if am_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if am_root:
            os.seteuid(0)
        directory.chmod(0o750)


def test_a_new_account_has_ids_and_a_key_that_env_exports(made: Shell) -> None:
    (one,) = [row for row in made.json("account", "list") if row["name"] == "bob"]  # type: ignore[attr-defined]
    lines = made.run("env", "--account", "bob").stdout.splitlines()
    exported = dict(shlex.split(line.removeprefix("export "))[0].split("=", 1) for line in lines)
    assert one["access_keys"] == [exported["AWS_ACCESS_KEY_ID"]]
    assert exported["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8773"
    assert exported["AWS_DEFAULT_REGION"] == "us-east-1"
    assert len(exported["AWS_SECRET_ACCESS_KEY"]) == 40
    assert len(one["account"]) == 12


def test_a_name_that_is_taken_is_refused(made: Shell) -> None:
    done = made.run("account", "create", "bob")
    assert done.exit_code == 1
    assert done.stderr.startswith("cumulet: the name bob is taken")
    assert len(made.json("account", "list")) == 2  # type: ignore[arg-type]


def test_an_unknown_account_has_no_environment(made: Shell) -> None:
    done = made.run("env", "--account", "eve")
    assert done.exit_code == 1
    assert "there is no account eve; there are: admin, bob" in done.stderr


def test_only_the_owner_can_read_the_database(made: Shell) -> None:
    assert stat.S_IMODE((made.state / "cumulet.db").stat().st_mode) == 0o600


def test_the_database_says_from_which_version_to_which(shell: Shell) -> None:
    first = shell.json("db", "sync")
    assert first == {"before": "", "after": "0001"}
    assert shell.json("db", "version") == {"version": "0001", "known": "0001"}
    assert "nothing to do" in shell.run("db", "sync").stdout


def test_the_origin_of_each_setting_is_shown(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "cumulet.toml"
    file.write_text('region = "eu-west-1"\n[instance_types."x1.huge"]\nvcpus = 8\nmemory_mib = 1024\n')
    rows = {row["key"]: row for row in shell.json("config", "--config", str(file))}  # type: ignore[attr-defined]
    assert (rows["region"]["value"], rows["region"]["origin"]) == ("eu-west-1", str(file))
    assert (rows["drivers"]["value"], rows["drivers"]["origin"]) == ("fake", "environment")
    assert (rows["state_dir"]["value"], rows["state_dir"]["origin"]) == (str(shell.state), "command")
    assert rows["threads"]["origin"] == "default"
    assert rows["instance_types"]["value"] == {"x1.huge": {"vcpus": 8, "memory_mib": 1024}}


def test_the_password_of_the_database_is_not_shown(shell: Shell) -> None:
    environ = {"CUMULET_DATABASE_URL": "postgresql://cloud:hunter2@db/cloud"}
    done = CliRunner().invoke(cumulet, ["config", "--json"], env=environ)
    assert "hunter2" not in done.output
    assert "cloud:***@db" in done.output


def test_the_password_of_the_bus_is_not_shown(shell: Shell) -> None:
    environ = {"CUMULET_BUS_URL": "amqps://host-h1:hunter2@broker:5671/cumulet"}
    for arguments in (["config"], ["config", "--json"]):
        done = CliRunner().invoke(cumulet, arguments, env=environ)
        assert "hunter2" not in done.output
        assert "amqps://host-h1:***@broker:5671/cumulet" in done.output


def test_without_a_running_cloud_an_image_waits_for_the_next_start(made: Shell, tmp_path: Path) -> None:
    disk = tmp_path / "debian 12.qcow2"
    disk.write_bytes(b"QFI\xfb")
    done = made.run("image", "import", str(disk), "--public")
    assert done.exit_code == 0, done.output
    assert "will be taken in when the cloud runs" in done.stdout
    (row,) = [row for row in made.json("image", "list") if row["name"] == "debian 12"]  # type: ignore[attr-defined]
    assert (row["state"], row["public"], row["account"]) == ("pending", True, "admin")


def test_a_file_that_is_not_there_is_not_taken_in(made: Shell) -> None:
    done = made.run("image", "import", "/nowhere/disk.qcow2")
    assert (done.exit_code, done.stderr) == (1, "cumulet: there is no file /nowhere/disk.qcow2\n")
    assert made.run("image", "import", "/").stderr == "cumulet: / is no file; a disk image is one\n"
    done = made.run("image", "import", "ftp://far/disk.raw")
    assert done.stderr == "cumulet: ftp://far/disk.raw cannot be downloaded by ftp: http and https are known\n"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server with one disk on it."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "disk.raw").write_bytes(b"x" * 3_000_000)

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "www"))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if not self.path.startswith("/to/"):
                return super().do_GET()
            self.send_response(302)
            self.send_header("Location", unquote(self.path.removeprefix("/to/")))
            return self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_image_is_downloaded_whole(made: Shell, web: str) -> None:
    assert made.run("image", "import", f"{web}/disk.raw", "--name", "far").exit_code == 0
    (file,) = (made.state / "incoming").iterdir()
    assert file.read_bytes() == b"x" * 3_000_000


def test_a_download_that_fails_leaves_nothing(made: Shell, web: str) -> None:
    done = made.run("image", "import", f"{web}/nothing.raw")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"cumulet: downloading {web}/nothing.raw (HTTP Error 404")
    assert list((made.state / "incoming").glob("*")) == []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("http://127.0.0.2/disk.raw", " (127.0.0.2 is no public address; "),
        ("http://169.254.169.254/latest/meta-data", "no public address; the setting import_ranges may allow its range"),
        ("http://10.0.0.1/disk.raw", "10.0.0.1 is no public address"),
        ("http://[::1]/disk.raw", "::1 is no public address"),
        ("https://[::ffff:127.0.0.2]/disk.raw", "is no public address"),
        ("file:///etc/passwd", "HTTP Error 302"),
        ("ftp://127.0.0.1/disk.raw", "unknown url type: ftp"),
    ],
)
def test_a_redirect_leads_to_the_outside_world_only(made: Shell, web: str, target: str, said: str) -> None:
    done = made.run("image", "import", f"{web}/to/{quote(target)}")
    assert done.exit_code == 1
    assert said in done.stderr
    assert list((made.state / "incoming").glob("*")) == []


def test_a_redirect_to_where_it_may_lead_is_followed(made: Shell, web: str) -> None:
    assert made.run("image", "import", f"{web}/to/{quote(web)}/disk.raw", "--name", "far").exit_code == 0


def test_a_resource_that_is_not_there_cannot_be_explained(made: Shell) -> None:
    assert "there is no i-0123" in made.run("explain", "i-0123").stderr
    assert made.run("explain", "ami-0123").stderr == "cumulet: there is no ami-0123\n"
    assert "is not the id of an instance" in made.run("explain", "hello").stderr


def test_doctor_says_whether_vlans_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(vlan_interface="lo", tunnel_address="192.0.2.1")

    def found(config: Config) -> tuple[str, str]:
        (one,) = checks.trunk(config)
        return one.level, one.text

    monkeypatch.setattr(checks, "run", lambda *words, **more: None)
    assert found(config) == ("ok", "lo is there, and VLANs can be made")
    assert found(msgspec.structs.replace(config, tunnel_address=""))[0] == "warning"
    missing = msgspec.structs.replace(config, vlan_interface="eth99")
    assert found(missing) == ("problem", "this host has no interface eth99")
    assert list(checks.trunk(Config())) == []

    def refuse(*words: str, **more: object) -> None:
        raise Failure("Unknown device type")

    monkeypatch.setattr(checks, "run", refuse)
    assert found(config) == ("problem", "this kernel makes no VLAN: Unknown device type")


def test_doctor_says_what_to_do_and_fails_for_a_problem(made: Shell) -> None:
    rows = {row["part"]: row for row in made.json("doctor")}  # type: ignore[attr-defined]
    assert rows["database"] == {"part": "database", "level": "ok", "text": "version 0001", "advice": ""}
    assert rows["services"]["level"] == "warning"
    (made.state / "cumulet.db").write_bytes(b"this is no database" * 100)
    done = made.run("doctor", "--json")
    rows = {row["part"]: row for row in json.loads(done.stdout)}
    assert (done.exit_code, rows["database"]["level"]) == (1, "problem")


def test_one_state_directory_has_one_cloud(tmp_path: Path) -> None:
    with only_one(tmp_path):
        assert pid(tmp_path) == os.getpid()
        with pytest.raises(Failure, match=f"pid {os.getpid()}"), only_one(tmp_path):
            pass
    assert pid(tmp_path) is None


def test_a_real_cloud_cannot_be_one_for_tests(shell: Shell) -> None:
    done = shell.run("up", "--drivers", "real", "--test")
    assert done.exit_code == 1
    assert "--drivers fake only" in done.stderr


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_the_command(name: str) -> None:
    done = CliRunner().invoke(cumulet, ["completion", name])
    assert done.exit_code == 0
    assert "_CUMULET_COMPLETE" in done.stdout
