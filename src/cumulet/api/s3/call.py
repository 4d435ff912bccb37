"""One request to S3, as its handler sees it, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from cumulet.api.s3 import errors
from cumulet.api.s3.counting import Counts
from cumulet.identity.principal import Principal
from cumulet.lib.blobs import Blobs
from cumulet.lib.config import Config
from cumulet.model import Database, Tx, secret
from cumulet.model.database import Row
from cumulet.wire.claim import Claim
from cumulet.wire.request import Request

Result = dict[str, Any]
Given = dict[str, Any]
HOST_ID = "cumulet"
HASHERS = 4


class Stream(Protocol):
    """A body that is read piece by piece, in a thread."""

    length: int

    def read(self) -> bytes:
        """The next piece; empty at the end."""

    @property
    def can_send(self) -> bool:
        """Whether it has `send_to`, as a `Source` has it, which is to be used instead of `read` then."""

    def send_to(self, socket: int) -> int | None: ...

    def close(self) -> None: ...


@dataclass
class Answer:
    """A status, headers, and a body or a stream of it."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: Stream | None = None
    close: bool = False


class House:
    """What all the requests of this process share. `wake` has the keeper look at once."""

    def __init__(
        self,
        database: Database,
        config: Config,
        blobs: Blobs,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.database = database
        self.config = config
        self.blobs = blobs
        self.wake = wake
        self.counts = Counts(database)
        self.hashers = ThreadPoolExecutor(HASHERS, "hash")

    @cached_property
    def master_key(self) -> bytes:
        """With which the keys of encrypted objects are sealed."""
        with self.database.write() as tx:
            return secret.of(tx, "objects")


class Call:
    """One request: who asks for which operation, on what, and what the URL and the headers say."""

    def __init__(
        self,
        house: House,
        request: Request,
        request_id: str,
        query: Mapping[str, str],
        *,
        bucket_name: str = "",
        key: bytes = b"",
    ) -> None:
        self.house = house
        self.database = house.database
        self.config = house.config
        self.request = request
        self.request_id = request_id
        self.query = query
        self.operation = ""
        self.bucket_name = bucket_name
        self.key = key
        self.principal: Principal | None = None
        self.claim: Claim | None = None
        self.secret = ""
        self.bucket_row: Row | None = None
        self.tags: list[list[str]] = []
        """Of the object that it is about, as far as they are known."""
        self._snapshot: Tx | None = None
        self.charged = False
        """Whether the caller has said that it pays, of a bucket of which that is wanted."""
        self.context: dict[str, Any] = {}
        """What the handler adds to that on which policies may decide (`s3:RequestObjectTag/…`)."""

    @property
    def key_text(self) -> str:
        return self.key.decode("utf-8", "replace")

    @property
    def scheme(self) -> str:
        return "https" if self.request.secure else "http"

    @property
    def url(self) -> str:
        """Scheme and host, as the client has them."""
        return f"{self.scheme}://{self.header('host') or ''}"

    @property
    def account(self) -> str:
        """Empty for an anonymous request."""
        return self.principal.account if self.principal else ""

    @property
    def canonical_id(self) -> str:
        return self.principal.canonical_id if self.principal else ""

    @property
    def bucket(self) -> Row:
        """The bucket, as it was when the request was let in."""
        assert self.bucket_row is not None
        return self.bucket_row

    def header(self, name: str) -> str | None:
        return self.request.header(name)

    def read(self) -> AbstractContextManager[Tx]:
        """A snapshot to read from: that of `one_snapshot`, if there is one."""
        return self.database.read() if self._snapshot is None else nullcontext(self._snapshot)

    @contextmanager
    def one_snapshot(self) -> Iterator[None]:
        """All that is read inside is read from one snapshot, which is begun once; nothing inside may take long."""
        with self.database.read() as self._snapshot:
            try:
                yield
            finally:
                self._snapshot = None

    def write(self) -> AbstractContextManager[Tx]:
        return self.database.write()

    def write_together(self) -> AbstractContextManager[Tx]:
        return self.database.write_together()

    def still_there(self, held: Row | None) -> Row:
        """The bucket that is held now; raises NoSuchBucket if it has gone meanwhile."""
        if held is None:
            raise errors.no_such_bucket(self.bucket_name)
        return held
