"""`tools/install`: whom it refuses, what it does twice, and what it says when a step fails."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    loader = SourceFileLoader("tools_install", str(ROOT / "tools" / "install"))
    spec = importlib.util.spec_from_loader("tools_install", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tools_install"] = module
    loader.exec_module(module)
    return module


install = load()


def machine(**changes: Any) -> Any:
    known = {"system": "debian", "release": "12", "name": "Debian 12", "architecture": "x86_64", "uid": 0}
    return install.Machine(**{**known, "python": (3, 11), **changes})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of which only the script is there: whoever gets past the refusals leaves a trace in it."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "install", tmp_path / "tools" / "install")
    return tmp_path


@pytest.fixture
def screen(tmp_path: Path) -> Any:
    return install.Screen(tmp_path / "log")


# ---- whom it refuses


@pytest.mark.parametrize("system, release", [("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")])
def test_the_three_known_systems_are_accepted(system: str, release: str) -> None:
    assert machine(system=system, release=release).refusals() == []


@pytest.mark.parametrize(
    "line", ["ID=fedora\nVERSION_ID=41", "ID=debian\nVERSION_ID='11'", 'ID=ubuntu\nVERSION_ID="22.04"']
)
def test_another_system_is_refused_before_anything_is_touched(checkout: Path, line: str) -> None:
    os_release = checkout / "os-release"
    os_release.write_text(line + '\nPRETTY_NAME="Some Linux 7 (seven)"\n')
    before = sorted(checkout.rglob("*"))
    command = [sys.executable, "-B", str(checkout / "tools" / "install"), "--os-release", str(os_release)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "nothing was touched" in done.stderr
    assert "Some Linux 7 (seven)" in done.stderr
    assert "Debian 12, Debian 13, Ubuntu 24.04" in done.stderr
    assert sorted(checkout.rglob("*")) == before


def test_a_system_without_a_name_is_refused(checkout: Path) -> None:
    assert (
        install.Machine.here(checkout / "there-is-no-such-file").refusals()[0].startswith("This is an unknown system")
    )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"uid": 1000}, "needs root"),
        ({"architecture": "aarch64"}, "aarch64; x86_64 is needed"),
        ({"python": (3, 10)}, "Python 3.10; 3.11 is needed"),
    ],
)
def test_an_unfit_machine_is_refused_with_the_reason(
    change: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install.main([], machine(**change)) == 2
    assert words in capsys.readouterr().err


def test_all_the_reasons_are_said_at_once() -> None:
    assert len(machine(system="arch", architecture="riscv64", uid=7, python=(3, 9)).refusals()) == 4


# ---- what it does, and does not do twice


class Works:
    """Two stamped steps in a directory, each of which counts how often it was done."""

    def __init__(self, directory: Path, screen: Any) -> None:
        self.directory = directory
        self.screen = screen
        self.inputs = {"first": "1", "second": "1"}
        self.done: list[str] = []
        self.broken = ""

    def steps(self) -> list[Any]:
        return [
            install.Step(
                name, lambda name=name: [self.inputs[name]], lambda name=name: self.act(name), self.stamp(name)
            )
            for name in self.inputs
        ]

    def stamp(self, name: str) -> Path:
        return self.directory / f"{name}.done"

    def act(self, name: str) -> None:
        if name == self.broken:
            raise install.Failed("it broke")
        self.done.append(name)

    def run(self) -> list[str]:
        self.done = []
        install.bring_about(self.steps(), self.screen)
        return self.done


@pytest.fixture
def works(tmp_path: Path, screen: Any) -> Works:
    return Works(tmp_path, screen)


def test_a_second_run_does_nothing(works: Works) -> None:
    assert works.run() == ["first", "second"]
    assert works.run() == []


def test_what_stands_on_a_changed_step_is_done_anew(works: Works) -> None:
    works.run()
    works.inputs["first"] = "2"
    assert works.run() == ["first", "second"]


def test_a_changed_last_step_leaves_the_others_alone(works: Works) -> None:
    works.run()
    works.inputs["second"] = "2"
    assert works.run() == ["second"]


def test_a_removed_directory_is_filled_again_with_all_that_stands_on_it(works: Works) -> None:
    works.run()
    works.stamp("first").unlink()
    assert works.run() == ["first", "second"]


@pytest.mark.parametrize("broken", ["first", "second"])
def test_nothing_half_done_counts_as_done(works: Works, broken: str) -> None:
    works.run()
    works.inputs["first"] = "2"
    works.broken = broken
    with pytest.raises(install.Failed):
        works.run()
    works.broken = ""
    works.inputs["first"] = "1"
    assert works.run() == ["first", "second"]


def test_missing_packages_are_named_until_they_are_there(screen: Any) -> None:
    missing = ["cpio"]
    step = install.Step("packages", lambda: list(missing), missing.clear, None)
    assert install.bring_about([step], screen) == 1
    assert install.bring_about([step], screen) == 0


def test_this_checkout_is_complete_and_looking_again_is_quick() -> None:
    stamps = [ROOT / ".install/tools/.done", ROOT / ".venv/.done-packages", ROOT / ".venv/.done-cumulet"]
    before = [stamp.exists() and stamp.stat().st_mtime_ns for stamp in stamps]
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "tools" / "install"), "--with-tests", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("install: to do: nothing\n", 0)
    assert time.monotonic() - began < 3
    assert [stamp.stat().st_mtime_ns for stamp in stamps] == before


# ---- what it says when a step fails


def test_a_failure_shows_the_command_its_output_and_what_to_do(screen: Any, capsys: pytest.CaptureFixture[str]) -> None:
    script = "seq 100; echo E: Could not get lock /var/lib/dpkg/lock-frontend; exit 100"
    with pytest.raises(install.Failed) as failure:
        screen.run(["sh", "-c", script], {})
    install.report(failure.value, "packages", screen.log)
    said = capsys.readouterr().err
    assert "packages failed: exit status 100" in said
    assert "command: sh -c 'seq 100" in said
    assert "| 72\n" in said
    assert "| 71\n" not in said
    assert "Another package manager is at work" in said


def test_a_command_that_does_not_end_is_ended(screen: Any) -> None:
    began = time.monotonic()
    with pytest.raises(install.Failed, match="no end after 1 s"):
        screen.run(["sleep", "60"], {}, seconds=1)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "output, advice",
    [
        ("dpkg: error processing archive: No space left on device", "disk is full"),
        ("E: dpkg was interrupted, you must manually run 'dpkg --configure -a'", "dpkg --configure -a"),
        ("Temporary failure resolving 'mirror.example'", "no way out"),
        ("  cause: dns error\n  cause: failed to lookup address information", "no way out"),
        ("error: invalid peer certificate: UnknownIssuer", "PIP_CERT"),
        ("E: Unable to locate package libvirt-dev", "universe"),
        ("error: Hash mismatch for `click==8.5.1`", "do not remove the hash"),
        ("Setting up libnss-resolve\nerror: something of its own", "Repair what the output names"),
    ],
)
def test_what_to_do_depends_on_what_went_wrong(output: str, advice: str) -> None:
    assert advice in install.advice(output)


# ---- the parts


def test_the_libvirt_binding_is_that_of_the_installed_libvirt() -> None:
    lock = (ROOT / "requirements-libvirt.lock").read_text()
    for version in ["9.0.0", "10.0.0", "11.3.0"]:
        lines = install.libvirt_requirement(lock, version).splitlines()
        assert lines[0].startswith(f"libvirt-python=={version} ")
        assert len(lines) > 1
        assert all("--hash=sha256:" in line for line in lines[1:])


def test_a_libvirt_without_a_locked_binding_is_refused() -> None:
    with pytest.raises(install.Failed, match="no libvirt-python for libvirt 1.2.3") as failure:
        install.libvirt_requirement((ROOT / "requirements-libvirt.lock").read_text(), "1.2.3")
    assert "make lock" in failure.value.hint


def test_a_mirror_that_pip_knows_is_told_to_uv() -> None:
    listing = "global.index-url='https://mirror.example/simple'\n:env:.cert='/etc/own.crt'\nglobal.timeout='60'\n"
    assert install.pip_settings_for_uv(listing)["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert set(install.pip_settings_for_uv(listing)) <= {"UV_DEFAULT_INDEX", "SSL_CERT_FILE"}


def test_services_are_held_back_only_where_systemd_does_not_run(tmp_path: Path) -> None:
    policy, systemd = tmp_path / "policy-rc.d", tmp_path / "systemd"
    with install.services_left_alone(policy, systemd):
        assert subprocess.run([policy], timeout=10).returncode == 101
    assert not policy.exists()
    systemd.mkdir()
    with install.services_left_alone(policy, systemd):
        assert not policy.exists()
    with install.services_left_alone(policy, systemd, always=True):
        assert subprocess.run([policy], timeout=10).returncode == 101
    assert not policy.exists()


def test_other_stores_are_wanted_only_where_they_are_asked_for(checkout: Path) -> None:
    asked = install.Checkout(checkout, with_tests=False, with_peers=True)
    assert set(install.PEERS.split()) <= set(asked.packages)
    assert set(install.PEERS.split()).isdisjoint(install.Checkout(checkout, with_tests=True).packages)


def test_a_policy_of_the_machine_stays_as_it_is(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    with install.services_left_alone(policy, tmp_path / "systemd"):
        assert "exit 0" in policy.read_text()
    assert policy.exists()
