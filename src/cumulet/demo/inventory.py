"""What is there that a cloud could leave behind: domains, links, namespaces, tables, processes, files."""

from __future__ import annotations

import os
from pathlib import Path

from cumulet.lib.command import run
from cumulet.lib.private_host import SCRATCH_VARIABLE

_PROGRAMS = ("qemu-system", "dnsmasq", "libvirtd", "virtlogd", "cumulet")


def inventory(*directories: Path, name: str = "") -> dict[str, set[str]]:
    """Names by kind, as this process's namespaces show them; `directories` are those whose files count.

    Processes outside of a private host count if they have `name` in their environment, or in their command.
    """
    return {
        "domains": _domains(),
        "links": _first_words(["ip", "-o", "link"], 1),
        "network namespaces": _first_words(["ip", "netns", "list"], 0),
        "nft tables": set(run(["nft", "list", "tables"], check=False).stdout.splitlines()),
        "processes": _processes(name),
        "files": {str(path) for directory in directories for path in directory.rglob("*")},
    }


def differences(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    """One line for each thing that is there now and was not, or the other way round."""
    lines = []
    for kind in before:
        lines += [f"left behind ({kind}): {name}" for name in sorted(after[kind] - before[kind])]
        lines += [f"missing now ({kind}): {name}" for name in sorted(before[kind] - after[kind])]
    return lines


def _domains() -> set[str]:
    if not Path("/run/libvirt/libvirt-sock").exists():
        return set()
    names = run(["virsh", "-c", "qemu:///system", "list", "--all", "--name"], check=False).stdout
    return set(names.split())


def _first_words(command: list[str], position: int) -> set[str]:
    lines = run(command, check=False).stdout.splitlines()
    return {line.split()[position].rstrip(":").partition("@")[0] for line in lines if line.strip()}


def _processes(name: str) -> set[str]:
    """The processes of a cloud that the demonstration has begun, this one and its parents aside."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in _own():
            words = _zeroed(entry / "cmdline")
            mine = SCRATCH_VARIABLE in os.environ or name in " ".join([*words, *_zeroed(entry / "environ")])
            if words and mine and _is_of_a_cloud(words):
                found.add(f"{entry.name} {' '.join(words)[:120]}")
    return found


def _is_of_a_cloud(words: list[str]) -> bool:
    return any(program in Path(words[0]).name or program in words[1:4] for program in _PROGRAMS)


def _zeroed(file: Path) -> list[str]:
    try:
        return file.read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _own() -> set[int]:
    pids, pid = set(), os.getpid()
    while pid > 0:
        pids.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return pids
