"""The roles in processes of their own, with RabbitMQ between them, and what a user of such a cloud does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.rabbitmq import ADMINISTRATOR, VirtualHost

from cumulet.demo.process import client

CUMULET = [sys.executable, "-m", "cumulet"]


def until(holds: Callable[[], Any], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


class Apart:
    """A controller with api and scheduler, and hosts with fake drivers, each a process over a directory of its own."""

    def __init__(self, directory: Path, vhost: VirtualHost) -> None:
        self.directory = directory
        self.broker = f"127.0.0.1:{vhost.rabbitmq.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.sources: dict[str, Path] = {}
        """By name: where the program is, if it is another one than this."""
        (directory / "c1.toml").write_text(
            f'host_name = "c1"\nroles = ["api", "scheduler"]\nstate_dir = "{directory}/c1"\nlisten = "127.0.0.1:0"\n'
            f'bus_url = "{vhost.url}"\nimage_dir = "{directory}/images"\ndrivers = "fake"\ntest = true\n'
            f'bus_admin_url = "http://{ADMINISTRATOR}@127.0.0.1:{vhost.rabbitmq.management_port}"\n'
            "vcpu_overcommit = 100.0\n"
        )

    def command(self, *words: str, status: int = 0, of: str = "") -> str:
        """`of`: the program of this process."""
        done = subprocess.run([*CUMULET, *words], env=self._environ(of), capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stderr + done.stdout
        return done.stdout + done.stderr

    def ask(self, *words: str) -> str:
        """A command of the controller."""
        return self.command(*words, "--config", str(self.directory / "c1.toml"), of="c1")

    def _environ(self, name: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.sources[name])} if name in self.sources else dict(os.environ)

    def start(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            words = [*CUMULET, "up", "--config", str(self.directory / f"{name}.toml")]
            self.processes[name] = subprocess.Popen(words, env=self._environ(name), stdout=log, stderr=log)

    def start_controller(self) -> None:
        (self.directory / "c1" / "endpoint").unlink(missing_ok=True)
        self.start("c1")
        until((self.directory / "c1" / "endpoint").exists, "the api to answer")

    @property
    def url(self) -> str:
        return (self.directory / "c1" / "endpoint").read_text().strip()

    def ticket(self, name: str) -> str:
        said = self.ask("host", "add", name, "--url", self.url, "--bus", self.broker)
        found = re.search(r"cumulet join \S+ (\S+)", said)
        assert found is not None
        return found[1]

    def join(self, name: str) -> None:
        place = ["--config", str(self.directory / f"{name}.toml"), "--state-dir", str(self.directory / name)]
        own = ["--set", "drivers=fake", "--set", "test=true"]
        self.command("join", self.url, self.ticket(name), *place, *own, "--no-serve", of=name)
        self.start(name)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def stop(self) -> None:
        """End all of them; one that does not end says in its log where its threads are, and is killed."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        stuck = [name for name, process in self.processes.items() if not _ends(process)]
        for name in stuck:
            self.processes[name].send_signal(signal.SIGUSR1)
            time.sleep(1)
            self.kill(name)
        logs = "\n".join(f"{name}: {(self.directory / f'{name}.log').read_text()[-20_000:]}" for name in stuck)
        assert not stuck, f"{stuck} did not end\n{logs}"

    def services(self) -> dict[str, bool]:
        """Whether each is alive, by ROLE.HOST."""
        return {
            f"{one['binary']}.{one['host']}": one["alive"] for one in json.loads(self.ask("service", "list", "--json"))
        }

    def ec2(self) -> Any:
        return client(json.loads(self.ask("env", "--json")))

    def guests(self, name: str) -> set[str]:
        """What runs on a host."""
        return {path.stem for path in (self.directory / name / "world" / "domain").glob("i-*.json")}


def _ends(process: subprocess.Popen[bytes], seconds: float = 30) -> bool:
    """By itself: with 1 it has cut off what did not (`cumulet.cli.up`)."""
    try:
        return process.wait(seconds) != 1
    except subprocess.TimeoutExpired:
        return False


def launch(ec2: Any, count: int) -> list[str]:
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=image, InstanceType="t2.nano", MinCount=count, MaxCount=count)
    return [one["InstanceId"] for one in made["Instances"]]


def await_state(ec2: Any, ids: list[str], state: str, seconds: float = 60) -> None:
    def told() -> list[tuple[str, str]]:
        found = ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return [
            (one["State"]["Name"], one.get("StateReason", {}).get("Message", ""))
            for reservation in found
            for one in reservation["Instances"]
        ]

    end = time.monotonic() + seconds
    while {name for name, _ in told()} != {state}:
        assert time.monotonic() < end, f"waited {seconds} s for {ids} to be {state}: {told()}"
        time.sleep(0.1)
