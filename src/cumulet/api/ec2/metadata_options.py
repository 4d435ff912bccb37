"""How a guest may ask its metadata service."""

from __future__ import annotations

import re
from typing import Any

from cumulet.api.actions import Result, action
from cumulet.api.context import Context
from cumulet.api.ec2.instance_rows import one, settable
from cumulet.api.ec2.instance_view import metadata_options
from cumulet.api.ec2.validation import invalid
from cumulet.lib.errors import Refusal
from cumulet.model import Tx, instance, interface, tag, work

_WORDS = {
    "HttpTokens": ("optional", "required"),
    "HttpEndpoint": ("enabled", "disabled"),
    "HttpProtocolIpv6": ("enabled", "disabled"),
    "InstanceMetadataTags": ("enabled", "disabled"),
}
_HOPS = range(1, 65)
_TAG_IN_METADATA = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
_RESERVED_IN_METADATA = (".", "..", "_index")


@action()
def modify_instance_metadata_options(
    ctx: Context,
    instance_id: str,
    http_tokens: str = "",
    http_put_response_hop_limit: int | None = None,
    http_endpoint: str = "",
    http_protocol_ipv6: str = "",
    instance_metadata_tags: str = "",
) -> Result:
    """Change what is given, leave the rest; it holds as soon as the guest's host has heard of it."""
    given = {
        "HttpTokens": http_tokens,
        "HttpPutResponseHopLimit": http_put_response_hop_limit,
        "HttpEndpoint": http_endpoint,
        "HttpProtocolIpv6": http_protocol_ipv6,
        "InstanceMetadataTags": instance_metadata_tags,
    }
    changes = options_of({name: value for name, value in given.items() if value not in (None, "")})
    if not changes:
        raise Refusal("InvalidParameterCombination", "No metadata options were given; at least one is needed.")
    with ctx.write() as tx:
        row = settable(one(tx, ctx.account, instance_id))
        table = instance.instance
        merged = {**row.metadata_options, **changes}
        if merged.get("InstanceMetadataTags") == "enabled":
            check_tags(list(tag.of(tx, row.id)))
        tx.change(table.update().where(table.c.id == row.id).values(metadata_options=merged))
        wake_interfaces(tx, row.id)
        shown = metadata_options(one(tx, ctx.account, row.id))
    return {"InstanceId": row.id, "InstanceMetadataOptions": shown}


def options_of(given: dict[str, Any]) -> dict[str, Any]:
    """The options, if each can be; raises `Refusal`."""
    for name, words in _WORDS.items():
        if name in given and given[name] not in words:
            raise invalid(given[name], name, f"Expecting {' or '.join(words)}.")
    if given.get("HttpPutResponseHopLimit", 1) not in _HOPS:
        raise invalid(given["HttpPutResponseHopLimit"], "HttpPutResponseHopLimit", "Expecting 1 to 64.")
    if given.get("HttpProtocolIpv6") == "enabled":
        raise Refusal("UnsupportedOperation", "The metadata service of this cloud has no IPv6 address.")
    return given


def check_tags(keys: list[str]) -> None:
    """Raises `Refusal` for a tag that has no place among the paths of the metadata service (IMDS documentation)."""
    for key in keys:
        if not _TAG_IN_METADATA.fullmatch(key) or key in _RESERVED_IN_METADATA:
            raise Refusal(
                "InvalidParameterValue",
                f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), "
                "and must not be a reserved name ('.', '..', '_index')",
            )


def wake_interfaces(tx: Tx, instance_id: str) -> None:
    """The hosts are told of what has changed for the instance's interfaces and metadata."""
    for nic in interface.of_instance(tx, instance_id):
        work.wake(tx, "interface", nic.id)
