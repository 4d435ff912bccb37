"""Ceph's commands on one pool, as far as `cumulet.lib.rbd` gives them: what they do, and what they refuse.

The pool is a directory: a file for the bytes of each image and of each of its snapshots, and `pool.json`. All
commands that were given are in `said`, those clients that were shut out in `shut_out`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cumulet.lib.command import run as real_run
from cumulet.lib.rbd import Pool

ALWAYS = ["--pool", "volumes", "--rbd-default-features=61", "--rbd-default-clone-format=2"]
ALWAYS += ["--rbd-move-parent-to-trash-on-remove=true"]
CLUSTER = "5a1f8a54-65a1-4b0e-8a4c-6a3b1e9ad0f1"


class Refused(Exception):
    """An exit status, and what is said."""


class FakePool(Pool):
    """Its images are files, as far as QEMU is concerned."""

    def __init__(self, fake: FakeRbd) -> None:
        super().__init__("volumes", "cumulet", Path("/etc/ceph/ceph.conf"), run=fake.run)
        self._fake = fake

    def device(self, name: str) -> str:
        return str(self._fake.file(name))

    def node(self, name: str, secret: str = "pool") -> dict[str, Any]:
        return {"driver": "file", "filename": self.device(name)}

    def secret(self) -> str:
        return ""


class FakeRbd:
    """`run` is called in the place of `cumulet.lib.command.run`."""

    def __init__(self, directory: Path, size: int = 64 << 30) -> None:
        self.directory, self.size = directory, size
        self.said: list[list[str]] = []
        self.users: dict[str, list[str]] = {}
        self.shut_out: list[str] = []
        self.keyring: Path | None = None
        self._lock = threading.RLock()
        directory.mkdir(parents=True, exist_ok=True)

    def run(
        self, arguments: Sequence[str | Path], *, timeout: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in arguments]
        with self._lock:
            self.said.append(words)
            who = ["--conf", "/etc/ceph/ceph.conf", "--id", "cumulet"]
            who += ["--keyring", str(self.keyring)] if self.keyring else []
            assert words[1 : 1 + len(who)] == who, words
            words = [words[0], *words[1 + len(who) :]]
            try:
                said = self._ceph(words[1:]) if words[0] == "ceph" else self._rbd(words[1:])
            except Refused as e:
                return subprocess.CompletedProcess(words, e.args[0], "", f"rbd: {e.args[1]}")
            return subprocess.CompletedProcess(words, 0, said or "", "")

    def file(self, name: str) -> Path:
        with self._lock:
            return self.directory / str(self._image(self._read(), name)["id"])

    def trash(self) -> list[str]:
        """What is gone but for what stands on it."""
        with self._lock:
            return sorted(one["name"] for one in self._read().values() if one["trash"])

    def _rbd(self, words: list[str]) -> str | None:
        assert words[: len(ALWAYS)] == ALWAYS, words
        words = words[len(ALWAYS) :]
        two = words[0] in ("snap", "image-meta")
        verb = "_".join(words[: 1 + two]).replace("-", "_")
        parser = argparse.ArgumentParser()
        for option in ("--format", "--size"):
            parser.add_argument(option)
        parser.add_argument("--no-progress", action="store_true")
        parser.add_argument("names", nargs="*")
        given = parser.parse_args(words[1 + two :])
        images = self._read()
        said = getattr(self, f"_{verb}")(images, *given.names, *([int(given.size[:-1])] if given.size else []))
        (self.directory / "pool.json").write_text(json.dumps(images))
        return None if said is None else json.dumps(said)

    def _ceph(self, words: list[str]) -> str | None:
        if words[:3] == ["osd", "blocklist", "add"]:
            self.shut_out.append(words[3])
            self.users = {name: [one for one in them if one != words[3]] for name, them in self.users.items()}
            return None
        if words[0] == "fsid":
            return CLUSTER + "\n"
        if words[:2] == ["osd", "lspools"]:
            return json.dumps([{"poolnum": 3, "poolname": "volumes"}])
        assert words[0] == "df"
        stats = {"stored": 0, "max_avail": self.size}
        return json.dumps({"pools": [{"name": "volumes", "id": 3, "stats": stats}]})

    def _read(self) -> dict[str, Any]:
        file = self.directory / "pool.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def _image(self, images: dict[str, Any], name: str) -> Any:
        found = next((one for one in images.values() if one["name"] == name and not one["trash"]), None)
        if found is None:
            raise Refused(2, f"error opening image {name}: (2) No such file or directory")
        return found

    def _must_be_free(self, images: dict[str, Any], name: str) -> None:
        if any(one["name"] == name and not one["trash"] for one in images.values()):
            raise Refused(17, "create error: (17) File exists")

    def _ls(self, images: dict[str, Any]) -> list[str]:
        return [one["name"] for one in images.values() if not one["trash"]]

    def _info(self, images: dict[str, Any], name: str) -> dict[str, Any]:
        image = self._image(images, name)
        parent = {"parent": {"image": images[image["parent"][0]]["name"]}} if image["parent"] else {}
        return {"name": name, "size": image["size"], **parent}

    def _create(self, images: dict[str, Any], name: str, size: int) -> None:
        self._must_be_free(images, name)
        id = f"{len(self.said):012x}"
        images[id] = {"id": id, "name": name, "size": size, "snaps": {}, "parent": None, "trash": False}
        (self.directory / id).touch()
        os.truncate(self.directory / id, size)

    def _resize(self, images: dict[str, Any], name: str, size: int) -> None:
        image = self._image(images, name)
        if size <= image["size"]:
            raise Refused(22, "shrinking an image is only allowed with the --allow-shrink flag")
        image["size"] = size
        os.truncate(self.directory / image["id"], size)

    def _rename(self, images: dict[str, Any], name: str, to: str) -> None:
        image = self._image(images, name)
        self._must_be_free(images, to)
        image["name"] = to

    def _snap_create(self, images: dict[str, Any], of: str) -> None:
        image, moment = self._image(images, of.split("@")[0]), of.split("@")[1]
        if moment in image["snaps"]:
            raise Refused(17, "failed to create snapshot: (17) File exists")
        image["snaps"][moment] = {"trash": False, "size": image["size"]}
        self._copy(image["id"], f"{image['id']}@{moment}")

    def _snap_ls(self, images: dict[str, Any], name: str) -> list[dict[str, str]]:
        snaps = self._image(images, name)["snaps"]
        return [{"name": moment} for moment, one in snaps.items() if not one["trash"]]

    def _snap_rm(self, images: dict[str, Any], of: str) -> None:
        image, moment = self._image(images, of.split("@")[0]), of.split("@")[1]
        if moment not in image["snaps"] or image["snaps"][moment]["trash"]:
            raise Refused(2, "failed to remove snapshot: (2) No such file or directory")
        image["snaps"][moment]["trash"] = True
        hidden = f"{moment}#{len(self.said)}"
        image["snaps"][hidden] = image["snaps"].pop(moment)
        (self.directory / f"{image['id']}@{moment}").rename(self.directory / f"{image['id']}@{hidden}")
        for one in images.values():
            if one["parent"] == [image["id"], moment]:
                one["parent"] = [image["id"], hidden]
        self._collect(images)

    def _clone(self, images: dict[str, Any], of: str, to: str) -> None:
        image, moment = self._image(images, of.split("@")[0]), of.split("@")[1]
        if moment not in image["snaps"]:
            raise Refused(2, "clone error: (2) No such file or directory")
        pool, _, name = to.partition("/")
        assert pool == "volumes"
        self._create(images, name, image["snaps"][moment]["size"])
        made = self._image(images, name)
        made["parent"] = [image["id"], moment]
        self._copy(f"{image['id']}@{moment}", made["id"])

    def _rm(self, images: dict[str, Any], name: str) -> None:
        image = self._image(images, name)
        if any(not one["trash"] for one in image["snaps"].values()):
            raise Refused(39, "image has snapshots - these must be deleted with 'rbd snap purge'")
        if self.users.get(name):
            raise Refused(16, "error: image still has watchers")
        image["trash"] = True
        self._collect(images)

    def _image_meta_set(self, images: dict[str, Any], name: str, key: str, value: str) -> None:
        self._image(images, name).setdefault("meta", {})[key] = value

    def _image_meta_get(self, images: dict[str, Any], name: str, key: str) -> str:
        if key not in (known := self._image(images, name).get("meta", {})):
            raise Refused(2, f"failed to get metadata {key} of image : (2) No such file or directory")
        return str(known[key])

    def _status(self, images: dict[str, Any], name: str) -> dict[str, Any]:
        self._image(images, name)
        return {"watchers": [{"address": one, "client": 4247} for one in self.users.get(name, [])]}

    def _collect(self, images: dict[str, Any]) -> None:
        """What is in the trash goes when nothing stands on it any more, and what that stood on."""
        for image in list(images.values()):
            for moment in [name for name, one in image["snaps"].items() if one["trash"]]:
                if not any(one["parent"] == [image["id"], moment] for one in images.values()):
                    del image["snaps"][moment]
                    (self.directory / f"{image['id']}@{moment}").unlink()
                    self._collect(images)
                    return
            if image["trash"] and not image["snaps"]:
                del images[image["id"]]
                (self.directory / image["id"]).unlink()
                self._collect(images)
                return

    def _copy(self, of: str, to: str) -> None:
        real_run(["cp", "--sparse=always", self.directory / of, self.directory / to])
