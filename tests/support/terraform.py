"""Terraform in a directory of its own, with its AWS provider from a file-system mirror on this machine.

The mirror's folder is the setting CUMULET_TERRAFORM_MIRROR. Where it or `terraform` is absent these tests say so; under
CI that is an error.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MIRROR = "CUMULET_TERRAFORM_MIRROR"
_PLAN_IS_EMPTY, _PLAN_HAS_CHANGES = 0, 2


def require_terraform() -> None:
    """Skip, or fail under CI, where Terraform or the mirror of its provider is absent."""
    lacking = []
    if shutil.which("terraform") is None:
        lacking.append("the command terraform")
    if not os.environ.get(MIRROR):
        lacking.append(f"the setting {MIRROR}, the folder of a mirror with the AWS provider,")
    if lacking and os.environ.get("CI"):
        pytest.fail(f"{' and '.join(lacking)} is not here")
    if lacking:
        pytest.skip(f"{' and '.join(lacking)} is not here")


class Terraform:
    """One working directory with a configuration of one or several files; `environ` has the keys and the region."""

    def __init__(self, directory: Path, configuration: Path | list[Path], environ: dict[str, str]) -> None:
        self._directory = directory
        directory.mkdir(parents=True)
        for file in configuration if isinstance(configuration, list) else [configuration]:
            shutil.copy(file, directory)
        settings = directory / "terraform.rc"
        settings.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{os.environ[MIRROR]}"\n  }}\n}}\n'
        )
        own = {"TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        self._environ = {**os.environ, **environ, **own, "AWS_EC2_METADATA_DISABLED": "true"}
        self._run("init", "-input=false", "-no-color")

    def apply(self, **variables: Any) -> None:
        self._run("apply", "-auto-approve", *_options(variables))

    def plans_nothing(self, **variables: Any) -> bool:
        """Whether a plan finds no change; prints what it finds."""
        done = self._run(
            "plan", "-detailed-exitcode", *_options(variables), expected=(_PLAN_IS_EMPTY, _PLAN_HAS_CHANGES)
        )
        return done.returncode == _PLAN_IS_EMPTY

    def destroy(self, **variables: Any) -> None:
        self._run("destroy", "-auto-approve", *_options(variables))

    def output(self, name: str) -> Any:
        return json.loads(self._run("output", "-json", name).stdout)

    def _run(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
        command = ["terraform", *arguments]
        done = subprocess.run(
            command, cwd=self._directory, env=self._environ, capture_output=True, text=True, timeout=240
        )
        said = f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode in expected, said
        if done.returncode == _PLAN_HAS_CHANGES:
            pytest.fail(said) if expected == (0,) else print(said)  # noqa: T201 - shown when the test fails
        return done


def _options(variables: dict[str, Any]) -> list[str]:
    return ["-input=false", "-no-color", *(f"-var={name}={value}" for name, value in variables.items())]
