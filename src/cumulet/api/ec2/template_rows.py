"""Finding launch templates and their versions, and what becomes of a launch that names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from cumulet.api.actions import Item
from cumulet.api.ec2.tagging import TagSpecification
from cumulet.api.ec2.validation import exactly_one
from cumulet.api.id_forms import check_id
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, launch_template
from cumulet.model.database import Row

LATEST, DEFAULT = "$Latest", "$Default"
TAGGED = ("instance", "volume", "network-interface")
"""The types of what a launch makes. A template may have tags of others, for other kinds of launches."""
_RENAMED = {"RamDiskId": "RamdiskId"}
"""What RunInstances calls a parameter otherwise."""


class Specification(TypedDict, total=False):
    LaunchTemplateId: str
    LaunchTemplateName: str
    Version: str


def found(tx: Tx, account: str, id: str, name: str) -> Row:
    """The account's template of this id or name; raises `Refusal`."""
    exactly_one(LaunchTemplateId=id, LaunchTemplateName=name)
    if id:
        check_id(id, "InvalidLaunchTemplateId.Malformed", "lt-")
    row = launch_template.find(tx, account, id) if id else launch_template.named(tx, account, name)
    if row is None and id:
        text = f"The specified launch template, with template ID {id}, does not exist."
        raise Refusal("InvalidLaunchTemplateId.NotFound", text)
    if row is None:
        text = f"The specified launch template, with template name {name}, does not exist."
        raise Refusal("InvalidLaunchTemplateName.NotFoundException", text)
    return row


def version_of(tx: Tx, template: Row, wanted: str) -> Row:
    """A version by its number, $Latest or $Default, which is meant by nothing too; raises `Refusal`."""
    number = number_of(tx, template, wanted)
    row = launch_template.find_version(tx, template.id, number) if number is not None else None
    if row is None:
        raise no_version(template, wanted)
    return row


def number_of(tx: Tx, template: Row, wanted: str) -> int | None:
    """The number that is meant; None: it is none."""
    if wanted == LATEST:
        return launch_template.newest(tx, template.id)
    if wanted in ("", DEFAULT):
        return int(template.default_version)
    return int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else None


def no_version(template: Row, wanted: str) -> Refusal:
    return Refusal(
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find the specified version {wanted} for the launch template with ID {template.id}.",
    )


def applied(tx: Tx, account: str, asked: Mapping[str, Any]) -> tuple[dict[str, Any], Row]:
    """A launch's parameters, by AWS's names, with those of the LaunchTemplate that it names, and the version of that.

    What the request says itself counts; tags and block devices of both are given, the request's where they have the
    same key or the same device. Raises `Refusal`.
    """
    named: Specification = asked["LaunchTemplate"]
    template = found(tx, account, named.get("LaunchTemplateId", ""), named.get("LaunchTemplateName", ""))
    row = version_of(tx, template, named.get("Version", ""))
    known = {_RENAMED.get(name, name): value for name, value in row.data.items()}
    both: dict[str, list[Any]] = {}
    for name, merged in (("TagSpecifications", _tags), ("BlockDeviceMappings", _devices)):
        both[name] = merged(known.pop(name, []), asked.get(name) or [])
    return {**known, **asked, **{name: value for name, value in both.items() if value}}, row


def _tags(of_template: list[TagSpecification], of_request: list[TagSpecification]) -> list[TagSpecification]:
    """The request's as they are, so that what is wrong with them is refused, with the template's other tags."""
    rest = {one.get("ResourceType", ""): one.get("Tags") or [] for one in of_template}
    found: list[TagSpecification] = []
    for one in of_request:
        tags = one.get("Tags") or []
        own = {tag.get("Key") for tag in tags}
        more = [tag for tag in rest.pop(one.get("ResourceType", ""), []) if tag.get("Key") not in own]
        found.append({**one, "Tags": [*tags, *more]} if tags else one)
    return found + [{"ResourceType": kind, "Tags": tags} for kind, tags in rest.items() if kind in TAGGED and tags]


def _devices(of_template: list[Item], of_request: list[Item]) -> list[Item]:
    """The template's, changed by the request's of the same DeviceName, and the request's other ones.

    API Reference, FleetBlockDeviceMappingRequest: "Any parameters you don't specify here will keep their original
    launch template values."
    """
    known = {one.get("DeviceName"): one for one in of_template}
    own = {one.get("DeviceName") for one in of_request}
    rest = [one for one in of_template if one.get("DeviceName") not in own]
    return rest + [_device(known.get(one.get("DeviceName"), {}), one) for one in of_request]


def _device(of_template: Item, of_request: Item) -> Item:
    """Another kind of device takes the place of the template's."""
    if not of_request.get("Ebs"):
        return of_request
    return {**of_request, "Ebs": {**(of_template.get("Ebs") or {}), **of_request["Ebs"]}}


def template_item(row: Row, tags: list[dict[str, str]]) -> Item:
    """AWS's LaunchTemplate."""
    return {
        "LaunchTemplateId": row.id,
        "LaunchTemplateName": row.name,
        "CreateTime": row.created,
        "CreatedBy": row.created_by,
        "DefaultVersionNumber": row.default_version,
        "LatestVersionNumber": row.latest_version,
        "Operator": {"Managed": False},
        "Tags": tags,
    }


def version_item(template: Row, row: Row) -> Item:
    """AWS's LaunchTemplateVersion."""
    return {
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionNumber": row.number,
        "VersionDescription": row.description or None,
        "CreateTime": row.created,
        "CreatedBy": row.created_by,
        "DefaultVersion": row.number == template.default_version,
        "LaunchTemplateData": row.data,
        "Operator": {"Managed": False},
    }
