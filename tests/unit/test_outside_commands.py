"""Outside commands: what a failure says."""

from __future__ import annotations

import pytest

from cumulet.lib.command import run
from cumulet.lib.errors import Failure


def test_a_command_that_takes_too_long_is_named_with_what_it_said() -> None:
    with pytest.raises(Failure, match=r"^sh -c .*: no end after 0\.5 s: half-way$"):
        run(["sh", "-c", "echo half-way >&2; exec sleep 20"], timeout=0.5)
    with pytest.raises(Failure, match=r"no end after 0\.1 s$"):
        run(["sleep", "20"], timeout=0.1)


def test_a_command_that_fails_is_named_with_its_status_and_what_it_said() -> None:
    with pytest.raises(Failure, match="exit status 3: no such thing$"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"])
    with pytest.raises(Failure, match="running cumulet-nowhere: it is not installed"):
        run(["cumulet-nowhere"])
