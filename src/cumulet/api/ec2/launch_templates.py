"""Launch templates: there are none yet, and clients that look them up are told so in AWS's words."""

from __future__ import annotations

from cumulet.api.actions import Item, describes
from cumulet.api.context import Context
from cumulet.api.filters import never
from cumulet.lib.errors import Refusal


@describes("LaunchTemplates", id="LaunchTemplateId", filters=never("create-time", "launch-template-name"))
def describe_launch_templates(
    ctx: Context, launch_template_ids: list[str] | None = None, launch_template_names: list[str] | None = None
) -> list[Item]:
    """None; Terraform asks before each plan of an instance."""
    _refuse(launch_template_ids or [], launch_template_names or [])
    return []


@describes(
    "LaunchTemplateVersions",
    id="LaunchTemplateId",
    filters=never(
        "create-time",
        "ebs-optimized",
        "host-resource-group-arn",
        "http-endpoint",
        "http-protocol-ipv4",
        "http-tokens",
        "iam-instance-profile",
        "image-id",
        "instance-type",
        "is-default-version",
        "kernel-id",
        "license-configuration-arn",
        "network-card-index",
        "ram-disk-id",
    ),
)
def describe_launch_template_versions(
    ctx: Context, launch_template_id: str = "", launch_template_name: str = "", versions: list[str] | None = None
) -> list[Item]:
    """None."""
    _refuse([launch_template_id] if launch_template_id else [], [launch_template_name] if launch_template_name else [])
    return []


def _refuse(ids: list[str], names: list[str]) -> None:
    if ids:
        raise Refusal(
            "InvalidLaunchTemplateId.NotFound",
            f"The specified launch template, with template ID {', '.join(ids)}, does not exist.",
        )
    if names:
        raise Refusal(
            "InvalidLaunchTemplateName.NotFoundException",
            f"At least one of the launch templates specified in the request does not exist: {', '.join(names)}",
        )
