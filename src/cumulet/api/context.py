"""What a handler may use: who asks, the database, the configuration. It never calls a driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from cumulet.identity import quotas
from cumulet.identity.principal import Principal
from cumulet.lib.config import Config
from cumulet.lib.errors import Refusal
from cumulet.model import Database, Tx
from cumulet.wire.request import Request

Ask = Callable[[str, str, str, str], bytes]
"""(role, host, question, id) to the answer: a host's read-only facts, such as a guest's console. Raises `Failure`."""


class Objects(Protocol):
    """Objects of this cloud, as somebody may read them; raises `Refusal` with S3's code."""

    def find(self, ctx: Context, bucket: str, key: str) -> Found: ...
    def read(self, ctx: Context, found: Found) -> bytes: ...


class Found(NamedTuple):
    """An object that is there: where, its size in bytes, and its ETag."""

    bucket: str
    key: str
    size: int
    etag: str


class Context:
    """One request. In a dry run, what `write` would have committed is undone and refused with DryRunOperation."""

    def __init__(
        self,
        database: Database,
        config: Config,
        ask: Ask,
        principal: Principal,
        request_id: str,
        *,
        dry_run: bool = False,
        request: Request | None = None,
        objects: Objects | None = None,
    ) -> None:
        self.config = config
        self.ask = ask
        self.principal = principal
        self.account: str = principal.account
        self.request_id = request_id
        self.dry_run = dry_run
        self.request = request or Request.of("POST", "/")
        self.database = database
        self.objects = objects

    def quota(self, tx: Tx, name: str) -> int:
        """How much the account may have; nobody else counts until the end of the transaction."""
        return quotas.limit(tx, self.config, self.account, name)

    def quotas(self, tx: Tx, *names: str) -> dict[str, int]:
        """The same of several."""
        return quotas.limits(tx, self.config, self.account, *names)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        with self.database.read() as tx:
            yield tx

    @contextmanager
    def write(self) -> Iterator[Tx]:
        """The one transaction of this request: intent, and whom to wake."""
        with self.database.write() as tx:
            yield tx
            self.refuse_dry_run()

    def refuse_dry_run(self) -> None:
        """A dry run has gone well so far: AWS answers that with an error."""
        if self.dry_run:
            raise Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
