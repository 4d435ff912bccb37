"""Outside commands: an argument list, a time-out, and a failure that says what was run and what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from cumulet.lib.errors import Failure


def run(
    arguments: Sequence[str | Path],
    *,
    stdin: str | bytes | None = None,
    timeout: float = 30.0,
    check: bool = True,
    descriptors: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and give what it said. It has these `descriptors` of ours by their numbers.

    Raises `Failure` with the command, its exit status and its output when it fails (unless `check` is false),
    takes longer than `timeout` seconds, or is not installed.
    """
    command = [str(argument) for argument in arguments]
    text = stdin.decode() if isinstance(stdin, bytes) else stdin
    try:
        done = subprocess.run(
            command,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            pass_fds=descriptors,
        )
    except FileNotFoundError as e:
        raise Failure(f"running {command[0]}: it is not installed") from e
    except subprocess.TimeoutExpired as e:
        raise Failure(f"{' '.join(command)}: no end after {timeout:g} s{_so_far(e)}") from e
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(command)}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


def _so_far(e: subprocess.TimeoutExpired) -> str:
    said = (e.stderr or e.stdout or b"").decode(errors="replace").strip()
    return f": {said[-2000:]}" if said else ""
