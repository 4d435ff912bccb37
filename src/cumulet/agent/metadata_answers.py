"""What the metadata service answers to one request of one guest: sessions (IMDSv2), versions, paths.

Source of the rules: "Use the Instance Metadata Service" in the EC2 User Guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from cumulet.agent import metadata_tree
from cumulet.agent.metadata_http import Request, Response, error
from cumulet.agent.metadata_identity import Identity, document
from cumulet.agent.metadata_tokens import MAX_SECONDS, Tokens
from cumulet.agent.metadata_tree import Tree
from cumulet.drivers.specs import InterfaceSpec, MetadataSpec

_TOKEN = "x-aws-ec2-metadata-token"
_SECONDS = "x-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_PATH = ["latest", "api", "token"]
_IDENTITY = dict.fromkeys(("document", "pkcs7", "rsa2048", "signature"), b"")


@dataclass(frozen=True)
class Guest:
    """A guest and all that it may know."""

    interface: InterfaceSpec
    metadata: MetadataSpec

    @cached_property
    def tree(self) -> Tree:
        return {**metadata_tree.tree(self.interface, self.metadata), "dynamic": {"instance-identity": _IDENTITY}}


class Answerer:
    """Answers requests; whose they are has been found out by the connection."""

    def __init__(self, tokens: Tokens, identity: Identity) -> None:
        self._tokens = tokens
        self._identity = identity

    def answer(self, guest: Guest | None, request: Request) -> Response:
        """The answer to a request; `guest` is None for an address that nobody told us of."""
        if guest is None:
            return error(404)
        if not guest.metadata.http_endpoint:
            return error(403)
        names = _names(request.path)
        if request.method == "PUT":
            return self._session(guest, request) if names == _TOKEN_PATH else error(405)
        if request.method not in ("GET", "HEAD") or names == _TOKEN_PATH:
            return error(405)
        return self._told(guest, request, names)

    def _session(self, guest: Guest, request: Request) -> Response:
        # A proxy that was left open adds this header: its clients are not the guest.
        if "x-forwarded-for" in request.headers:
            return error(403)
        asked = request.headers.get(_SECONDS, "")
        if not (asked.isascii() and asked.isdigit()) or not 1 <= int(asked[:9]) <= MAX_SECONDS:
            return error(400)
        token = self._tokens.make(guest.metadata.instance_id, int(asked))
        headers = {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": str(int(asked))}
        return Response(200, token.encode(), headers=headers, hop_limit=guest.metadata.hop_limit)

    def _told(self, guest: Guest, request: Request, names: list[str]) -> Response:
        token = request.headers.get(_TOKEN)
        headers = {}
        if token is not None:
            left = self._tokens.seconds_left(guest.metadata.instance_id, token)
            if left is None:
                return error(401)
            headers["X-Aws-Ec2-Metadata-Token-Ttl-Seconds"] = str(left)
        elif guest.metadata.http_tokens == "required":
            return error(401)
        found = self._find(guest, names)
        if found is None:
            return error(404)
        content_type = "application/octet-stream" if names[1:] == ["user-data"] else "text/plain"
        return Response(200, found, content_type, headers)

    def _find(self, guest: Guest, names: list[str]) -> bytes | None:
        if not names:
            return metadata_tree.versions()
        if names[0] not in metadata_tree.VERSIONS:
            return None
        if names[1:3] == ["dynamic", "instance-identity"] and len(names) == 4:
            return self._identity_of(guest, names[3])
        return metadata_tree.find(guest.tree, names[1:])

    def _identity_of(self, guest: Guest, name: str) -> bytes | None:
        text = document(guest.interface, guest.metadata)
        match name:
            case "document":
                return text
            case "signature":
                return self._identity.signature(text)
            case "pkcs7" | "rsa2048":
                return self._identity.pkcs7(text)
        return None


def _names(path: bytes) -> list[str]:
    """The parts of a path; without the query, and however many slashes there are."""
    text = unquote(path.split(b"?")[0].decode("latin-1"), errors="replace")
    return [name for name in text.split("/") if name]
