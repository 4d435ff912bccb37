"""A Ceph of three OSDs on one address, from Debian's packages, for one test, with which all its processes end.

    with cluster(directory) as pool: ...

It keeps all in memory, and asks for keys as a real one does. It is to be started in a network namespace of its own
(`pytest.mark.private_host`), as its ports are always the same.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.libvirtd import bounded

from cumulet.lib import librados
from cumulet.lib.command import run
from cumulet.lib.errors import Failure
from cumulet.lib.rbd import Pool

PACKAGES = "ceph-mon ceph-mgr ceph-osd ceph-common"
OSDS = range(3)
START_SECONDS = 60.0
_SETTINGS = """\
[global]
fsid = {fsid}
mon host = {mon}
mon initial members = a
public addr = {address}
cluster addr = {address}
run dir = {directory}
admin socket = {directory}/$name.$pid.asok
keyring = {directory}/$name.keyring
pid file =
crash dir = {directory}/crash
log to stderr = false
log file =
mon cluster log file =
mon data = {directory}/mon
mgr data = {directory}/mgr
osd data = {directory}/$name
osd objectstore = memstore
memstore device bytes = 17179869184
osd memory target = 939524096
osd pool default size = 3
osd pool default min size = 2
osd crush chooseleaf type = 0
mgr initial modules =
mon allow pool delete = true
mon data avail crit = 1
auth allow insecure global id reclaim = false
"""
ON_FILES = """
[osd]
osd objectstore = bluestore
bluestore block size = 34359738368
[mon]
mon osd reporter subtree level = osd
"""
"""Settings: it keeps all on files, through deaths too; OSDs of one host may tell that another one of it is silent."""
_CAPS = {
    "client.admin": {"mon": "allow *", "mgr": "allow *", "osd": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *"},
    **{f"osd.{n}": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"} for n in OSDS},
    "client.cumulet": {"mon": "profile rbd", "mgr": "profile rbd pool=volumes", "osd": "profile rbd pool=volumes"},
}


def is_installed() -> bool:
    """Whether there are the commands of all of `PACKAGES`."""
    return all(shutil.which(name) for name in ("ceph-mon", "ceph-mgr", "ceph-osd", "rbd"))


class Cluster:
    """One that runs, and its pool `volumes`, as client.cumulet sees it."""

    def __init__(self, directory: Path, address: str, settings: str = "") -> None:
        self.directory = directory
        self.address = address
        self.more = settings
        self.settings = directory / "ceph.conf"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pool = Pool("volumes", "cumulet", self.settings, directory / "client.cumulet.keyring")

    def ceph(self, *words: str) -> str:
        """What it says to its administrator."""
        return run(["ceph", "--conf", self.settings, *words], timeout=START_SECONDS).stdout

    def object_pool(self, name: str, *, erasure: bool = False) -> librados.Pool:
        """A new pool, whose objects are on all three OSDs, or in two parts and a third to make either of them anew.

        Of those pools that were made by this, client.cumulet may use the newest one only.
        """
        words = [name, "8", "8"]
        if erasure:
            profile = ["k=2", "m=1", "crush-failure-domain=osd", "--force"]
            self.ceph("osd", "erasure-code-profile", "set", "two-and-one", *profile)
            words += ["erasure", "two-and-one"]
        self.ceph("osd", "pool", "create", *words)
        self.ceph("osd", "pool", "application", "enable", name, "cumulet")
        caps = {**_CAPS["client.cumulet"], "osd": f"profile rbd pool=volumes, allow rw pool={name}"}
        self.ceph("auth", "caps", "client.cumulet", *(word for one in caps.items() for word in one))
        return librados.Pool(name, "cumulet", self.settings, self.pool.keyring)

    def start(self) -> None:
        fsid = str(uuid.uuid4())
        where, mon = {"address": self.address, "directory": self.directory}, f"[v2:{self.address}:13300]"
        self.settings.write_text(_SETTINGS.format(fsid=fsid, mon=mon, **where) + self.more)
        self._make_keys()
        map = self.directory / "monmap"
        run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", mon, map])
        keys = self.directory / "mon.a.keyring"
        run(["ceph-mon", "--conf", self.settings, "--mkfs", "-i", "a", "--monmap", map, "--keyring", keys])
        self._serve("ceph-mon", "a")
        self._serve("ceph-mgr", "x")
        for number in OSDS:
            self._start_osd(str(number))
        self.ceph("osd", "pool", "create", "volumes", "8", "8")
        self.ceph("osd", "pool", "application", "enable", "volumes", "rbd")
        for _ in bounded(START_SECONDS):
            if json.loads(self.ceph("osd", "stat", "--format", "json"))["num_up_osds"] == len(OSDS):
                break

    def signal_osd(self, number: int, signal: int) -> None:
        """It gets this signal, by which it may die."""
        self.processes[number - len(OSDS)].send_signal(signal)

    def start_osd_again(self, number: int) -> None:
        """One that has died, with what it kept; not with a memstore."""
        self.processes[number - len(OSDS)].wait()
        self._serve("ceph-osd", str(number))
        again = self.processes.pop()
        self.processes[number - len(OSDS)] = again

    def await_clean(self) -> None:
        """Until all is where it belongs, as often as it should be."""
        for _ in bounded(START_SECONDS, 0.2):
            stat = json.loads(self.ceph("status", "--format", "json"))
            states = {one["state_name"] for one in stat["pgmap"]["pgs_by_state"]}
            if stat["osdmap"]["num_up_osds"] == len(OSDS) and states == {"active+clean"}:
                return

    def stop(self) -> None:
        """By force: nothing of it is kept."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def _make_keys(self) -> None:
        ring = self.directory / "mon.a.keyring"
        run(["ceph-authtool", "--create-keyring", ring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"])
        for name, caps in _CAPS.items():
            own = self.directory / f"{name}.keyring"
            words = [word for of, cap in caps.items() for word in ("--cap", of, cap)]
            run(["ceph-authtool", "--create-keyring", own, "--gen-key", "-n", name, *words])
            run(["ceph-authtool", ring, "--import-keyring", own])

    def _start_osd(self, number: str) -> None:
        directory, id = self.directory / f"osd.{number}", str(uuid.uuid4())
        directory.mkdir()
        self.ceph("osd", "new", id, number)
        run(["ceph-osd", "--conf", self.settings, "-i", number, "--mkfs", "--osd-uuid", id])
        self._serve("ceph-osd", number)

    def _serve(self, command: str, id: str) -> None:
        (self.directory / "mgr").mkdir(exist_ok=True)
        with (self.directory / f"{command}.{id}.log").open("wb") as log:
            words = ["setpriv", "--pdeathsig", "KILL", "--", command, "--conf", str(self.settings), "-f", "-i", id]
            self.processes.append(subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL))


@contextmanager
def cluster(directory: Path, address: str = "127.0.0.1", settings: str = "") -> Iterator[Cluster]:
    """One at this address that has just been started, with nothing in its pool, and room.

    `settings`: more sections of its ceph.conf.
    """
    made = Cluster(directory, address, settings)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        made.start()
        for _ in bounded(START_SECONDS):
            with suppress(Failure):  # its manager has not looked yet
                if made.pool.room().free:
                    break
        yield made
    finally:
        made.stop()
