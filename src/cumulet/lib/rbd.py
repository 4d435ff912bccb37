"""Ceph's commands (rbd(8), ceph(8)) on one pool, and of it only what has names of ours: all else is somebody else's.

A snapshot of Ceph's is called a moment here, as one of EC2's is an image of its own in the pool. Of moments images are
cloned (version 2): a moment, or an image, that others stand on can be removed, and goes when the last of these does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

from cumulet.lib.command import run as run_command
from cumulet.lib.errors import Failure

_SECONDS = 15.0
_REMOVING_SECONDS = 86400.0
_SHUT_OUT_SECONDS = 30 * 86400
"""For so long a client that was shut out stays so: by then its host has been started anew."""
_NO_SUCH, _BUSY, _THERE = 2, 16, 17
_BARRED, _HOLDER, _LOCKED = "cumulet.barred.", "cumulet.holder", "cumulet.luks"
_LOGGED = re.compile(r"\d{4}-\d\d-\d\dT")
_ALWAYS = ["--rbd-default-features=61", "--rbd-default-clone-format=2", "--rbd-move-parent-to-trash-on-remove=true"]
"""Whatever Ceph's own settings say. 61: layering, exclusive-lock, object-map, fast-diff, deep-flatten."""
Run = Callable[..., "CompletedProcess[str]"]
"""As `lib.command.run`."""


class Room(NamedTuple):
    """Bytes that can be kept in a pool, each as often as the pool keeps it, and how many of them are free."""

    size: int
    free: int


class Pool:
    """A pool, as the client `user` sees it; without a `keyring` its key is where Ceph looks for it."""

    zeroed = True
    """What is new in it reads as zeroes."""

    def __init__(
        self, name: str, user: str, settings: Path, keyring: Path | None = None, *, run: Run = run_command
    ) -> None:
        self.name = name
        self.user = user
        self.settings = settings
        self.keyring = keyring
        self._run = run

    def volumes(self) -> list[str]:
        """The names of all images."""
        found: list[str] = json.loads(self._rbd("ls", "--format", "json").stdout)
        return found

    def size(self, name: str) -> int | None:
        """Bytes of an image; None: there is no such."""
        done = self._rbd("info", "--format", "json", name, fine=(_NO_SUCH,))
        return int(json.loads(done.stdout)["size"]) if done.returncode == 0 else None

    def parent(self, name: str) -> str | None:
        """What it stands on, deleted or not; None: nothing."""
        found = json.loads(self._rbd("info", "--format", "json", name).stdout).get("parent")
        return str(found["image"]) if found is not None else None

    def create(self, name: str, size: int) -> None:
        """An empty one; one that is there is left as it is."""
        self._rbd("create", "--size", f"{size}B", name, fine=(_THERE,))

    def extend(self, name: str, size: int) -> None:
        """Have it as large as that at least, in use or not."""
        known = self.size(name)
        if known is None or known < size:
            self._rbd("resize", "--no-progress", "--size", f"{size}B", name)

    def rename(self, name: str, to: str) -> bool:
        """Give it another name; false where that is taken."""
        return self._rbd("rename", name, to, fine=(_THERE,)).returncode == 0

    def keep(self, name: str, moment: str) -> None:
        """What it holds now, by the name of this moment; one that is kept is left as it is."""
        self._rbd("snap", "create", "--no-progress", f"{name}@{moment}", fine=(_THERE,))

    def moments(self, name: str) -> list[str]:
        """Those that are kept of it; not those that were let go, on which something stands still."""
        done = self._rbd("snap", "ls", "--format", "json", name, fine=(_NO_SUCH,))
        return [one["name"] for one in json.loads(done.stdout)] if done.returncode == 0 else []

    def let_go(self, name: str, moment: str) -> None:
        """A moment is kept no more than for what stands on it; one that is not there succeeds."""
        self._rbd("snap", "rm", "--no-progress", f"{name}@{moment}", fine=(_NO_SUCH,))

    def clone(self, of: str, moment: str, name: str) -> None:
        """A new one that begins as that moment; one that is there is left as it is."""
        self._rbd("clone", f"{of}@{moment}", f"{self.name}/{name}", fine=(_THERE,))

    def remove(self, name: str) -> bool:
        """It is gone, with all that it alone stood on; false while somebody uses it. It takes as long as it takes."""
        done = self._rbd("rm", "--no-progress", name, fine=(_NO_SUCH, _BUSY), seconds=_REMOVING_SECONDS)
        return done.returncode != _BUSY

    def users(self, name: str) -> list[str]:
        """The addresses of the clients that have it open to be written."""
        done = self._rbd("status", "--format", "json", name, fine=(_NO_SUCH,))
        if done.returncode != 0:
            return []
        found = json.loads(done.stdout).get("watchers", [])
        return [one["address"] for one in (found.values() if isinstance(found, dict) else found)]

    def shut_out(self, name: str, of: str | None = None) -> list[str]:
        """Whoever has it open now reads and writes no more, wherever and whatever that is; gives those addresses.

        With `of`, only while nobody was said to have it since (`hold`).
        """
        found = self.users(name)
        if found and of is not None and self._meta(name, _HOLDER) not in (None, of):
            return []
        for address in found:
            self._ceph("osd", "blocklist", "add", address, str(_SHUT_OUT_SECONDS))
        return found

    def hold(self, name: str, whom: str) -> None:
        """Write down with the image who is about to open it. That waits for whoever has it open, unless shut out."""
        self._rbd("image-meta", "set", name, _HOLDER, whom)

    def bar(self, name: str, whom: str) -> None:
        """Write down with the image that who goes by this name is not to open it any more."""
        self._rbd("image-meta", "set", name, _BARRED + whom, "yes")

    def bars(self, name: str, whom: str) -> bool:
        """Whether that is written down."""
        return self._meta(name, _BARRED + whom) is not None

    def lock(self, name: str) -> None:
        """Write down with the image that it is encrypted."""
        self._rbd("image-meta", "set", name, _LOCKED, "yes")

    def is_locked(self, name: str) -> bool:
        """Whether that is written down."""
        return self._meta(name, _LOCKED) is not None

    def _meta(self, name: str, key: str) -> str | None:
        done = self._rbd("image-meta", "get", name, key, fine=(_NO_SUCH,))
        return done.stdout.strip() if done.returncode == 0 else None

    def room(self) -> Room:
        """That of the pool; raises `Failure` where it is not reached, with what would be right."""
        pools = json.loads(self._ceph("df", "--format", "json"))["pools"]
        found = next((one["stats"] for one in pools if one["name"] == self.name), None)
        if found is None:
            self._number()
            raise Failure(f"Ceph does not say yet what room there is in the pool {self.name}")
        return Room(found["stored"] + found["max_avail"], found["max_avail"])

    def identity(self) -> str:
        """By which hosts know that they have the same pool: the cluster's id and the pool's."""
        return f"{self._ceph('fsid').strip()}/{self._number()}"

    def _number(self) -> int:
        pools = json.loads(self._ceph("osd", "lspools", "--format", "json"))
        number: int | None = next((one["poolnum"] for one in pools if one["poolname"] == self.name), None)
        if number is None:
            raise Failure(self._no_pool())
        return number

    def device(self, name: str) -> str:
        """As QEMU's tools name it."""
        words = [f"id={self.user}", f"conf={_escaped(self.settings)}"]
        words += [f"keyring={_escaped(self.keyring)}"] if self.keyring else []
        return ":".join([f"rbd:{self.name}/{name}", *words])

    def node(self, name: str, secret: str = "pool") -> dict[str, Any]:
        """The same, as QEMU's block options, which name the `secret` that it must be told."""
        where = {"driver": "rbd", "pool": self.name, "image": name, "conf": str(self.settings), "user": self.user}
        return {**where, "key-secret": secret, "auth-client-required": ["cephx"]}

    def secret(self) -> str:
        """What that secret is."""
        return self.key()

    def key(self) -> str:
        """The key of the user, as the keyring has it; raises `Failure`."""
        places = [self.keyring] if self.keyring else _keyrings(self.settings, self.user)
        for place in places:
            try:
                text = place.read_text()
            except FileNotFoundError:
                continue
            except OSError as e:
                raise Failure(f"reading {place}: {e.strerror}") from e
            section = re.search(rf"^\[client\.{re.escape(self.user)}\]\s*$([^\[]*)", text, re.M)
            found = re.search(r"^\s*key\s*=\s*(\S+)", section[1], re.M) if section else None
            if found:
                return found[1]
        raise Failure(f"there is no key of client.{self.user} in {' or '.join(map(str, places))}")

    def _no_pool(self) -> str:
        make = f"`ceph osd pool create {self.name}` and `rbd pool init {self.name}` make it"
        return f"there is no pool {self.name} in Ceph: {make}"

    def _as_user(self) -> list[str]:
        ring = ["--keyring", str(self.keyring)] if self.keyring else []
        return ["--conf", str(self.settings), "--id", self.user, *ring]

    def _rbd(self, *words: str, fine: tuple[int, ...] = (), seconds: float = _SECONDS) -> CompletedProcess[str]:
        command = ["rbd", *self._as_user(), "--pool", self.name, *_ALWAYS, *words]
        done = self._run_of_ceph(command, seconds)
        said = _plain(done)
        if "error opening pool" in said:
            raise Failure(self._no_pool())
        if done.returncode not in (0, *fine):
            raise Failure(f"rbd {' '.join(words)} in the pool {self.name}: exit status {done.returncode}: {said}")
        return done

    def _ceph(self, *words: str) -> str:
        done = self._run_of_ceph(["ceph", *self._as_user(), *words], _SECONDS)
        if done.returncode != 0:
            raise Failure(
                f"ceph {' '.join(words)} as client.{self.user}: exit status {done.returncode}: {_plain(done)}"
            )
        return str(done.stdout)

    def _run_of_ceph(self, command: list[str], seconds: float) -> CompletedProcess[str]:
        try:
            return self._run(command, timeout=seconds, check=False)
        except Failure as e:
            if "is not installed" in str(e):
                text = f"volumes in the pool {self.name}: {command[0]} is not installed: apt-get install ceph-common"
                raise Failure(text) from e
            raise


def _plain(done: CompletedProcess[str]) -> str:
    """What a command has said at its end, without what Ceph's libraries have logged on the way, if there is more."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return "; ".join([line for line in lines if not _LOGGED.match(line)] or lines[-1:])


def _escaped(path: Path | None) -> str:
    """As QEMU has it in the names of images."""
    return re.sub(r"([\\:@=])", r"\\\1", str(path))


def _keyrings(settings: Path, user: str) -> list[Path]:
    """Where Ceph looks for a user's key by itself, in this order."""
    names = [f"ceph.client.{user}.keyring", "ceph.keyring", "keyring", "keyring.bin"]
    return [settings.parent / name for name in names]
