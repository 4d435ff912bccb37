"""What the cloud answers its operator below `/_cumulet/`: health, a test's reset, why a thing waits, and its hosts."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
import sqlalchemy as sa

from cumulet import administration
from cumulet.administration import registry
from cumulet.control import hosts, placing
from cumulet.drivers.fake_world import FakeWorld
from cumulet.identity.audit import AuditLog, Trail
from cumulet.identity.principal import Principal
from cumulet.lib import ids
from cumulet.lib.config import Config
from cumulet.lib.errors import Away, Conflict, CumuletError, Failure, Unsure
from cumulet.lib.log import Log
from cumulet.model import Tx, account, bootstrap, host, image, join_ticket, tables, work
from cumulet.model.database import Row, retried
from cumulet.model.explanation import ROLE_OF, explain
from cumulet.services import Cloud

log = Log("admin")
TOKEN_HEADER = "x-cumulet-token"
SOURCE, OPERATOR = "cumulet", "operator"
"""In the audit log: where the operator's changes come from, and with which key."""
KEPT = {"account", "access_key", "certificate", "secret", "host", "service"}
KEPT |= {"image", "image_file", "work", "alembic_version"}
KEPT_WORK = ("sweep", "image_file")
Answer = tuple[int, bytes]
Wanted = TypeVar("Wanted")


def make_token(state: Path) -> str:
    """The secret with which the command asks the running cloud; only the state directory's owner can read it."""
    path = state / "admin.token"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(ids.token())
    return path.read_text()


class Administration:
    """The handler of `/_cumulet/…` (`Admin` of `api.app`)."""

    def __init__(self, cloud: Cloud, token: str) -> None:
        self._cloud = cloud
        self._token = token

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        parts = [unquote(part) for part in path.removeprefix("/_cumulet/").split("/")]
        match method, parts:
            case "GET", ["health"]:
                return self._health()
            case "POST", ["reset"]:
                return self._reset()
            case "GET", ["join", id]:
                return self._join(id)
        asked = self._asked(method, parts, body)
        if asked is None:
            return None
        answer = self._answered(asked, headers.get(TOKEN_HEADER, ""))
        if method == "POST":
            self._audit(parts, body, answer)
        return answer

    def _asked(self, method: str, parts: list[str], body: bytes) -> Callable[[], Any] | None:
        """What only the holder of the token is answered."""
        match method, parts:
            case "GET", ["explain", id]:
                return lambda: self._explain(id)
            case "GET", ["placement", id]:
                return lambda: self._read(lambda tx, config: placing.why(tx, config, id))
            case "GET", ["hosts"]:
                return lambda: self._read(hosts.listed)
            case "POST", ["hosts", name]:
                return lambda: self._change_host(name, body)
            case "GET", ["quotas", name]:
                return lambda: self._read(lambda tx, config: administration.quotas_of(tx, config, name))
            case "POST", ["quotas", name]:
                return lambda: self._grant(name, body)
            case "GET", ["users", name]:
                return lambda: self._read(lambda tx, config: administration.users_of(tx, name))
            case "POST", ["users", name]:
                return lambda: self._change_user(name, body)
            case "GET", [kind, *rest] if kind in registry.LOOKS:
                return lambda: self._read(lambda tx, config: registry.look(tx, config, kind, *rest))
            case "POST", [kind, act] if (kind, act) in registry.ORDERS:
                return lambda: self._order(kind, act, body)
        return None

    def _answered(self, asked: Callable[[], Any], token: str) -> Answer:
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return _answer(403, {"error": f"the header {TOKEN_HEADER} is not the content of admin.token"})
        try:
            return _answer(200, retried(asked))
        except (Conflict, Away, Unsure) as e:
            return _answer(503, {"error": str(e)})
        except Failure as e:
            return _answer(404, {"error": str(e)})

    def _audit(self, parts: list[str], body: bytes, answer: Answer) -> None:
        """What the operator changes is in the audit log of the first account, as its root's doing; refusals too."""
        config, clock = self._cloud.config, self._cloud.database.clock
        trail = Trail(ids.request_id(), SOURCE, SOURCE)
        trail.service, trail.parameters = SOURCE, _parameters(parts, body)
        trail.action = (
            f"{parts[1].title()}{parts[0].title()}" if tuple(parts) in registry.ORDERS else f"Change{parts[0].title()}"
        )
        if answer[0] != 200:
            trail.error = "Refused", str(msgspec.json.decode(answer[1])["error"])
        with suppress(Failure), self._cloud.database.read() as tx:
            first = account.named(tx, config.account)
            if first is not None and answer[0] != 403:
                shared = {"account": first.id, "canonical_id": first.canonical_id, "account_name": first.name}
                trail.principal = Principal(**shared, name="root", access_key=OPERATOR)
        AuditLog(config.audit_directory(), config.audit_days).write(trail, clock.now(), config.region)

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

    def _read(self, look: Callable[[Tx, Config], Any]) -> Any:
        with self._cloud.database.read() as tx:
            return look(tx, self._cloud.config)

    def _change_host(self, name: str, body: bytes) -> dict[str, Any]:
        wanted = _decoded(body, hosts.Change, 'the change of a host is JSON such as {"enabled": false}')
        with self._cloud.database.write() as tx:
            hosts.change(tx, name, wanted)
        return self._read(lambda tx, config: hosts.one(tx, config, name))  # type: ignore[no-any-return]

    def _grant(self, name: str, body: bytes) -> Any:
        wanted = _decoded(body, administration.Grant, 'a quota is JSON such as {"name": "vcpus", "value": 32}')
        with self._cloud.database.write() as tx:
            administration.grant(tx, name, wanted)
        return self._read(lambda tx, config: administration.quotas_of(tx, config, name))

    def _change_user(self, name: str, body: bytes) -> dict[str, Any]:
        right = 'the change of a user is JSON such as {"do": "create", "user": "ann"}'
        wanted = _decoded(body, administration.UserChange, right)
        with self._cloud.database.write() as tx:
            return administration.change_user(tx, name, wanted)

    def _order(self, kind: str, act: str, body: bytes) -> Any:
        with self._cloud.database.write() as tx:
            made = registry.order(tx, self._cloud.config, kind, act, body)
        log.info("the operator has ordered", kind=kind, act=act)
        return made

    def _explain(self, id: str) -> dict[str, Any]:
        with self._cloud.database.read() as tx:
            found = explain(tx, id)
        return found | {"host_says": self._look(found)}

    def _look(self, found: dict[str, Any]) -> dict[str, Any]:
        """What each host says that should know about it: the thing as it is there, nothing, or why it does not say."""
        return {host: self._look_at(ROLE_OF[found["kind"]], host, found["id"]) for host in found["hosts"]}

    def _look_at(self, role: str, host: str, id: str) -> Any:
        try:
            seen = self._cloud.remote(role, host).look(id)
        except CumuletError as e:
            return f"no answer: {e}"
        return msgspec.to_builtins(seen) if seen is not None else "it is not there"


def _parameters(parts: list[str], body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        found = None
    named = {} if tuple(parts) in registry.ORDERS else {"of": "/".join(parts[1:])}
    return {**named, **(found if isinstance(found, dict) else {})}


def _decoded(body: bytes, type: type[Wanted], right: str) -> Wanted:
    try:
        return msgspec.json.decode(body, type=type)
    except msgspec.DecodeError as e:
        raise Failure(f"{right}: {e}") from None


def reset(cloud: Cloud) -> None:
    """Empty every account of a test's cloud; accounts, keys, hosts and the images that were there first stay."""
    cloud.engine.stop()
    try:
        with cloud.database.write() as tx:
            _empty(tx)
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
    tx.change(image.image.delete().where(image.image.c.image_file.is_(None)))
    rows = tx.all(sa.select(image.image).order_by(image.image.c.created, image.image.c.id))
    first = {row.image_file: row.id for row in reversed(rows)}
    tx.change(image.image.delete().where(image.image.c.id.not_in(list(first.values()))))
    tx.change(image.image.update().values(deregistered=False))


def _answer(status: int, value: dict[str, Any]) -> Answer:
    return status, msgspec.json.encode(value)
