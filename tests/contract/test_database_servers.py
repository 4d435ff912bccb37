"""A server that goes away, at the worst moments, and comes back; and what is said where it is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from support.cut import Relay
from support.databases import Tested, administering, free_port
from support.refusals import refusal
from support.tested_cloud import TestedCloud

from cumulet.cli import cumulet
from cumulet.engine.engine import Engine
from cumulet.lib.errors import Away, Unsure
from cumulet.model import address, instance, migrate, work
from cumulet.model.database import retried

pytestmark = pytest.mark.database_servers
COMMIT = {"postgresql": "COMMIT\0", "mariadb": "COMMIT"}
"""As it is sent; PostgreSQL is told READ COMMITTED at each BEGIN."""


@pytest.fixture
def relay(database_server: Tested) -> Iterator[Relay]:
    made = Relay(database_server.port)
    yield made
    made.close()


@pytest.fixture
def cloud(tmp_path: Path, database_url: str, relay: Relay) -> Iterator[TestedCloud]:
    """A cloud that reaches its database through the relay."""
    url = sa.make_url(database_url).set(port=relay.port).render_as_string(hide_password=False)
    made = TestedCloud(tmp_path, database_url=url)
    yield made
    made.stop()


def launch(cloud: TestedCloud, **more: Any) -> list[str]:
    answer = cloud.client().run_instances(ImageId=cloud.image, MinCount=1, MaxCount=1, **more)
    return [one["InstanceId"] for one in answer["Instances"]]


def instances(cloud: TestedCloud) -> dict[str, str]:
    with cloud.database.read() as tx:
        return {row.id: row.state for row in instance.of_account(tx, cloud.admin.id)}


def test_connections_that_have_died_are_not_noticed_by_clients(cloud: TestedCloud, relay: Relay) -> None:
    for _ in range(3):
        relay.cut_all()
        made = launch(cloud)
    assert made[0] in instances(cloud)
    relay.cut_all()
    retried(cloud.settle)
    assert set(instances(cloud).values()) == {"running"}


@pytest.mark.parametrize("statement", ["INSERT INTO interface", "INSERT INTO work"])
def test_a_launch_that_was_lost_before_its_commit_is_done_again(
    cloud: TestedCloud, relay: Relay, statement: str
) -> None:
    relay.cut_at(statement, done=True)
    assert launch(cloud) == list(instances(cloud))


@pytest.mark.parametrize("done", [True, False])
def test_a_launch_that_was_lost_in_its_commit_is_done_once_and_answered(
    cloud: TestedCloud, relay: Relay, database_kind: str, done: bool
) -> None:
    """botocore gives each launch a client token."""
    relay.cut_at(COMMIT[database_kind], done=done)
    assert launch(cloud) == list(instances(cloud))


@pytest.mark.parametrize("done", [True, False])
def test_what_may_have_been_done_and_cannot_be_repeated_is_said_to_be_so(
    cloud: TestedCloud, relay: Relay, database_kind: str, done: bool
) -> None:
    cloud.client().describe_instances()
    relay.cut_at(COMMIT[database_kind], done=done)
    refused = refusal(cloud.client().allocate_address).response
    assert (refused["Error"]["Code"], refused["ResponseMetadata"]["HTTPStatusCode"]) == ("Unavailable", 503)
    assert "may have been done or not" in refused["Error"]["Message"]
    with cloud.database.read() as tx:
        assert address.count(tx, cloud.admin.id) == int(done)


@pytest.mark.parametrize("writes", [False, True])
def test_a_connection_that_is_known_to_have_died_is_replaced(cloud: TestedCloud, writes: bool) -> None:
    """As one is that the server has ended while nobody used it, and somebody has looked."""
    database = cloud.database

    def look() -> int:
        with database.write() if writes else database.read() as tx:
            connection: Any = tx.connection.connection.driver_connection
            found = address.count(tx, cloud.admin.id)
        connection.close()
        return found

    assert [retried(look) for _ in range(3)] == [0, 0, 0]


def test_a_server_that_is_away_is_said_and_is_found_again(cloud: TestedCloud, database_server: Tested) -> None:
    first = launch(cloud)
    database_server.kill()
    try:
        for act in (cloud.client().allocate_address, cloud.client().describe_instances):
            refused = refusal(act).response
            assert (refused["Error"]["Code"], refused["ResponseMetadata"]["HTTPStatusCode"]) == ("Unavailable", 503)
            assert "the request was not done. Send it again" in refused["Error"]["Message"]
    finally:
        database_server.start()
    assert first[0] in instances(cloud)
    second = launch(cloud)
    retried(cloud.settle)
    assert instances(cloud) == {first[0]: "running", second[0]: "running"}


def test_a_lease_that_was_lost_in_its_commit_is_let_go_at_once(
    cloud: TestedCloud, relay: Relay, database_kind: str
) -> None:
    """Its rows would wait for the end of a lease that nobody has."""
    engine: Engine = cloud.cloud.engine
    launch(cloud)
    ended: list[Any] = []
    relay.cut_at(COMMIT[database_kind], done=True)
    with pytest.raises(Unsure):
        engine._lease(ended, 100)
    with cloud.database.read() as tx:
        assert [row.lease is None for row in tx.all(sa.select(work.work)) if row.kind == "instance"] == [False]
    assert "instance" in {row.kind for row in engine._lease(ended, 100)[0]}


def test_a_transaction_that_lost_its_server_in_the_midst_has_not_happened(cloud: TestedCloud, relay: Relay) -> None:
    with pytest.raises(Away), cloud.database.write() as tx:
        work.wake(tx, "thing", "a")
        relay.cut_all()
        work.wake(tx, "thing", "b")
    with cloud.database.read() as tx:
        assert (work.find(tx, "thing", "a"), work.find(tx, "thing", "b")) == (None, None)


def run(tmp_path: Path, url: sa.URL, *words: str) -> Result:
    environ = {"CUMULET_DATABASE_URL": url.render_as_string(hide_password=False), "CUMULET_DRIVERS": "fake"}
    return CliRunner().invoke(cumulet, [*words, "--state-dir", str(tmp_path)], env=environ)


def test_the_command_makes_the_tables_and_says_their_version(tmp_path: Path, bare_database: str) -> None:
    url, newest = sa.make_url(bare_database), migrate.newest()
    assert "the database is empty: `cumulet up` or `cumulet db sync`" in run(tmp_path, url, "db", "version").stderr
    assert run(tmp_path, url, "db", "sync").stdout == f"no tables -> {newest}\n"
    assert run(tmp_path, url, "db", "sync").stdout == f"{newest} already: nothing to do\n"
    assert run(tmp_path, url, "db", "version").stdout == f"{newest}; this program knows up to {newest}\n"
    assert run(tmp_path, url, "account", "create", "bob").exit_code == 0


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"password": "geheim"}, "correct the user or the password in database_url"),
        ({"username": "nobody"}, "correct the user or the password in database_url"),
        ({"database": "nowhere"}, "create it ("),
        ({"port": 0}, "start the server, or correct the host and the port in database_url"),
        ({"host": "nowhere.invalid"}, "correct the host's name in database_url"),
    ],
    ids=str,
)
@pytest.mark.parametrize("words", [("db", "sync"), ("status",), ("up",)], ids=" ".join)
def test_what_is_wrong_with_the_database_is_one_line_that_says_what_to_do(
    tmp_path: Path, database_server: Tested, wrong: dict[str, Any], advice: str, words: tuple[str, ...]
) -> None:
    values: dict[str, Any] = {key: value if value != 0 else free_port() for key, value in wrong.items()}
    url = database_server.url.set(**values)
    done = run(tmp_path, url, *words)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"cumulet: the database {url.set(query={}).render_as_string()}: ")
    assert advice in done.stderr
    assert done.stderr.count("\n") == 1
    assert str(url.password) not in done.output


def test_a_user_who_may_make_no_tables_is_told_so(tmp_path: Path, database_server: Tested, bare_database: str) -> None:
    url = sa.make_url(bare_database)
    with administering(url) as connection:
        if database_server.kind == "postgresql":
            connection.exec_driver_sql("CREATE ROLE reader LOGIN PASSWORD 'r'")
        else:
            connection.exec_driver_sql("CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'r'")
            connection.exec_driver_sql(f"GRANT SELECT ON {url.database}.* TO reader@'127.0.0.1'")
    try:
        done = run(tmp_path, url.set(username="reader", password="r"), "db", "sync")
        assert done.exit_code == 1
        assert "docs/databases.md" in done.stderr
        assert done.stderr.count("\n") == 1
    finally:
        with administering(database_server.url) as connection:
            connection.exec_driver_sql(
                "DROP ROLE reader" if database_server.kind == "postgresql" else "DROP USER reader@'127.0.0.1'"
            )


def test_a_database_of_another_encoding_is_refused(tmp_path: Path, database_server: Tested) -> None:
    if database_server.kind == "mariadb":
        pytest.skip("there it can be set for each database, and is")
    with administering(database_server.url) as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS cumulet_latin")
        connection.exec_driver_sql("CREATE DATABASE cumulet_latin ENCODING 'LATIN1' TEMPLATE template0")
    done = run(tmp_path, database_server.url.set(database="cumulet_latin"), "db", "sync")
    assert "the database's encoding is LATIN1; create it with ENCODING 'UTF8'" in done.stderr
