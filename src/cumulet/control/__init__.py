"""What must be true: one reconciler per kind of resource."""

from __future__ import annotations

from cumulet.control import (
    group,
    image_copy,
    image_file,
    image_task,
    instance,
    interface,
    notification,
    snapshot,
    sweep,
    volume,
    vpc,
)
from cumulet.engine.engine import GiveUp, Reconciler

RECONCILERS: dict[str, Reconciler] = {
    "instance": instance.reconcile,
    "interface": interface.reconcile,
    "group": group.reconcile,
    "vpc": vpc.reconcile,
    "volume": volume.reconcile,
    "snapshot": snapshot.reconcile,
    "image_file": image_file.reconcile,
    "image_copy": image_copy.reconcile,
    "image_task": image_task.reconcile,
    "notification": notification.reconcile,
    "sweep": sweep.reconcile,
}
GIVE_UP: dict[str, GiveUp] = {
    "instance": instance.give_up,
    "interface": interface.give_up,
    "group": group.give_up,
    "vpc": vpc.give_up,
    "volume": volume.give_up,
    "snapshot": snapshot.give_up,
    "image_file": image_file.give_up,
    "image_copy": image_copy.give_up,
    "image_task": image_task.give_up,
    "notification": notification.give_up,
    "sweep": sweep.give_up,
}
