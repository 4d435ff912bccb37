"""The operator's command on the cloud's host and elsewhere: the same results, and one line where it cannot be."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from support.commands import answered, command, elsewhere, running_cloud
from support.identity import session
from support.launching import launched
from support.tested_cloud import TestedCloud

from cumulet.cli import cumulet, running
from cumulet.cli.manual import leaves

LOOKS = [
    "account list",
    "user list admin",
    "quota list admin",
    "usage --since 2020-01-01 --until 2020-02-01",
    "instance list",
    "type list",
    "zone list",
    "network list",
    "pool list",
    "address list",
    "interface list",
    "volume list",
    "image list",
    "host list",
    "host show h1",
]


@pytest.fixture
def busy(cloud: TestedCloud) -> str:
    """An instance of a cloud that has a little of everything."""
    id = launched(cloud, cloud.client())
    cloud.client("iam").create_user(UserName="ann")
    cloud.client().allocate_address()
    return id


def test_what_is_seen_is_the_same_on_the_host_and_elsewhere(cloud: TestedCloud, busy: str, tmp_path: Path) -> None:
    looks = [*LOOKS, f"placement why {busy}", f"explain {busy}"]
    there = elsewhere(cloud, tmp_path)
    stopped = {words: answered(command(cloud), *words.split()) for words in looks}
    with running_cloud(cloud):
        here = {words: answered(command(cloud), *words.split()) for words in looks}
    for words in looks:
        assert answered(there, *words.split()) == here[words], words
        assert there(*words.split()).stdout, words
        assert stopped[words] == here[words] or words.startswith("explain"), words
    services = [answered(there, "service", "list"), answered(command(cloud), "service", "list")]
    assert [[(one["binary"], one["alive"]) for one in found] for found in services] == [
        [(name, True) for name in ("api", "compute", "image", "network", "object", "scheduler", "volume")]
    ] * 2


def test_status_says_which_cloud_it_is_of(cloud: TestedCloud, busy: str, tmp_path: Path) -> None:
    found = answered(elsewhere(cloud, tmp_path), "status")
    assert (found["running"], found["pid"], found["url"]) == (True, None, cloud.url)
    assert found["instances"] == {"running": 1}
    assert elsewhere(cloud, tmp_path)("status").stdout.startswith(f"the cloud runs at {cloud.url}; cumulet")
    stopped = command(cloud)("status", "--json")
    assert stopped.exit_code == 3
    with running_cloud(cloud):
        assert answered(command(cloud), "status")["pid"] == os.getpid()


def test_somebody_else_is_refused_in_one_line(cloud: TestedCloud, tmp_path: Path) -> None:
    bob = cloud.account("bob")
    done = elsewhere(cloud, tmp_path, bob)("account", "list")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "only principals of an administrator's account may administer the cloud" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    temporary = session(cloud, cloud.client("sts").get_session_token())
    assert len(answered(elsewhere(cloud, tmp_path, temporary), "account", "list")) == 2


def test_what_clients_need_is_made_elsewhere_too(cloud: TestedCloud, tmp_path: Path) -> None:
    run, file = elsewhere(cloud, tmp_path), tmp_path / "admin.zip"
    assert run("account", "credentials", "admin", str(file)).exit_code == 0
    with zipfile.ZipFile(file) as archive:
        assert f'EC2_URL="{cloud.url}"' in archive.read("novarc").decode()
        own = x509.load_pem_x509_certificate(archive.read("cert.pem"))
    revoked = x509.load_pem_x509_crl(run("account", "revoke", f"{own.serial_number:x}").stdout.encode())
    assert revoked.get_revoked_certificate_by_serial_number(own.serial_number) is not None
    assert "is no serial number" in run("account", "revoke", "xyz").stderr
    assert "there is no account nobody" in run("account", "credentials", "nobody", str(file)).stderr
    assert run("account", "rotate-key").stdout == "1 secrets are sealed with the new key\n"
    assert cloud.client("sts").get_caller_identity()["Account"] == cloud.admin.id


def ask(environ: dict[str, str], *words: str) -> tuple[int, str]:
    names = [key for key in os.environ if key.startswith(("CUMULET_", "AWS_"))]
    done = CliRunner().invoke(cumulet, words, env={**dict.fromkeys(names), **environ})
    return done.exit_code, done.stdout + done.stderr


def test_the_environment_says_where_the_cloud_is_unless_one_is_here(cloud: TestedCloud, tmp_path: Path) -> None:
    bob = cloud.account("bob")
    keys = {"AWS_ACCESS_KEY_ID": cloud.admin.key, "AWS_SECRET_ACCESS_KEY": cloud.admin.secret}
    where = {"AWS_ENDPOINT_URL": cloud.url, "AWS_REGION": cloud.config.region}
    nothing = ["--state-dir", str(tmp_path / "nothing")]
    nowhere = {"CUMULET_STATE_DIR": str(tmp_path / "nothing")}
    assert ask(keys | where | nowhere, "host", "list")[0] == 0
    assert ask(keys | where, "host", "list", *nothing)[0] == 1, "another cloud is named than the environment's"
    assert ask(keys | {"CUMULET_ENDPOINT": cloud.url}, "host", "list", *nothing)[0] == 0
    assert ask(keys, "--endpoint", cloud.url, "host", "list", *nothing)[0] == 0
    his = {"AWS_ACCESS_KEY_ID": bob.key, "AWS_SECRET_ACCESS_KEY": bob.secret}
    assert ask(his | where | nowhere, "host", "list")[0] == 1
    here = {"CUMULET_DATABASE_URL": cloud.config.database_url, "CUMULET_STATE_DIR": str(cloud.config.state_dir)}
    with running_cloud(cloud):
        assert ask(his | where | here, "host", "list")[0] == 0
        assert ask(his | here, "host", "list", "--endpoint", cloud.url)[0] == 1


def test_where_no_administrator_is_answered_the_database_is_asked(cloud: TestedCloud) -> None:
    """As on a host that has S3 alone."""
    with running_cloud(cloud):
        (cloud.config.state_dir / "account").unlink()
        running.write(running.endpoint(cloud.config.state_dir), "http://127.0.0.1:1")
        assert answered(command(cloud), "host", "list")
        assert answered(command(cloud), "status")["running"]


def test_what_is_lacking_is_said(cloud: TestedCloud, tmp_path: Path) -> None:
    nothing = ["--state-dir", str(tmp_path / "nothing")]
    status, said = ask({}, "host", "list", *nothing)
    assert (status, "--endpoint URL one elsewhere" in said) == (1, True)
    status, said = ask({}, "host", "list", "--endpoint", cloud.url, *nothing)
    assert (status, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be in the environment" in said) == (1, True)
    keys = {"AWS_ACCESS_KEY_ID": cloud.admin.key, "AWS_SECRET_ACCESS_KEY": cloud.admin.secret}
    for url, why in (
        ("http://127.0.0.1:1", "Connection refused"),
        (f"{cloud.url}/elsewhere", "is no cloud of this kind"),
    ):
        status, said = ask(keys, "host", "list", "--endpoint", url, *nothing)
        assert (status, why in said, len(said.splitlines())) == (1, True, 1), said
    status, said = ask(keys, "--endpoint", cloud.url, "doctor", *nothing)
    assert (status, "--endpoint is not for this command" in said) == (1, True)
    assert not (tmp_path / "nothing").exists()


def test_the_environment_of_clients_is_printed_elsewhere_too(cloud: TestedCloud, tmp_path: Path) -> None:
    bob, run = cloud.account("bob"), elsewhere(cloud, tmp_path)
    where = {"AWS_ENDPOINT_URL": cloud.url, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    own = {"AWS_ACCESS_KEY_ID": cloud.admin.key, "AWS_SECRET_ACCESS_KEY": cloud.admin.secret}
    his = {"AWS_ACCESS_KEY_ID": bob.key, "AWS_SECRET_ACCESS_KEY": bob.secret}
    assert answered(run, "env") == own | where
    assert answered(run, "env", "--account", "bob") == his | where
    temporary = session(cloud, cloud.client("sts").get_session_token())
    assert answered(elsewhere(cloud, tmp_path, temporary), "env")["AWS_SESSION_TOKEN"] == temporary.token
    assert answered(elsewhere(cloud, tmp_path, bob), "env") == his | where, "they are his own"
    done = elsewhere(cloud, tmp_path, bob)("env", "--account", "admin")
    assert (done.exit_code, done.stdout) == (1, ""), "and he has nobody else's"
    with running_cloud(cloud):
        assert answered(command(cloud), "env") == own | where
    assert not any(bob.secret in path.read_text() for path in cloud.config.audit_directory().rglob("*.jsonl"))


SCRIPT = """
print(len(ask("ListHosts")), actions["SetQuota"], client("sts").get_caller_identity()["Account"])
"""


def test_a_script_asks_the_cloud_wherever_it_runs(cloud: TestedCloud, tmp_path: Path) -> None:
    file = tmp_path / "count.py"
    file.write_text(SCRIPT)
    said = f"1 ['account', 'name', 'value'] {cloud.admin.id}\n"
    assert elsewhere(cloud, tmp_path)("shell", "--script", str(file)).stdout == said
    with running_cloud(cloud):
        assert command(cloud)("shell", "--script", str(file)).stdout == said
    assert "`cumulet up` starts it" in command(cloud)("shell", "--script", str(file)).stderr
    file.write_text("print(database.read, tables.metadata)")
    assert command(cloud)("db", "shell", "--script", str(file)).exit_code == 0


OF_A_HOST = {
    "up",
    "down",
    "doctor",
    "config",
    "db sync",
    "db version",
    "db shell",
    "join",
    "lab up",
    "lab down",
    "lab env",
    "audit deliver",
    "bucket copy-to-directories",
    "bucket copy-to-pool",
    "image bundle",
    "completion",
}
"""They are about the files or the processes of the machine that they run on."""


def test_all_other_commands_take_the_cloud_they_ask() -> None:
    found = dict(leaves(cumulet, ""))
    here = {
        name.strip() for name, one in found.items() if "endpoint" not in {parameter.name for parameter in one.params}
    }
    assert here == OF_A_HOST
