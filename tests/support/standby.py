"""A standby of a test's PostgreSQL, which has each commit before it is answered, and takes over when it is told to."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from support.databases import ADDRESS, Tested, administering, free_port, text

from cumulet.lab.servers import Server, as_account, listens, postgres_command, postgres_programs
from cumulet.lib.command import run

_NAME = "standby"


class Standby(Server):
    """Made from the server as it runs; `directory` is in one that PostgreSQL's account can reach."""

    def __init__(self, server: Tested, directory: Path) -> None:
        self.port = free_port()
        self.url = server.url.set(port=self.port)
        account = pwd.getpwnam("postgres")
        directory.mkdir()
        os.chown(directory, account.pw_uid, account.pw_gid)
        _let_replicate(server)
        source = f"host={ADDRESS} port={server.port} user=cumulet password={server.url.password}"
        source += f" application_name={_NAME}"
        copy: list[str | Path] = [postgres_programs() / "pg_basebackup", "--pgdata", directory / "data"]
        copy += ["--write-recovery-conf", "--checkpoint=fast", "--dbname", source]
        run([*as_account("postgres"), *copy], timeout=120)
        command = postgres_command(directory, ADDRESS, self.port, durable=False)
        super().__init__(directory, command, os.environ, lambda: listens(ADDRESS, self.port))

    def await_commits_of(self, server: Tested) -> None:
        """From now on the server answers no commit that is not here too."""
        with administering(server.url) as connection:
            connection.exec_driver_sql(f"ALTER SYSTEM SET synchronous_standby_names = '{_NAME}'")
            connection.exec_driver_sql("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """It is the server from now on."""
        with administering(self.url) as connection:
            assert connection.exec_driver_sql("SELECT pg_promote()").scalar() is True

    def is_followed_up(self, server: Tested) -> bool:
        """Whether the server waits for this one."""
        with administering(server.url) as connection:
            states = connection.exec_driver_sql("SELECT sync_state FROM pg_stat_replication").scalars()
            return list(states) == ["sync"]


def either(server: Tested, standby: Standby, name: str) -> str:
    """The URL of a database on whichever of them can be written to."""
    found = server.url.set(host=None, port=None, database=name)
    hosts = {"host": tuple(f"{ADDRESS}:{port}" for port in (server.port, standby.port))}
    return text(found.update_query_dict({**hosts, "target_session_attrs": "read-write"}))


def _let_replicate(server: Tested) -> None:
    with administering(server.url) as connection:
        rules = Path(str(connection.exec_driver_sql("SHOW hba_file").scalar()))
        with rules.open("a") as file:
            file.write(f"host replication all {ADDRESS}/24 scram-sha-256\n")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
