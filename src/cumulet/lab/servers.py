"""The servers of a laboratory's control plane: PostgreSQL or MariaDB, and RabbitMQ, over directories of their own.

They end with the process that has started them, however that ends.
"""

from __future__ import annotations

import base64
import http.client
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from cumulet.lab.authority import Authority
from cumulet.lib.command import run
from cumulet.lib.errors import Failure

SECONDS = 120.0
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
ADMINISTRATOR = "guest:guest"
"""RabbitMQ's from the beginning; from the loopback only."""
_SETTINGS = ("-c", "dynamic_shared_memory_type=mmap", "-c", "max_connections=200")
_QUICK = ("-c", "fsync=off", "-c", "full_page_writes=off")
"""What was committed outlives the server, but not a power cut."""


class Server:
    """A process that can be killed and started again over the same directory."""

    def __init__(
        self,
        directory: Path,
        command: Sequence[str | Path],
        environ: Mapping[str, str],
        answers: Callable[[], bool],
    ) -> None:
        self.directory = directory
        self._command, self._environ, self._answers = [str(word) for word in command], dict(environ), answers
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The first process of it; None: it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Returns when it answers; raises `Failure` with what it said when it does not."""
        with (self.directory / "output").open("ab") as output:
            inside = ["unshare", "--kill-child", "--pid", "--fork", "--mount-proc", "--", *self._command]
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *inside], env=self._environ, stdout=output, stderr=output
            )
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.directory / "output").read_text(errors="replace")[-2000:]
                self.stop()
                raise Failure(f"{self._command[0]} does not start: {said}")
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGKILL) -> None:
        """It is gone at once, as in a power cut."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class Postgres(Server):
    """PostgreSQL at an address; `url` is that of its administrator, `cumulet`, by TLS where there is an authority."""

    def __init__(
        self,
        directory: Path,
        address: str,
        port: int = 5432,
        *,
        durable: bool = False,
        authority: Authority | None = None,
    ) -> None:
        directory.mkdir()
        programs = postgres_programs()
        password = secrets.token_hex(16)
        (directory / "password").write_text(password)
        account = pwd.getpwnam("postgres")
        for path in (directory, directory / "password"):
            os.chown(path, account.pw_uid, account.pw_gid)
        how = (
            "-U",
            "cumulet",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--auth=scram-sha-256",
            f"--pwfile={directory / 'password'}",
        )
        run([*as_account("postgres"), programs / "initdb", "-D", directory / "data", *how], timeout=SECONDS)
        with (directory / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"{'hostssl' if authority else 'host'} all all {address}/24 scram-sha-256\n")
        self.url = f"postgresql+psycopg://cumulet:{password}@{address}:{port}/postgres"
        command = postgres_command(directory, address, port, durable=durable)
        if authority is not None:
            self.url += f"?sslmode=verify-full&sslrootcert={quote(str(directory))}/tls/ca-cert.pem"
            command += _tls(directory / "tls", address, authority, account)
        ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", address, "-p", str(port)]
        super().__init__(directory, command, os.environ, lambda: run(ready, check=False).returncode == 0)


def postgres_programs() -> Path:
    """The directory that has them; raises `Failure` where there is none."""
    return _newest(Path("/usr/lib/postgresql"), "bin/postgres").parent


def postgres_command(directory: Path, address: str, port: int, *, durable: bool) -> list[str | Path]:
    """What serves the cluster in `data` below the directory."""
    place = ["-p", str(port), "-c", f"listen_addresses={address}", "-c", f"unix_socket_directories={directory}"]
    command = [*as_account("postgres"), postgres_programs() / "postgres", "-D", directory / "data", *place, *_SETTINGS]
    return command if durable else [*command, *_QUICK]


def _tls(directory: Path, address: str, authority: Authority, account: pwd.struct_passwd) -> list[str]:
    """The words that have PostgreSQL speak TLS."""
    authority.certify(directory, address, ["server"])
    os.chown(directory / "server-key.pem", account.pw_uid, account.pw_gid)
    names = {"ssl_cert_file": "server-cert.pem", "ssl_key_file": "server-key.pem"}
    return ["-c", "ssl=on", *(word for key, name in names.items() for word in ("-c", f"{key}={directory / name}"))]


class MariaDB(Server):
    """MariaDB at an address; `url` is that of its administrator, `cumulet`, who reaches it from there."""

    def __init__(self, directory: Path, address: str, port: int = 3306, *, durable: bool = False) -> None:
        directory.mkdir()
        account = pwd.getpwnam("mysql")
        os.chown(directory, account.pw_uid, account.pw_gid)
        inside = as_account("mysql")
        place = [f"--datadir={directory / 'data'}", f"--tmpdir={directory}"]
        place += [] if durable else ["--innodb-flush-method=nosync", "--skip-sync-frm"]
        run([*inside, "mariadb-install-db", "--no-defaults", "--skip-test-db", *place], timeout=SECONDS)
        password = secrets.token_hex(16)
        (directory / "first.sql").write_text(
            f"CREATE USER IF NOT EXISTS cumulet@'{address}' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON *.* TO cumulet@'{address}' WITH GRANT OPTION;\nCREATE DATABASE IF NOT EXISTS cumulet;\n"
        )
        self.url = f"mariadb+pymysql://cumulet:{password}@{address}:{port}/cumulet"
        settings = [f"--bind-address={address}", f"--port={port}", f"--socket={directory / 'socket'}"]
        settings += [f"--init-file={directory / 'first.sql'}", "--skip-name-resolve", "--max-connections=200"]
        # 2: written to the system at each commit, so that it is there after a kill; not to the disk
        settings += [f"--innodb-flush-log-at-trx-commit={1 if durable else 2}"]
        settings += ["--innodb-buffer-pool-size=64M", "--skip-log-bin"]
        command = [*inside, "mariadbd", "--no-defaults", *place, *settings]
        super().__init__(directory, command, os.environ, lambda: listens(address, port))


class RabbitMQ(Server):
    """RabbitMQ at an address, by TLS where there is an authority; its management is at the loopback."""

    def __init__(self, directory: Path, address: str, authority: Authority | None = None) -> None:
        directory.mkdir()
        self.place = f"{address}:{5672 if authority is None else 5671}"
        self.management = f"http://{ADMINISTRATOR}@127.0.0.1:15672"
        (directory / "plugins").write_text("[rabbitmq_management].\n")
        listeners = f"listeners.tcp.1 = {self.place}\n"
        if authority is not None:
            authority.certify(directory / "tls", address, ["server"])
            files = {"cacertfile": "ca-cert.pem", "certfile": "server-cert.pem", "keyfile": "server-key.pem"}
            listeners = f"listeners.tcp = none\nlisteners.ssl.1 = {self.place}\n"
            listeners += "".join(f"ssl_options.{key} = {directory}/tls/{name}\n" for key, name in files.items())
        management = "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 15672\n"
        (directory / "rabbitmq.conf").write_text(listeners + management)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "RABBITMQ_NODENAME": "cumulet@localhost",
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "no-such-file"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        super().__init__(directory, [RABBITMQ], environ, _management_answers)


def listens(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=5):
        return True
    return False


def _management_answers() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", 15672, timeout=30)
    try:
        login = base64.b64encode(ADMINISTRATOR.encode()).decode()
        connection.request("GET", "/api/overview", headers={"Authorization": f"Basic {login}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def as_account(account: str) -> list[str | Path]:
    """The words before a command of a `Server` that is to run as somebody else, and still end with it."""
    found = pwd.getpwnam(account)
    # a change of user clears the signal that --kill-child has asked for
    become = [f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups", "--pdeathsig=KILL"]
    return ["setpriv", *become, "--"]


def _newest(directory: Path, program: str) -> Path:
    """Debian has a server's programs in a directory of each version."""
    found = sorted(directory.glob(f"*/{program}"), key=lambda path: int(path.relative_to(directory).parts[0]))
    if not found:
        raise Failure(f"there is no {program} in {directory}: apt-get install postgresql")
    return found[-1]


def missing() -> list[str]:
    """The packages that a laboratory needs and that are not here."""
    there = {
        "postgresql": bool(list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))),
        "rabbitmq-server": shutil.which(RABBITMQ) is not None,
    }
    return [name for name, found in there.items() if not found]
