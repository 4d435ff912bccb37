"""What the agents of a tested cloud have been told last: the documents that they keep."""

from __future__ import annotations

from typing import Any

from cumulet.agent.documents import Documents
from cumulet.drivers import specs
from cumulet.drivers.specs import GroupSpec, InstanceSpec, InterfaceSpec


def interface_order(cloud: Any, id: str) -> InterfaceSpec | None:
    """What the host's network has of this interface; None: nothing."""
    found = _order(cloud, "network", id)
    assert found is None or isinstance(found, InterfaceSpec)
    return found


def instance_order(cloud: Any, id: str) -> InstanceSpec | None:
    """What the host's hypervisor has of this instance; None: nothing."""
    found = _order(cloud, "compute", id)
    assert found is None or isinstance(found, InstanceSpec)
    return found


def group_order(cloud: Any, id: str) -> GroupSpec | None:
    """What the host's network has of this security group; None: nothing."""
    found = _order(cloud, "network", id)
    assert found is None or isinstance(found, GroupSpec)
    return found


def _order(cloud: Any, role: str, id: str) -> specs.Spec | None:
    document = Documents(cloud.config.state_dir / "agents" / role, durable=False).get(id)
    return specs.decode(bytes(document.spec)) if document is not None and document.living() else None
