"""The administrator's part of the tutorial, with `nova-manage` as it is printed there."""

from __future__ import annotations

import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

from cumulet.demo.process import until
from cumulet.demo.report import shown, step
from cumulet.lib.command import run
from cumulet.lib.errors import Failure
from cumulet.tutorial.clients import Aws
from cumulet.tutorial.installation import Installation, sourced
from cumulet.tutorial.warm_aws import WarmAws

ROOT_BYTES = 16 << 20
FLOATING = "198.51.100.0/27"


class Administrator:
    """Keeps the zips of credentials below `directory`."""

    def __init__(self, there: Installation, aws: WarmAws, directory: Path) -> None:
        self._there = there
        self._aws = aws
        self._directory = directory

    def make_tables(self) -> None:
        with step("nova-manage db sync, twice"):
            said = [self._there.nova_manage("db", "sync") for _ in range(2)]
        _expect("nothing to do" in said[1], f"the second one says {said[1]}")
        shown(said[0])

    def see_services(self) -> None:
        with step("nova-manage service list: all smile"):
            until(lambda: set(self._services()) == {":-)"}, 30, "all services to be heard")
        shown(self._there.nova_manage("service", "list"))

    def define_networks(self) -> None:
        with step("nova-manage network create private; an overlapping one is refused by name"):
            self._there.nova_manage("network", "create", "private")
            said = self._there.refused("network", "create", "other", "10.0.0.0/24")
        _expect("overlaps 10.0.0.0/26 (private_0)" in said, f"the refusal says {said}")
        shown(self._there.nova_manage("network", "list"))
        with step(f"nova-manage floating create {FLOATING}; an overlapping one is refused by name"):
            self._there.nova_manage("floating", "create", FLOATING)
            said = self._there.refused("floating", "create", "198.51.100.16/28")
        _expect(f"overlaps {FLOATING}" in said, f"the refusal says {said}")
        shown(self._there.nova_manage("floating", "list"))

    def create_user(self, name: str) -> dict[str, str]:
        """The user's own keys, as they were printed; they work at once."""
        with step(f"nova-manage user create {name}: the keys that it prints work at once"):
            said = self._there.nova_manage("user", "create", name)
            lines = [line.removeprefix("export ") for line in said.splitlines()]
            printed = dict(line.split("=", 1) for line in lines)
            own = {**self._client_environ(printed), **printed}
            _expect(len(Aws(self._aws, own).zones()) == 1, "the keys do not work")
        return own

    def create_project(self, project: str, user: str) -> dict[str, str]:
        """What `source novarc` sets for its manager."""
        with step(f"nova-manage project create {project} {user}"):
            self._there.nova_manage("project", "create", project, user)
        with step(f"nova-manage project zipfile {project} {user}; unzip, source novarc, and aws works with no edit"):
            directory = self._directory / project
            directory.mkdir()
            self._there.nova_manage("project", "zipfile", project, user, str(directory / "nova.zip"))
            with zipfile.ZipFile(directory / "nova.zip") as archive:
                archive.extractall(directory)
            environ = sourced(directory / "novarc")
            _expect(Aws(self._aws, environ).instances() == [], "there are instances already")
        return environ

    def give_role(self, user: str, role: str) -> None:
        with step(f"nova-manage role add {user} {role}"):
            self._there.nova_manage("role", "add", user, role)
            _expect(self._there.nova_manage("role", "has", user, role) == "True\n", f"{user} has not the role {role}")

    def publish(self, image: Path, environ: dict[str, str]) -> str:
        """The machine image's id; `environ` is that of the project whose it is."""
        tarball = self._directory / "tiny-uec-amd64.tar.gz"
        with step("cloud-publish-tarball tiny-uec-amd64.tar.gz tiny: kernel, RAM disk and image"):
            _pack(image, tarball)
            words = [sys.executable, "-m", "cumulet", "image", "publish-tarball", str(tarball), "tiny"]
            said = run(
                ["env", "-i", *(f"{name}={value}" for name, value in environ.items()), *words], timeout=60
            ).stdout
            found = dict(part.split("=") for part in said.replace('"', "").strip().split("; "))
        shown(said)
        client = Aws(self._aws, environ)
        with step("until the images are available; euca-modify-image-attribute -l -a all"):
            until(lambda: client.are_available(list(found.values())), 60, "the images to be available")
            for id in found.values():
                client.make_public(id)
        return found["emi"]

    def add_storage(self) -> None:
        """nova-volume on a machine of its own, which has the most room, so that volumes are there."""
        storage = self._there.storage
        with step(f"cumulet host add {storage.name} --roles volume, cumulet join: nova-volume on another host"):
            self._there.join(storage)
            until(lambda: self._services(storage.name) == [":-)"], 60, f"{storage.name} to be heard")

    def see_volumes_by_iscsi(self, volumes: list[str]) -> None:
        """They are on that host, and exported from it, as `--iscsi_helper` says."""
        name = self._there.storage.name
        with step(f"cumulet volume list: both volumes are on {name}, exported to their instances by iSCSI"):
            listed = {one["id"]: one for one in json.loads(self._there.cloud.command("volume", "list", "--json"))}
            for id in volumes:
                _expect(listed[id]["host"] == name, f"{id} is on {listed[id]['host']}")
                _expect(listed[id]["exported"], f"{id} is not exported")
            targets = self._there.storage.targets()
            _expect(len(targets) == len(volumes), f"the targets of {name} are {targets}")

    def see_a_host_die(self) -> None:
        """One that joins for this; its services have an XXX within 15 s, and a smile again by themselves."""
        second = self._there.second
        with step(f"cumulet host add {second.name}, cumulet join: nova-manage service list has it"):
            self._there.join(second)
            until(lambda: self._services(second.name) == [":-)"], 60, f"{second.name} to be heard")
        with step(f"{second.name} dies without a word: XXX"):
            second.kill()
            until(lambda: self._services(second.name) == ["XXX"], 30, f"{second.name} to have an XXX")
        shown(self._there.nova_manage("service", "list"))
        with step(f"{second.name} is started again: :-)"):
            second.start()
            until(lambda: self._services(second.name) == [":-)"], 60, f"{second.name} to be heard again")

    def _services(self, host: str = "") -> list[str]:
        """The smileys, of all hosts or of one."""
        lines = [line.split() for line in self._there.nova_manage("service", "list").splitlines()[1:]]
        return [line[4] for line in lines if host in ("", line[1])]

    def _client_environ(self, printed: dict[str, str]) -> dict[str, str]:
        url = (self._there.cloud.state / "endpoint").read_text().strip()
        found = {"AWS_ENDPOINT_URL": url, "EC2_URL": url, "AWS_DEFAULT_REGION": "us-east-1", "PATH": _path()}
        keys = {"AWS_ACCESS_KEY_ID": printed["EC2_ACCESS_KEY"], "AWS_SECRET_ACCESS_KEY": printed["EC2_SECRET_KEY"]}
        return {**found, **keys, "HOME": str(self._directory)}


def _pack(image: Path, tarball: Path) -> None:
    """As Ubuntu packed its images in 2012. All of the tiny guest is in its RAM disk, so its root disk is empty."""
    root = tarball.with_name("tiny.img")
    root.write_bytes(bytes(ROOT_BYTES))
    with tarfile.open(tarball, "w:gz", compresslevel=1) as archive:
        for file, name in ((image / "kernel", "tiny-vmlinuz"), (image / "initrd", "tiny-initrd"), (root, root.name)):
            archive.add(file, name)


def _path() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failure(otherwise)
