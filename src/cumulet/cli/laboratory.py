"""`cumulet lab`: a cloud of many hosts on this one machine, to try it; nothing is left of it afterwards."""

from __future__ import annotations

import json as jsons
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from cumulet.cli.options import as_json, load, which_cloud
from cumulet.cli.output import Bar, progress, say
from cumulet.lib.errors import Failure

SECONDS = 300.0


@click.group()
def lab() -> None:
    """A cloud of many hosts on this machine, to try."""


@lab.command(epilog="Example: cumulet lab up --hosts 3")
@click.option("--hosts", type=click.IntRange(1, 50), default=3, show_default=True, help="How many run guests.")
@click.option("--listen", default="127.0.0.1:8790", show_default=True, help="Where its AWS endpoint is for you.")
@click.option("--set", "extra", multiple=True, metavar="KEY=VALUE", help="A setting of all its hosts.")
@as_json
@which_cloud
def up(hosts: int, listen: str, extra: tuple[str, ...], state_dir: Path | None, file: Path | None, json: bool) -> None:
    """Start a laboratory: hosts in namespaces, RabbitMQ, PostgreSQL, a controller."""
    from cumulet.lab.servers import missing

    directory = _directory(state_dir, file)
    if lacking := missing():
        raise Failure(f"a laboratory needs {' and '.join(lacking)}: apt-get install {' '.join(lacking)}")
    if _pid(directory) is not None:
        raise Failure(f"a laboratory runs in {directory} already: `cumulet lab down` ends it")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o755)
    words = ["--directory", str(directory), "--hosts", str(hosts), "--listen", listen]
    words += [word for one in extra for word in ("--set", one)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cumulet.lab", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    (directory / "pid").write_text(str(process.pid))
    (directory / "url").write_text(f"http://{listen}")
    with progress("starting") as bar:
        _await_ready(directory, process, bar)
    text = f'The laboratory is ready at http://{listen} - in your shell: eval "$(cumulet lab env)"'
    say({"url": f"http://{listen}", "pid": process.pid}, json, text)


@lab.command(epilog="Example: cumulet lab down")
@as_json
@which_cloud
def down(state_dir: Path | None, file: Path | None, json: bool) -> None:
    """End the laboratory, its guests too, and leave nothing of it."""
    directory = _directory(state_dir, file)
    pid = _pid(directory)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + SECONDS
        with progress("waiting for its end"):
            while _pid(directory) is not None:
                if time.monotonic() > deadline:
                    raise Failure(f"the laboratory (pid {pid}) has not ended after {SECONDS:g} s")
                time.sleep(0.1)
    shutil.rmtree(directory, ignore_errors=True)
    say({"ended": pid}, json, "nothing is left of the laboratory")


@lab.command(epilog='Example: eval "$(cumulet lab env)"')
@as_json
@which_cloud
def env(state_dir: Path | None, file: Path | None, json: bool) -> None:
    """Print export lines that make the aws command and boto3 use it."""
    directory = _directory(state_dir, file)
    if _pid(directory) is None or not (directory / "env.json").exists():
        raise Failure(f"no laboratory runs in {directory}: `cumulet lab up` starts one")
    values = {**jsons.loads((directory / "env.json").read_text()), "AWS_ENDPOINT_URL": (directory / "url").read_text()}
    say(values, json, "\n".join(f"export {key}={shlex.quote(value)}" for key, value in values.items()))


def _directory(state_dir: Path | None, file: Path | None) -> Path:
    """Below the state directory, so that several people can have one each."""
    return load(file, state_dir=state_dir)[0].state_dir / "lab"


def _pid(directory: Path) -> int | None:
    """The laboratory's process, where it is alive and the pid is not somebody else's by now."""
    try:
        pid = int((directory / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(directory).encode() in command.split(b"\0") else None


def _await_ready(directory: Path, process: subprocess.Popen[bytes], bar: Bar) -> None:
    deadline = time.monotonic() + SECONDS
    while not (directory / "env.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = (directory / "step").read_text() if (directory / "step").exists() else ""
            said += (directory / "log").read_text(errors="replace")[-2000:]
            process.terminate()
            raise Failure(f"the laboratory does not start: {said.strip()}")
        if (directory / "step").exists():
            bar.say((directory / "step").read_text())
        time.sleep(0.1)
