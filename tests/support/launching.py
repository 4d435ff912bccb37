"""Instances of a tested cloud: launched, looked at."""

from __future__ import annotations

from typing import Any


def launched(cloud: Any, ec2: Any, **more: Any) -> str:
    """The id of a new instance, running."""
    made = ec2.run_instances(**one_of(cloud, **more))
    cloud.settle()
    return str(made["Instances"][0]["InstanceId"])


def one_of(cloud: Any, **more: Any) -> dict[str, Any]:
    """The parameters of RunInstances for a single small instance."""
    return {"ImageId": cloud.image, "InstanceType": "m1.tiny", "MinCount": 1, "MaxCount": 1, **more}


def described(ec2: Any, *ids: str) -> list[dict[str, Any]]:
    """The instances with these ids, or all that there are."""
    shown = ec2.describe_instances(InstanceIds=list(ids))["Reservations"]
    return [instance for reservation in shown for instance in reservation["Instances"]]


def shown(ec2: Any, id: str) -> dict[str, Any]:
    (found,) = described(ec2, id)
    return found


def found(ec2: Any, **filters: str) -> set[str]:
    """The ids of the instances that one filter each finds; `_` in its name stands for `-`."""
    wanted = [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
    shown = ec2.describe_instances(Filters=wanted)["Reservations"]
    return {instance["InstanceId"] for reservation in shown for instance in reservation["Instances"]}


def volume_of(ec2: Any, id: str) -> dict[str, Any]:
    """The root disk of an instance."""
    wanted = [{"Name": "attachment.instance-id", "Values": [id]}]
    (volume,) = ec2.describe_volumes(Filters=wanted)["Volumes"]
    return dict(volume)
