"""Objects for the other services of this process: read with the rights of whoever asks them, from here or elsewhere."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from cumulet.api.context import Context, Found
from cumulet.api.s3 import errors, finding
from cumulet.api.s3.call import Call, House
from cumulet.api.s3.reading import Segment, read_all, segments_of
from cumulet.identity.principal import rights_of
from cumulet.lib import session
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure, Impossible, Refusal
from cumulet.lib.s3_link import Signer, answer_to, presigned
from cumulet.model import Database, bucket
from cumulet.model.database import Row
from cumulet.wire.request import Request

LINK_SECONDS = 900
"""The least that a session has."""


class Inside:
    """`api.context.Objects`: a policy that refuses the caller the object refuses it here too."""

    def __init__(self, house: House) -> None:
        self._house = house

    def find(self, ctx: Context, bucket_name: str, key: str) -> Found:
        """Raises NoSuchBucket, NoSuchKey or AccessDenied, and for what only its owner's key opens InvalidRequest."""
        row, _ = self._row(ctx, bucket_name, key)
        return Found(bucket_name, key, row.size, row.etag)

    def read(self, ctx: Context, found: Found) -> bytes:
        """All of it, for what is small."""
        row, segments = self._row(ctx, found.bucket, found.key)
        return read_all(self._house, segments, b"", 0, row.size)

    def _row(self, ctx: Context, bucket_name: str, key: str) -> tuple[Row, list[Segment]]:
        asked = Request.of(
            "GET", f"/{bucket_name}/{quote(key)}", address=ctx.request.address, secure=ctx.request.secure
        )
        call = Call(self._house, asked, ctx.request_id, {}, bucket_name=bucket_name, key=key.encode())
        call.principal = ctx.principal
        with call.read() as tx:
            call.bucket_row = bucket.find(tx, bucket_name)
            if call.bucket_row is None:
                raise errors.no_such_bucket(bucket_name)
            row = finding.fetch(call, tx, None, "s3:GetObject")
            if (row.facts.get("sse") or {}).get("kind") == "C":
                raise errors.invalid_request("The object is encrypted with a key that only its owner has.")
            return row, segments_of(tx, row)


class InsideElsewhere(Inside):
    """The same where the bytes are with another process, at `url`: what is read comes by a link of the caller's."""

    def __init__(self, database: Database, config: Config, url: str) -> None:
        bytes_are_elsewhere: Any = None
        super().__init__(House(database, config, bytes_are_elsewhere))
        self._url = url

    def read(self, ctx: Context, found: Found) -> bytes:
        """Raises ServiceUnavailable too."""
        now = ctx.database.clock.now()
        made, token = session.begin(ctx.database.keys, ctx.account, now, LINK_SECONDS, **rights_of(ctx.principal))
        signer = Signer(made.key, made.secret, token, ctx.config.region)
        link = presigned(signer, self._url, found.bucket, found.key, now, LINK_SECONDS, "GET")
        try:
            return answer_to("GET", link)
        except (Failure, Impossible) as e:
            why = f"The object {found.bucket}/{found.key} cannot be read: {e}"
            raise Refusal("ServiceUnavailable", why, 503) from e
