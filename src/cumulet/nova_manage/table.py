"""The categories and actions of 2012: which are here, with which arguments, and why the others are not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, NamedTuple, Protocol

from cumulet.lib.errors import Failure

Arguments = dict[str, str]


class Usage(Failure):
    """The command line is wrong; it is said on standard error, and the exit status is 2."""


class Cumulet(Protocol):
    """The commands of `cumulet`, for the cloud that the flags name."""

    def say(self, *words: str) -> str:
        """What a command says."""

    def ask(self, *words: str) -> Any:
        """What a command answers with --json."""

    def run(self, *words: str) -> str:
        """Let a command talk to the user itself."""


class Commands:
    """`Cumulet` in this process."""

    def say(self, *words: str) -> str:
        from cumulet.cli import cumulet

        said = io.StringIO()
        with redirect_stdout(said):
            cumulet.main(list(words), prog_name="cumulet", standalone_mode=False)
        return said.getvalue()

    def ask(self, *words: str) -> Any:
        return json.loads(self.say(*words, "--json"))

    def run(self, *words: str) -> str:
        from cumulet.cli import cumulet

        cumulet.main(list(words), prog_name="cumulet", standalone_mode=False)
        return ""


class Action(NamedTuple):
    """`takes` are the names of its arguments in their order; the first `needs` of them must be given."""

    takes: tuple[str, ...]
    needs: int
    do: Callable[[Cumulet, Arguments], str]
    """Gives what is to be printed."""


ACTIONS: dict[str, dict[str, Action]] = {}
ALIASES = {"project": "account", "instance_type": "flavor"}
"""The second name of a category."""
ABSENT = {
    "agent": "guests here have no agent to be upgraded",
    "drive": "there are no virtual storage arrays",
    "vsa": "there are no virtual storage arrays",
    "vpn": "VPCs are isolated without a VPN instance; a public address leads in",
}
"""Categories of 2012 without a counterpart, and why."""
ABSENT_ACTIONS = {
    "account modify": "an account has no manager and no description: `cumulet role add` gives a user rights",
    "account scrub": "an account's things go by its own API calls; `cumulet account delete` names what is left",
    "fixed reserve": "a subnet keeps its first four addresses and its last for itself, and no others",
    "fixed unreserve": "a subnet keeps its first four addresses and its last for itself, and no others",
    "image convert": "there is no older image store",
    "image kernel_register": "a bundle, or an image with its kernel in it, is registered: RegisterImage",
    "image ramdisk_register": "a bundle, or an image with its kernel in it, is registered: RegisterImage",
    "image all_register": "a bundle, or an image with its kernel in it, is registered: RegisterImage",
    "network modify": "an account keeps its network until it is deleted",
    "network quantum_list": "there is no Quantum",
    "service update_resource": "a host says by itself what it has",
    "shell bpython": "`cumulet shell` is Python's own",
    "shell ipython": "`cumulet shell` is Python's own",
    "shell export": "there is no Keystone to hand users over to",
    "user modify": "keys are made and taken away by IAM: aws iam create-access-key",
    "vm live_migration": "`cumulet instance migrate ID --to HOST` moves an instance, which goes on running",
    "vm block_migration": "`cumulet instance migrate ID --to HOST` moves an instance, which goes on running",
}


def action(category: str, name: str, *takes: str, needs: int | None = None) -> Callable[[Any], Any]:
    """Put a function into the table; by default each argument must be given."""

    def put(do: Callable[[Cumulet, Arguments], str]) -> Callable[[Cumulet, Arguments], str]:
        wanted = len(takes) if needs is None else needs
        ACTIONS.setdefault(category, {})[name] = Action(takes, wanted, do)
        return do

    return put


def find(category: str, name: str) -> tuple[str, Action]:
    """The action with its whole name; raises `Usage` that says what there is. A beginning that only one has will do."""
    whole = _one(category, [*ACTIONS, *ALIASES, *ABSENT], "category")
    if whole in ABSENT:
        raise Usage(f"{whole} has no counterpart: {ABSENT[whole]}")
    whole = ALIASES.get(whole, whole)
    absent = [one.split()[1] for one in ABSENT_ACTIONS if one.startswith(f"{whole} ")]
    chosen = _one(name, [*ACTIONS[whole], *absent], f"action of {whole}")
    if chosen in absent:
        raise Usage(f"{whole} {chosen} has no counterpart: {ABSENT_ACTIONS[f'{whole} {chosen}']}")
    return f"{whole} {chosen}", ACTIONS[whole][chosen]


def _one(begun: str, names: list[str], what: str) -> str:
    found = [begun] if begun in names else [one for one in sorted(names) if begun and one.startswith(begun)]
    if len(found) == 1:
        return found[0]
    why = f"{begun!r} may be {' or '.join(found)}" if found else f"there is no {what} {begun!r}"
    raise Usage(f"{why}; there are: {', '.join(sorted(names))}")


def arguments(name: str, known: Action, words: list[str]) -> Arguments:
    """The arguments of an action, given in their order or as `--name=value`; raises `Usage`."""
    found: Arguments = {}
    left = list(known.takes)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            if not left:
                raise Usage(f"{name} takes no more than {usage(known) or 'nothing'}, and there is {word!r}")
            found[left.pop(0)] = word
            continue
        key, equals, value = word.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        if key not in known.takes:
            raise Usage(f"{name} has no --{key}; it takes {usage(known) or 'nothing'}")
        if not equals and not rest:
            raise Usage(f"--{key} of {name} wants a value")
        found[key] = value if equals else rest.pop(0)
        left = [one for one in left if one != key]
    missing = [one for one in known.takes[: known.needs] if one not in found]
    if missing:
        raise Usage(f"{name} wants {usage(known)}: {', '.join(missing)} is missing")
    return found


def usage(known: Action) -> str:
    words = [f"<{one}>" if number < known.needs else f"[{one}]" for number, one in enumerate(known.takes)]
    return " ".join(words)
