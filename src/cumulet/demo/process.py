"""`cumulet up` as a process, in a private host with a namespace that plays the outside world."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cumulet.lib.command import run
from cumulet.lib.errors import Failure

SECONDS = 120.0
"""In which a command ends."""
WORLD = "world"
WORLD_ADDRESS = "192.0.2.2"
POOL = "198.51.100.0/24"
_LINKS = f"""\
link add pub0 type veth peer name eth0 netns {WORLD}
addr add 192.0.2.1/24 dev pub0
link set pub0 up
route add default via {WORLD_ADDRESS} dev pub0
"""


def make_world() -> None:
    """A network namespace that reaches the pool of public addresses through `pub0`, as a user's network would."""
    run(["ip", "netns", "add", WORLD])
    run(["ip", "-batch", "-"], stdin=_LINKS)
    inside = [
        f"addr add {WORLD_ADDRESS}/24 dev eth0",
        "link set lo up",
        "link set eth0 up",
        f"route add {POOL} dev eth0",
    ]
    run(["ip", "-n", WORLD, "-batch", "-"], stdin="\n".join(inside) + "\n")


def until(holds: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait until `holds()`; raises `Failure` naming `what` after so many seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise Failure(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


class CloudProcess:
    """One state directory, and the process that serves it while it is up."""

    def __init__(self, state: Path, **settings: str) -> None:
        self.state = state
        self.log = state / "log"
        named = {"public_pool": POOL, "public_interface": "pub0", "listen": "127.0.0.1:8773", **settings}
        self._environ = {**os.environ, **{f"CUMULET_{key.upper()}": value for key, value in named.items()}}
        self._process: subprocess.Popen[bytes] | None = None
        state.mkdir(parents=True)
        # dnsmasq, which is not root, must come by here
        state.chmod(0o755)

    def start(self) -> None:
        """Raises `Failure` with the end of its log when it does not answer within 30 s."""
        endpoint = self.state / "endpoint"
        endpoint.unlink(missing_ok=True)
        with self.log.open("ab") as output:
            command = [sys.executable, "-m", "cumulet", "up", "--state-dir", str(self.state)]
            self._process = subprocess.Popen(command, env=self._environ, stdout=output, stderr=output)
        process = self._process
        until(lambda: endpoint.exists() or process.poll() is not None, 30, "the cloud to answer")
        if process.poll() is not None:
            raise Failure(f"cumulet up ended with {process.returncode}: {self.log.read_text()[-2000:]}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, by SIGTERM or as `number` says; raises `Failure` with its log where something in it was cut off."""
        if self._process is not None:
            self._process.send_signal(number)
            status = self._process.wait(timeout=30)
            self._process = None
            if status == 1:
                raise Failure(f"the cloud did not end by itself: {self.log.read_text()[-20_000:]}")

    def command(self, *arguments: str) -> str:
        """What `cumulet ARGUMENTS` says for this cloud; raises `Failure` when it fails."""
        return self.attempt(*arguments, check=True).stdout

    def attempt(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """How `cumulet ARGUMENTS` ends for this cloud."""
        words = [sys.executable, "-X", "faulthandler", "-m", "cumulet", *arguments, "--state-dir", str(self.state)]
        command = ["env", *self._settings(), *words]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
        try:
            said, complained = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # it says where it is (Python's faulthandler)
            said, complained = process.communicate()
            text = f"{' '.join(command)}: no end after {SECONDS:g} s: {said}{complained}"
            raise Failure(f"{text}; what the cloud does: {self._stacks()}") from None
        done = subprocess.CompletedProcess(command, process.returncode, said, complained)
        if check and done.returncode != 0:
            raise Failure(f"{' '.join(command)}: exit status {done.returncode}: {(complained or said).strip()}")
        return done

    def _stacks(self) -> str:
        """Where each of its threads is, at the end of its log."""
        if self._process is not None:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(1)
        return self.log.read_text()[-20_000:]

    def take_in_tiny(self, image: Path) -> None:
        """The tiny image, built before at `image`, is taken in."""
        shutil.copytree(image, self.state / "tiny", dirs_exist_ok=True)
        self.command("image", "build-tiny")

    def environ(self, account: str | None = None) -> dict[str, str]:
        """What `cumulet env` exports."""
        exports = self.command("env", *(["--account", account] if account else []))
        lines = [line.removeprefix("export ") for line in exports.splitlines() if line.startswith("export ")]
        return {name: value.strip("'\"") for name, _, value in (line.partition("=") for line in lines)}

    def _settings(self) -> list[str]:
        return [f"{name}={value}" for name, value in self._environ.items() if name.startswith("CUMULET_")]


def client(environ: dict[str, str], service: str = "ec2") -> Any:
    """boto3's client for what `environ` exports."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name=environ["AWS_DEFAULT_REGION"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )


def in_world(*command: str, timeout: float = 30) -> str:
    """What a command says that runs in the outside world; raises `Failure`."""
    return run(["ip", "netns", "exec", WORLD, *command], timeout=timeout).stdout


def ssh(key: Path, address: str, command: str, user: str = "root", timeout: float = 30) -> str:
    """What a command says in the guest at a public address, over SSH from the outside world; raises `Failure`."""
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes"
    options += " -o ConnectTimeout=5 -o ServerAliveInterval=5"
    return in_world("ssh", *options.split(), "-i", str(key), f"{user}@{address}", command, timeout=timeout)
