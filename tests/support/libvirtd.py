"""Tests with a real libvirtd: a module that says `pytestmark = pytest.mark.private_host` runs in a private host.

Such a module is run by a second pytest inside `cumulet.lib.private_host`: as root, with network, mount and process
namespaces of its own, an empty /run/netns for `ip netns add`, and a libvirtd at qemu:///system. The reports come
back, so that it looks like any other module, by its node ids too. What it leaves behind (guests, taps, namespaces,
rules, processes) goes with the private host; the machine's own things are out of its reach.

    pytestmark = pytest.mark.private_host

    def test_a_guest_starts(tiny_image: Path) -> None: ...

`cumulet.lib.private_host.start_libvirtd` and `stop_libvirtd` play a restart of libvirtd. The fixture `tiny_image` is
the directory of the tiny image, and `stock_image` the file of a Debian, each built once and kept between runs. Tests of
one module share one private host.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import stock_image as stock_image_builder

from cumulet.drivers.image import tiny
from cumulet.lib.private_host import SCRATCH_VARIABLE

_REPORTS_VARIABLE = "CUMULET_TEST_REPORTS"
_LONGEST = 1800.0
"""Seconds for a module; each test in it has pytest-timeout's bound besides."""
_Reports = dict[str, list[pytest.TestReport]]
_REPORTS: pytest.StashKey[_Reports] = pytest.StashKey()


_IMAGES: dict[str, Callable[[Path], Path]] = {
    "tiny_image": lambda cache: tiny.build(cache / "tiny"),
    "stock_image": lambda cache: stock_image_builder.build(cache / "stock"),
}
"""Fixtures that are built outside, as there is no way to a package from inside."""


@pytest.fixture(scope="session")
def tiny_image() -> Path:
    """The directory of the tiny image."""
    return _built("tiny_image")


@pytest.fixture(scope="session")
def stock_image() -> Path:
    """The file of a stock Debian for BIOS and UEFI."""
    return _built("stock_image")


def _built(name: str) -> Path:
    """The image of that name; whoever is inside finds it by a variable."""
    variable = f"CUMULET_TEST_{name.upper()}"
    if variable not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        os.environ[variable] = str(_IMAGES[name](cache / "cumulet"))
    return Path(os.environ[variable])


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "private_host: run this module inside a private host with its own libvirtd")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Outside: put a stand-in into the place of each test that is to run inside."""
    if SCRATCH_VARIABLE not in os.environ:
        items[:] = [_StandIn.for_item(item) if item.get_closest_marker("private_host") else item for item in items]


class _StandIn(pytest.Item):
    """A test that runs inside: its outcome here is the one there."""

    real: pytest.Item

    @classmethod
    def for_item(cls, item: pytest.Item) -> _StandIn:
        assert item.parent is not None
        made: _StandIn = cls.from_parent(item.parent, name=item.name, nodeid=item.nodeid)
        made.real = item
        made.add_marker(pytest.mark.timeout(0))  # the pytest inside has the time-out
        return made

    def runtest(self) -> None:
        known = self.session.stash.setdefault(_REPORTS, {})
        if self.nodeid not in known:
            beside = [item for item in self.session.items if isinstance(item, _StandIn) and item.path == self.path]
            known.update(_run_inside([item.real for item in beside]))
        for report in known[self.nodeid]:
            if report.failed:
                raise _FailedInsideError(f"{report.when}: {report.longreprtext}")
            if report.skipped:
                pytest.skip(report.longreprtext)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, _FailedInsideError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        return self.real.reportinfo()


class _FailedInsideError(Exception):
    """A test has failed inside; the text is what pytest said there."""


class _Writer:
    """Inside: writes every report where the pytest outside reads it."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        self._config = config
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        plain = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        with self._file.open("a") as opened:
            opened.write(json.dumps(plain) + "\n")


def pytest_sessionstart(session: pytest.Session) -> None:
    file = os.environ.pop(_REPORTS_VARIABLE, None)
    if file:
        session.config.pluginmanager.register(_Writer(session.config, Path(file)))


def _run_inside(items: list[pytest.Item]) -> _Reports:
    config = items[0].config
    for name in _IMAGES:
        if any(name in getattr(item, "fixturenames", ()) for item in items):
            _built(name)
    with tempfile.TemporaryDirectory(prefix="cumulet-reports-") as scratch:
        file = Path(scratch) / "reports"
        said = _run_pytest([item.nodeid for item in items], config.rootpath, file)
        lines = file.read_text().splitlines() if file.exists() else []
    found: _Reports = {item.nodeid: [] for item in items}
    for line in lines:
        report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
        found[report.nodeid].append(report)
    return {item.nodeid: found[item.nodeid] or [_never_ran(item, said)] for item in items}


def _run_pytest(nodes: list[str], root: Path, reports: Path) -> str:
    inner = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(root), *nodes]
    process = subprocess.Popen(
        [sys.executable, "-m", "cumulet.lib.private_host", "--", *inner],
        cwd=root,
        env={**os.environ, _REPORTS_VARIABLE: str(reports)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        return process.communicate(timeout=_LONGEST)[0]
    except BaseException:
        process.terminate()
        process.communicate(timeout=90)
        raise


def _never_ran(item: pytest.Item, said: str) -> pytest.TestReport:
    text = f"the private host gave no report of this test; it said:\n{said[-4000:]}"
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")


def bounded(seconds: float, pause: float = 0.1) -> Iterator[float]:
    """Times to try something at, for at most so many seconds; then the test fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield end - time.monotonic()
        time.sleep(pause)
    pytest.fail(f"it has not come true within {seconds:g} s")
