"""Quotas: how much of everything an account may have.

The configuration has a default for each (`quota_instances`); the operator gives an account others. Whoever takes of one
holds the account's row while counting, so that requests at the same time never exceed it together.
"""

from __future__ import annotations

from typing import NamedTuple

from cumulet.lib.config import Config
from cumulet.model import Tx, account
from cumulet.model.database import Row


class Quota(NamedTuple):
    """`name` is the setting's, without `quota_`; `service` and `code` those by which Service Quotas knows it."""

    name: str
    service: str
    code: str
    title: str


KNOWN = (
    Quota("instances", "ec2", "C-INSTANCES", "Instances"),
    Quota("vcpus", "ec2", "L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"),
    Quota("memory_gib", "ec2", "C-MEMORY", "Memory of instances, GiB"),
    Quota("addresses", "ec2", "L-0263D0A3", "EC2-VPC Elastic IPs"),
    Quota("key_pairs", "ec2", "C-KEYPAIRS", "Key pairs"),
    Quota("images", "ec2", "L-0E3CBAB9", "AMIs"),
    Quota("groups", "vpc", "C-GROUPS", "Security groups per VPC"),
    Quota("rules", "vpc", "L-0EA8095F", "Inbound or outbound rules per security group"),
    Quota("volumes", "ebs", "C-VOLUMES", "Volumes"),
    Quota("volume_gib", "ebs", "C-VOLUMEGIB", "Storage of volumes, GiB"),
    Quota("snapshots", "ebs", "L-309BACF6", "Snapshots per Region"),
    Quota("buckets", "s3", "L-DC2B2D3D", "General purpose buckets"),
)
SERVICES = {
    "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "vpc": "Amazon Virtual Private Cloud (Amazon VPC)",
    "ebs": "Amazon Elastic Block Store (Amazon EBS)",
    "s3": "Amazon Simple Storage Service (Amazon S3)",
}


def limit(tx: Tx, config: Config, account_id: str, name: str) -> int:
    """What an account may have; nobody else counts until the end of the transaction."""
    return limits(tx, config, account_id, name)[name]


def limits(tx: Tx, config: Config, account_id: str, *names: str) -> dict[str, int]:
    """The same of several."""
    row = account.hold(tx, account_id)
    return {name: of_row(row, config, name) for name in names}


def of_row(row: Row | None, config: Config, name: str) -> int:
    """The same, of an account's row."""
    given = row.quotas.get("limits", {}) if row is not None else {}
    return int(given.get(name, getattr(config, f"quota_{name}")))


def grant(tx: Tx, account_id: str, name: str, value: int | None) -> None:
    """Give an account another quota, or (None) the default again; requests for no more than this are approved."""
    row = account.hold(tx, account_id)
    assert row is not None
    limits = {key: number for key, number in row.quotas.get("limits", {}).items() if key != name}
    requests = [
        {**one, "status": "APPROVED", "changed": tx.now}
        if one["name"] == name and one["status"] == "PENDING" and value is not None and one["desired"] <= value
        else one
        for one in row.quotas.get("requests", [])
    ]
    if value is not None:
        limits[name] = value
    _keep(tx, account_id, {"limits": limits, "requests": requests})


def request(tx: Tx, account_id: str, asked: dict[str, object]) -> None:
    """Write down that an account wants more; the operator sees it."""
    row = account.hold(tx, account_id)
    assert row is not None
    _keep(tx, account_id, {**row.quotas, "requests": [*row.quotas.get("requests", []), asked]})


def _keep(tx: Tx, account_id: str, value: dict[str, object]) -> None:
    tx.change(account.account.update().where(account.account.c.id == account_id).values(quotas=value))
