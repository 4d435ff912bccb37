"""The registry of actions agrees with AWS's models."""

from __future__ import annotations

import pytest

from cumulet.api.actions import ACTIONS
from cumulet.api.app import SERVICES
from cumulet.api.dispatch import _plan
from cumulet.wire.models import load


@pytest.mark.parametrize(("service", "name"), sorted(ACTIONS))
def test_an_action_and_its_parameters_are_aws_s(service: str, name: str) -> None:
    assert SERVICES
    assert name in load(service).operations
    _plan(service, name)
