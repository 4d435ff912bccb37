"""Launch templates and their versions: made, shown, and deleted. RunInstances takes them (`template_rows.applied`)."""

from __future__ import annotations

import re
from typing import Any, TypedDict

from cumulet.api.actions import Item, Result, action, describes
from cumulet.api.context import Context
from cumulet.api.ec2 import client_tokens
from cumulet.api.ec2.instance_profiles import ProfileName
from cumulet.api.ec2.launch_request import (
    BlockDeviceMapping,
    CapacityReservation,
    CpuOptions,
    CreditSpecification,
    Enclave,
    Hibernation,
    MaintenanceOptions,
    MetadataOptions,
    Monitoring,
    NetworkInterface,
    Placement,
    PrivateDnsNameOptions,
)
from cumulet.api.ec2.tagging import TagSpecification, shown, tags_for
from cumulet.api.ec2.template_rows import (
    DEFAULT,
    LATEST,
    TAGGED,
    found,
    no_version,
    number_of,
    template_item,
    version_item,
    version_of,
)
from cumulet.api.ec2.validation import described_freely, invalid, missing
from cumulet.api.filters import Path, never
from cumulet.lib import ids
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, launch_template, tag
from cumulet.model.database import Row
from cumulet.wire.scalars import write_time

MOST_TEMPLATES, MOST_VERSIONS = 5000, 10000
"""EC2 User Guide: "Restrictions for Amazon EC2 launch templates"."""
_NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")
_DATA = "LaunchTemplateData"
_OTHERS_TAGGED = ("elastic-gpu", "spot-instances-request")


class TemplateData(TypedDict, total=False):
    BlockDeviceMappings: list[BlockDeviceMapping]
    CapacityReservationSpecification: CapacityReservation
    CpuOptions: CpuOptions
    CreditSpecification: CreditSpecification
    DisableApiStop: bool
    DisableApiTermination: bool
    EbsOptimized: bool
    EnclaveOptions: Enclave
    HibernationOptions: Hibernation
    IamInstanceProfile: ProfileName
    ImageId: str
    InstanceInitiatedShutdownBehavior: str
    InstanceType: str
    KernelId: str
    KeyName: str
    MaintenanceOptions: MaintenanceOptions
    MetadataOptions: MetadataOptions
    Monitoring: Monitoring
    NetworkInterfaces: list[NetworkInterface]
    Placement: Placement
    PrivateDnsNameOptions: PrivateDnsNameOptions
    RamDiskId: str
    SecurityGroupIds: list[str]
    SecurityGroups: list[str]
    TagSpecifications: list[TagSpecification]
    UserData: str


@action()
def create_launch_template(
    ctx: Context,
    launch_template_name: str,
    launch_template_data: TemplateData,
    version_description: str = "",
    client_token: str = "",
    tag_specifications: list[TagSpecification] | None = None,
) -> Result:
    """Write down what instances are to be launched with; whether they can be is seen when they are."""
    if not _NAME.fullmatch(launch_template_name):
        text = "A launch template name has 3 to 128 letters, digits and these characters: ( ) . - / _"
        raise Refusal("InvalidLaunchTemplateName.MalformedException", f"'{launch_template_name[:128]}': {text}")
    first = {"data": _checked(launch_template_data), "description": described_freely(version_description, "version")}
    tags, id = tags_for(tag_specifications, "launch-template"), ids.new("launch_template")
    request = {"name": launch_template_name, "description": version_description, "data": launch_template_data}
    with ctx.write() as tx:
        before = client_tokens.earlier(tx, ctx.account, "CreateLaunchTemplate", client_token, request, {"id": id})
        if before is None:
            if len(launch_template.of_account(tx, ctx.account)) >= MOST_TEMPLATES:
                text = f"The maximum number of launch templates has been reached: it is {MOST_TEMPLATES}."
                raise Refusal("LaunchTemplateLimitExceeded", text)
            values = {"id": id, "account": ctx.account, "name": launch_template_name, "created_by": ctx.principal.arn}
            if not launch_template.add(tx, values, first):
                raise Refusal(
                    "InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use."
                )
            tag.put(tx, ctx.account, id, "launch-template", tags)
        return {"LaunchTemplate": _shown(tx, found(tx, ctx.account, before["id"] if before else id, ""))}


@action(accepts={"ResolveAlias": "an ImageId that is an alias is resolved by none: there is no Systems Manager"})
def create_launch_template_version(
    ctx: Context,
    launch_template_data: TemplateData,
    launch_template_id: str = "",
    launch_template_name: str = "",
    source_version: str = "",
    version_description: str = "",
    client_token: str = "",
) -> Result:
    """One more version; with a source it has all of that which it does not say otherwise."""
    description = described_freely(version_description, "version")
    request = {"id": launch_template_id, "name": launch_template_name, "data": launch_template_data}
    request |= {"source": source_version, "description": version_description}
    with ctx.write() as tx:
        row = found(tx, ctx.account, launch_template_id, launch_template_name)
        next_number = launch_template.last_number(tx, row.id) + 1
        before = client_tokens.earlier(
            tx, ctx.account, "CreateLaunchTemplateVersion", client_token, request, {"number": next_number}
        )
        number = int(before["number"]) if before is not None else next_number
        if before is None:
            if launch_template.count_versions(tx, row.id) >= MOST_VERSIONS:
                text = f"The maximum number of versions of a launch template has been reached: it is {MOST_VERSIONS}."
                raise Refusal("VersionLimitExceeded", text)
            source = version_of(tx, row, source_version).data if source_version else {}
            data = _checked({**source, **launch_template_data})
            values = {"data": data, "description": description, "created_by": ctx.principal.arn}
            number = launch_template.add_version(tx, row, values)
        return {"LaunchTemplateVersion": version_item(row, version_of(tx, row, str(number)))}


@action()
def modify_launch_template(
    ctx: Context,
    launch_template_id: str = "",
    launch_template_name: str = "",
    default_version: str = "",
    client_token: str = "",
) -> Result:
    """Have another version be meant where none is named."""
    client_tokens.checked(client_token)
    with ctx.write() as tx:
        row = found(tx, ctx.account, launch_template_id, launch_template_name)
        if not default_version:
            raise missing("SetDefaultVersion")
        launch_template.set_default(tx, row.id, int(version_of(tx, row, default_version).number))
        return {"LaunchTemplate": _shown(tx, found(tx, ctx.account, row.id, ""))}


@action()
def delete_launch_template(ctx: Context, launch_template_id: str = "", launch_template_name: str = "") -> Result:
    """Forget a template with all its versions; what was launched of it is as it is."""
    with ctx.write() as tx:
        row = found(tx, ctx.account, launch_template_id, launch_template_name)
        item = _shown(tx, row)
        launch_template.remove(tx, row.id)
        tag.remove(tx, row.id)
    return {"LaunchTemplate": item}


@action()
def delete_launch_template_versions(
    ctx: Context, versions: list[str], launch_template_id: str = "", launch_template_name: str = ""
) -> Result:
    """Forget these versions, each for itself; the default one cannot be."""
    done, failed = list[Item](), list[Item]()
    with ctx.write() as tx:
        row = found(tx, ctx.account, launch_template_id, launch_template_name)
        for wanted in dict.fromkeys(versions):
            number = number_of(tx, row, wanted) if wanted not in ("", LATEST, DEFAULT) else None
            one = {"LaunchTemplateId": row.id, "LaunchTemplateName": row.name, "VersionNumber": number or 0}
            if number is not None and launch_template.remove_version(tx, row.id, number):
                done.append(one)
                continue
            is_default = number == row.default_version
            code = "unexpectedError" if is_default else "launchTemplateVersionDoesNotExist"
            why = (
                "The default version cannot be deleted: set another one first."
                if is_default
                else (no_version(row, wanted).message)
            )
            failed.append({**one, "ResponseError": {"Code": code, "Message": why}})
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": done,
        "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
    }


@describes(
    "LaunchTemplates",
    id="LaunchTemplateId",
    ids="launch_template_ids",
    missing="InvalidLaunchTemplateId.NotFound",
    malformed="InvalidLaunchTemplateId.Malformed",
    prefix="lt-",
    filters={
        "create-time": lambda item: write_time(item["CreateTime"]),
        "launch-template-name": "LaunchTemplateName",
    },
    accepts={"IncludeManagedResources": "no template here is managed by a service of AWS"},
)
def describe_launch_templates(ctx: Context, launch_template_names: list[str] | None = None) -> list[Item]:
    """The account's templates."""
    with ctx.read() as tx:
        rows = launch_template.of_account(tx, ctx.account)
        tags = tag.of_account(tx, ctx.account, ["launch-template"])
    known = {row.name for row in rows}
    if absent := [name for name in launch_template_names or [] if name not in known]:
        text = "At least one of the launch templates specified in the request does not exist:"
        raise Refusal("InvalidLaunchTemplateName.NotFoundException", f"{text} {', '.join(absent)}")
    chosen = [row for row in rows if not launch_template_names or row.name in launch_template_names]
    return [template_item(row, tags.get(row.id, [])) for row in chosen]


_VERSION_FILTERS: dict[str, Path] = {
    **never("host-resource-group-arn", "http-protocol-ipv4", "license-configuration-arn"),
    "create-time": lambda item: write_time(item["CreateTime"]),
    "ebs-optimized": f"{_DATA}.EbsOptimized",
    "http-endpoint": f"{_DATA}.MetadataOptions.HttpEndpoint",
    "http-tokens": f"{_DATA}.MetadataOptions.HttpTokens",
    "iam-instance-profile": f"{_DATA}.IamInstanceProfile.Arn",
    "image-id": f"{_DATA}.ImageId",
    "instance-type": f"{_DATA}.InstanceType",
    "is-default-version": "DefaultVersion",
    "kernel-id": f"{_DATA}.KernelId",
    "network-card-index": f"{_DATA}.NetworkInterfaces.NetworkCardIndex",
    "ram-disk-id": f"{_DATA}.RamDiskId",
}


@describes(
    "LaunchTemplateVersions",
    id="_id",
    filters=_VERSION_FILTERS,
    answer=lambda items: {"LaunchTemplateVersions": [_without_id(item) for item in items]},
    accepts={
        "IncludeManagedResources": "no template here is managed by a service of AWS",
        "ResolveAlias": "an ImageId that is an alias is resolved by none: there is no Systems Manager",
    },
)
def describe_launch_template_versions(
    ctx: Context,
    launch_template_id: str = "",
    launch_template_name: str = "",
    versions: list[str] | None = None,
    min_version: str = "",
    max_version: str = "",
) -> list[Item]:
    """The versions of a template, the newest first; or the latest and default ones of all of them."""
    with ctx.read() as tx:
        if launch_template_id or launch_template_name:
            rows = [found(tx, ctx.account, launch_template_id, launch_template_name)]
        elif versions and set(versions) <= {LATEST, DEFAULT}:
            rows = launch_template.of_account(tx, ctx.account)
        else:
            raise missing("LaunchTemplateId or LaunchTemplateName")
        low, high = _bound(min_version, "minVersion", 0), _bound(max_version, "maxVersion", 2**62)
        found_ones = [(row, one) for row in rows for one in _chosen(tx, row, versions)]
    chosen = [(row, one) for row, one in found_ones if low <= one.number <= high]
    return [version_item(row, one) | {"_id": f"{row.id} {one.number}"} for row, one in chosen]


def _bound(text: str, name: str, none: int) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise invalid(text, name, "Expecting the number of a version.")
    return int(text) if text else none


def _chosen(tx: Tx, row: Row, wanted: list[str] | None) -> list[Row]:
    known = launch_template.versions(tx, row.id)
    if not wanted:
        return known
    numbers = {one: number_of(tx, row, one) for one in wanted}
    there = {one.number for one in known}
    for one, number in numbers.items():
        if number not in there:
            raise no_version(row, one)
    return [one for one in known if one.number in numbers.values()]


def _without_id(item: Item) -> Item:
    return {name: value for name, value in item.items() if name != "_id"}


def _shown(tx: Tx, row: Row) -> Item:
    return template_item(row, shown(tag.of(tx, row.id)))


def _checked(data: TemplateData | dict[str, Any]) -> dict[str, Any]:
    """The data as it is kept; raises `Refusal` where it says nothing, or has tags that cannot be."""
    if not data:
        raise missing("LaunchTemplateData")
    tags_for(data.get("TagSpecifications"), "instance", (*TAGGED, *_OTHERS_TAGGED))
    return dict(data)
