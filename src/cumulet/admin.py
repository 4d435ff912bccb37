"""What the cloud answers its operator below `/_cumulet/`: health, a test's reset, tickets, and all that is signed."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import unquote

import msgspec
import sqlalchemy as sa

from cumulet.administration import gate, named
from cumulet.administration.desk import Desk
from cumulet.administration.gate import Answer
from cumulet.drivers.fake_world import FakeWorld
from cumulet.identity.audit import AuditLog
from cumulet.lib.errors import Failure
from cumulet.lib.log import Log
from cumulet.model import Tx, account, bootstrap, host, image, join_ticket, tables, work
from cumulet.model.database import Row, retried
from cumulet.services import Cloud, take_in_fake
from cumulet.wire.request import Request

log = Log("admin")
KEPT = {"account", "access_key", "certificate", "secret", "host", "service"}
KEPT |= {"image", "image_file", "work", "alembic_version"}
KEPT_WORK = ("sweep", "image_file")


class Administration:
    """The handler of `/_cumulet/…` (`Admin` of `api.app`)."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._desk = Desk(cloud.database, cloud.config, cloud.remote)
        self._resets = threading.Lock()

    def __call__(self, request: Request) -> Answer | None:
        parts = [unquote(part) for part in request.raw_path.removeprefix("/_cumulet/").split("/")]
        match request.method, parts:
            case "GET", ["health"]:
                return self._health()
            case "POST", ["reset"]:
                return self._reset()
            case "GET", ["join", id]:
                return self._join(id)
            case "POST", [name]:
                return gate.answer(self._desk, request, name)
        return None

    def _health(self) -> Answer:
        try:
            with self._cloud.database.read() as tx:
                tx.value(sa.select(sa.literal(1)))
        except Failure:
            return _answer(503, {"status": "the database does not answer"})
        return _answer(200, {"status": "ok"})

    def _reset(self) -> Answer:
        if not self._cloud.config.test:
            return _answer(403, {"error": "only a cloud that was started with --test can be reset"})
        with self._resets:  # they stop the engine, and start it again
            reset(self._cloud)
        return _answer(200, {"status": "ok"})

    def _join(self, id: str) -> Answer:
        """What a new host fetches, once: it is sealed with a key that its operator has."""
        try:
            found = retried(lambda: self._take_ticket(id))
        except Failure as e:
            return _answer(503, {"error": str(e)})
        if found is None:
            return _answer(404, {"error": "there is no such ticket (any more)"})
        log.info("a host has fetched its configuration", host=found.host)
        return 200, found.document.encode()

    def _take_ticket(self, id: str) -> Row | None:
        with self._cloud.database.write() as tx:
            return join_ticket.take(tx, id)


def reset(cloud: Cloud) -> None:
    """Empty every account of a test's cloud; accounts, keys, hosts and the images that were there first stay.

    An image that was deregistered so long ago that its file is gone is not among them; in place of the last one there
    is another.
    """
    cloud.engine.stop()
    try:
        with cloud.database.write() as tx:
            _empty(tx)
            if tx.first(sa.select(image.image.c.id).limit(1)) is None:
                take_in_fake(tx, named(tx, cloud.config.account).id)
            for owner in account.all(tx):
                bootstrap.create_default_vpc(tx, cloud.config, owner.id, cloud.config.vpc_cidr)
        AuditLog(cloud.config.audit_directory(), cloud.config.audit_days).empty()
        FakeWorld(cloud.config.state_dir / "world").clear(keep=("image",))
        if cloud.objects is not None:
            cloud.objects.keeper.sweep(older_than=-1.0)
        for role, agent in cloud.host.agents.items():
            if role != "image":
                agent.documents.clear()
    finally:
        cloud.engine.start()


def _empty(tx: Tx) -> None:
    for table in reversed(tables.metadata.sorted_tables):
        if table.name not in KEPT:
            tx.change(table.delete())
    tx.change(work.work.delete().where(work.work.c.kind.not_in(KEPT_WORK)))
    tx.change(account.access_key.delete().where(account.access_key.c.entity != ""))
    host.forget_promises(tx)
    there = sa.select(image.image_file.c.id).where(image.image_file.c.desired == "present")
    tx.change(image.image.delete().where(sa.func.coalesce(image.image.c.image_file, "").not_in(there)))
    rows = tx.all(sa.select(image.image).order_by(image.image.c.created, image.image.c.id))
    first = {row.image_file: row.id for row in reversed(rows)}
    tx.change(image.image.delete().where(image.image.c.id.not_in(list(first.values()))))
    tx.change(image.image.update().values(deregistered=False))


def _answer(status: int, value: dict[str, Any]) -> Answer:
    return status, msgspec.json.encode(value)
