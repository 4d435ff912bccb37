"""LVM's commands on one volume group, as far as `cumulet.lib.lvm` gives them: what they do, and what they refuse.

The group is a directory: a file for each volume's bytes, and `group.json`. A volume's room is not zeroed when it is
made, but has what was deleted before it, unless it is thin. All commands that were given are in `said`.
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
from cumulet.lib.errors import Failure

EXTENT = 4 << 20


class FakeLvm:
    """`run` is called in the place of `cumulet.lib.command.run`; other commands than LVM's are run as they are."""

    def __init__(self, directory: Path, group: str = "nova-volumes", pool: str = "", size: int = 64 << 30) -> None:
        self.devices, self.group, self.pool, self.size = directory, group, pool, size
        self.said: list[list[str]] = []
        self.steps: list[str] = []
        self.inactive: set[str] = set()
        self.zero = "zero"
        self._lock = threading.RLock()
        (directory / group).mkdir(parents=True, exist_ok=True)

    def run(
        self, arguments: Sequence[str | Path], *, timeout: float = 30, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in arguments]
        with self._lock:
            self.said.append(words)
            if words[:3] == ["ionice", "--class", "3"]:
                return self._blkdiscard(words[3:])
            does = getattr(self, f"_{words[0]}", None)
            if does is None:
                return real_run(arguments, timeout=timeout, check=check)
            try:
                said = does(words[1:])
            except (ValueError, KeyError) as e:
                raise Failure(f"{' '.join(words)}: exit status 5: {e}") from e
            return subprocess.CompletedProcess(words, 0, said or "", "")

    @property
    def _file(self) -> Path:
        return self.devices / self.group / "group.json"

    @property
    def _tag_file(self) -> Path:
        return self.devices / self.group / "tags"

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._file.read_text())) if self._file.exists() else {}

    def _write(self, volumes: dict[str, Any]) -> None:
        self._file.write_text(json.dumps(volumes))

    def _name(self, path: str) -> str:
        group, _, name = path.partition("/")
        if group != self.group or name not in self._read():
            raise ValueError(f"Failed to find logical volume {path}")
        return name

    def _lvs(self, words: list[str]) -> str:
        *options, of = words
        _expect(options[:5], ["--reportformat", "json", "--units", "b", "--nosuffix"])
        if of == f"{self.group}/{self.pool}" and self.pool:
            pool = {"lv_size": str(self.size), "data_percent": "25.00", "segtype": "thin-pool", "zero": self.zero}
            return _report("lv", [pool])
        if of.startswith(f"{self.group}/"):
            raise ValueError(f'Failed to find logical volume "{of}"')
        if of != self.group:
            raise ValueError(f'Volume group "{of}" not found')
        rows = [
            {
                "lv_name": name,
                "lv_size": str(one["size"]),
                "origin": one["origin"],
                "lv_tags": ",".join(one["tags"]),
                "lv_active": "" if name in self.inactive else "active",
            }
            for name, one in self._read().items()
        ]
        return _report("lv", rows)

    def _vgs(self, words: list[str]) -> str:
        if words[-1] != self.group:
            raise ValueError(f'Volume group "{words[-1]}" not found')
        if "vg_tags" in words:
            return _report("vg", [{"vg_tags": ",".join(self._tags())}])
        free = self.size - sum(one["size"] for one in self._read().values() if not one["thin"])
        return _report("vg", [{"vg_size": str(self.size), "vg_free": str(free)}])

    def _vgchange(self, words: list[str]) -> None:
        _expect([words[0], words[2]], ["--addtag", self.group])
        self._tag_file.write_text(",".join([*self._tags(), words[1]]))

    def _tags(self) -> list[str]:
        return self._tag_file.read_text().split(",") if self._tag_file.exists() else []

    def _lvcreate(self, words: list[str]) -> None:
        parser = _Parser()
        for option in ("name", "size", "virtualsize", "thinpool", "wipesignatures", "zero", "permission"):
            parser.add_argument(f"--{option}")
        parser.add_argument("--setactivationskip")
        parser.add_argument("--addtag", action="append", default=[])
        parser.add_argument("--yes", action="store_true", required=True)
        parser.add_argument("--snapshot", action="store_true")
        parser.add_argument("of")
        given = parser.parse_args(words)
        volumes = self._read()
        if given.name in volumes:
            raise ValueError(f'Logical Volume "{given.name}" already exists in volume group "{self.group}"')
        made = self._snapshot(given, volumes) if given.snapshot else self._plain(given)
        if not made["thin"] and made["size"] > self.size - sum(o["size"] for o in volumes.values() if not o["thin"]):
            raise ValueError(f'Volume group "{self.group}" has insufficient free space')
        self._write({**volumes, given.name: {**made, "tags": given.addtag}})

    def _plain(self, given: argparse.Namespace) -> dict[str, Any]:
        if given.of != self.group or bool(given.virtualsize) == bool(given.size):
            raise ValueError("Please specify either size or virtual size, and a group")
        if given.virtualsize and given.thinpool != self.pool:
            raise ValueError(f"Thin pool {given.thinpool} not found")
        size = _size(given.virtualsize or given.size)
        clean = given.virtualsize or "cumulet.zeroed" in self._tags()
        leftover = b"" if clean else b"SOMEBODY ELSE'S"
        self._put(given.name, leftover, size)
        return {"size": size, "origin": "", "thin": bool(given.virtualsize)}

    def _put(self, name: str, beginning: bytes, size: int) -> None:
        with (self.devices / self.group / name).open("wb") as file:
            file.write(beginning)
            file.truncate(size)

    def _snapshot(self, given: argparse.Namespace, volumes: dict[str, Any]) -> dict[str, Any]:
        origin = self._name(given.of)
        thin = volumes[origin]["thin"]
        if thin == bool(given.size):
            raise ValueError("a snapshot of a thick volume needs a size, one of a thin volume has none")
        if not thin and volumes[origin]["origin"]:
            raise ValueError("Snapshots of snapshots are not supported.")
        group = self.devices / self.group
        real_run(["cp", "--sparse=always", group / origin, group / given.name])
        size = volumes[origin]["size"] if thin else _size(given.size)
        return {"size": size, "origin": origin, "thin": thin}

    def _lvconvert(self, words: list[str]) -> None:
        _expect(words[:2], ["--yes", "--splitsnapshot"])
        name, volumes = self._name(words[2]), self._read()
        if not volumes[name]["origin"] or volumes[name]["thin"]:
            raise ValueError(f"{name} is not a snapshot.")
        volumes[name]["origin"] = ""
        self._write(volumes)
        os.truncate(self.devices / self.group / name, volumes[name]["size"])

    def _lvextend(self, words: list[str]) -> None:
        _expect(words[:1], ["--size"])
        name, size, volumes = self._name(words[2]), _size(words[1]), self._read()
        if size <= volumes[name]["size"]:
            raise ValueError("New size matches existing size, or is smaller.")
        if any(one["origin"] == name and not one["thin"] for one in volumes.values()):
            raise ValueError("Snapshot origin volumes can be resized only while inactive")
        volumes[name]["size"] = size
        self._write(volumes)
        with (self.devices / self.group / name).open("r+b") as file:
            file.truncate(size)

    def _lvrename(self, words: list[str]) -> None:
        group, name, to = words
        volumes = self._read()
        if to in volumes:
            raise ValueError(f'New name "{to}" already exists')
        self._name(f"{group}/{name}")
        volumes[to] = volumes.pop(name)
        for one in volumes.values():
            one["origin"] = to if one["origin"] == name else one["origin"]
        self._write(volumes)
        (self.devices / self.group / name).rename(self.devices / self.group / to)

    def _lvchange(self, words: list[str]) -> None:
        if words[:2] == ["--activate", "y"]:
            self.inactive -= {self._name(word) for word in words[2:]}
            return
        *options, of = words
        name, volumes = self._name(of), self._read()
        tags = volumes[name]["tags"]
        for option, tag in zip(options[::2], options[1::2], strict=True):
            if option not in ("--addtag", "--deltag"):
                raise ValueError(f"unrecognized option {option}")
            tags = [one for one in tags if one != tag] + ([tag] if option == "--addtag" else [])
        volumes[name]["tags"] = tags
        self._write(volumes)

    def _lvremove(self, words: list[str]) -> None:
        _expect(words[:1], ["--yes"])
        name, volumes = self._name(words[1]), self._read()
        held = [one for one, its in volumes.items() if its["origin"] == name and not its["thin"]]
        if held:
            raise ValueError(f"{name} has snapshots: {', '.join(held)}")
        with (self.devices / self.group / name).open("rb") as file:
            content = file.read(4096)
        self.steps.append(f"{name}: {'zeroes' if not content.strip(bytes(1)) else 'data'}")
        del volumes[name]
        self._write(volumes)
        (self.devices / self.group / name).unlink()

    def _blkdiscard(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        _expect(words[:2] + words[2:5:2], ["blkdiscard", "--zeroout", "--offset", "--length"])
        offset, length, file = int(words[3]), int(words[5]), Path(words[6])
        return real_run(["fallocate", "--punch-hole", "--offset", str(offset), "--length", str(length), file])


class _Parser(argparse.ArgumentParser):
    """What is given that there is not is an error of the command, not of the process."""

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False, add_help=False)

    def error(self, message: str) -> Any:
        raise ValueError(message)


def _expect(found: list[str], wanted: list[str]) -> None:
    if found != wanted:
        raise ValueError(f"{found} is not {wanted}")


def _size(text: str) -> int:
    """Bytes, in whole extents."""
    if not text.endswith("b") or int(text[:-1]) % 512:
        raise ValueError(f"Invalid argument for --size: {text}")
    return -(-int(text[:-1]) // EXTENT) * EXTENT


def _report(kind: str, rows: list[dict[str, str]]) -> str:
    return json.dumps({"report": [{kind: rows}]})
