"""Whether a cloud runs for a state directory: a lock on its pid file, its URL, and the region that it is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cumulet.lib.config import Config
from cumulet.lib.errors import Failure


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the state directory's lock, with our pid in its file; raises `Failure` when another process has it."""
    path = state / "cumulet.pid"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"a cloud runs for {state} already (pid {path.read_text().strip()}): see `cumulet status`"
            ) from None
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        endpoint(state).unlink(missing_ok=True)
        yield
        endpoint(state).unlink(missing_ok=True)
        os.ftruncate(file, 0)
    finally:
        os.close(file)


def pid(state: Path) -> int | None:
    """The process that runs the state directory's cloud; None if none does."""
    try:
        file = os.open(state / "cumulet.pid", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(file, 32, 0)
        return int(text) if text.strip() else None
    else:
        return None
    finally:
        os.close(file)


def url(state: Path) -> str | None:
    """Where the running cloud listens; None if none runs, or if it does not listen yet."""
    return _said(state, "endpoint")


def region(state: Path) -> str | None:
    """The running cloud's region, for which its clients have to sign; None as for `url`."""
    return _said(state, "region")


def account(state: Path) -> str | None:
    """The number of the running cloud's first account; None as for `url`."""
    return _said(state, "account")


def would_be_at(config: Config) -> str:
    """Where the configured cloud listens when it runs."""
    host, port = config.address()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _said(state: Path, name: str) -> str | None:
    if pid(state) is None:
        return None
    try:
        return (state / name).read_text().strip()
    except FileNotFoundError:
        return None


def endpoint(state: Path) -> Path:
    """The file with the URL; it is there while the cloud listens."""
    return state / "endpoint"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file whole or not at all."""
    aside = path.with_name(f".{path.name}")
    aside.unlink(missing_ok=True)
    aside.touch(mode=mode)
    aside.write_text(text)
    aside.rename(path)
