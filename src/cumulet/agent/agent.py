"""An agent: a driver on the bus, and the directory of the documents that it has been given.

The document `{epoch, spec}` is on disk before the driver is called. That one file gives refusal of stale orders,
recovery of every guest after a host's reboot with no control plane, and no database on the hosts. A thing that was
removed leaves `{epoch}` behind for a day, so that an order that comes late is still known to be late; so does one in
a directory that hosts share, which another host may keep by the time of the reboot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from cumulet.agent.documents import NOTHING, Document, Documents
from cumulet.bus.contract import Bus
from cumulet.bus.remote import Answer, Order
from cumulet.drivers import specs
from cumulet.drivers.contract import Driver
from cumulet.lib import crash
from cumulet.lib.contract import CONTRACT
from cumulet.lib.errors import Failure, Impossible, Later, Superseded
from cumulet.lib.log import Log

log = Log("agent")
Question = Callable[[str], bytes]


class Agent:
    """Serves `topic` with `driver`; `questions` are the driver's read-only ones, by name.

    `check` raises `Failure` for what may not be made now, and `Superseded` for what may not be made any more. Where
    this host `shares` with others what lasts on a disk, another one may keep that later, and remove it.
    """

    def __init__(
        self,
        topic: str,
        driver: Driver,
        directory: Path,
        *,
        questions: dict[str, Question] | None = None,
        durable: bool = True,
        check: Callable[[specs.Spec], None] = lambda spec: None,
        shares: bool = False,
    ) -> None:
        self.topic = topic
        self.driver = driver
        self.documents = Documents(directory, durable=durable)
        self._questions = questions or {}
        self._check = check
        self._shares = shares
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        """Of what is being done now: each goes when nobody holds it or waits for it."""
        self._guard = threading.Lock()
        self._locked: set[str] = set()

    def serve(self, bus: Bus) -> None:
        """Answer on the bus from now on."""
        bus.serve(self.topic, self.answer)

    def answer(self, message: bytes, sender: str = "") -> bytes:
        """Do one order or answer one question; every way not to succeed becomes an answer too.

        Whoever `sender` is may give orders: the broker lets only the control plane put questions to a host.
        """
        try:
            answer = Answer(result=self._do(msgspec.json.decode(message, type=Order)))
        except Superseded as e:
            answer = Answer(error="superseded", message=str(e))
        except Impossible as e:
            answer = Answer(error="impossible", code=e.code, message=e.message)
        except Later as e:
            answer = Answer(error="later", message=str(e), seconds=e.seconds)
        except Failure as e:
            answer = Answer(error="failure", message=_with_cause(e))
        except Exception as e:  # noqa: BLE001 - an agent outlives any order
            log.exception("order failed", topic=self.topic)
            answer = Answer(error="failure", message=f"{type(e).__name__}: {e}")
        return msgspec.json.encode(answer)

    def _do(self, order: Order) -> msgspec.Raw:
        match order.verb:
            case "ensure":
                self._ensure(order)
            case "remove":
                self._remove(order)
            case "observe":
                return msgspec.Raw(msgspec.json.encode(self.driver.observe()))
            case "look":
                return msgspec.Raw(msgspec.json.encode(self.driver.look(order.id)))
            case "ask":
                return msgspec.Raw(msgspec.json.encode(self._ask(order)))
        return msgspec.Raw(b"null")

    def _ensure(self, order: Order) -> None:
        spec = _understood(order.id, order.spec)
        with self._lock(order.id):
            self._check(spec)
            self.documents.put(order.id, Document(epoch=order.epoch, spec=self._kept(spec, order.spec)))
            crash.point("driver.before")
            self.driver.ensure(spec)
            self._locked.discard(order.id)
            crash.point("driver.after")

    def _kept(self, spec: specs.Spec, given: msgspec.Raw) -> msgspec.Raw:
        """What the document has of a spec: its bytes as they were given, without the keys of volumes."""
        if self._shares and specs.lasts(spec):
            return NOTHING
        kept = specs.keyless(spec)
        return given if kept is spec else msgspec.Raw(specs.encode(kept))

    def _remove(self, order: Order) -> None:
        with self._lock(order.id):
            self.documents.put(order.id, Document(epoch=order.epoch))
            crash.point("driver.before")
            self.driver.remove(order.id)
            self._locked.discard(order.id)
            crash.point("driver.after")

    def _ask(self, order: Order) -> bytes:
        question = self._questions.get(order.question)
        if question is None:
            raise Failure(f"{self.topic} has no question {order.question!r}; it has {', '.join(self._questions)}")
        return question(order.id)

    def recover(self) -> list[str]:
        """Ensure every document again (after a start of the agent, or of its host); gives the ids that failed."""
        return [id for id in self.documents.living() if not self._recover_one(id)]

    def _recover_one(self, id: str) -> bool:
        with self._lock(id):
            document = self.documents.get(id)
            if document is None or not document.living():
                return True
            try:
                spec = _understood(id, document.spec)
                if specs.needs_key(spec):
                    log.info("not recovered", id=id, why="the control plane has its key, and orders it again")
                    self._lock_up(id)
                    return True
                self._check(spec)
                crash.point("driver.before")
                self.driver.ensure(spec)
                crash.point("driver.after")
            except Superseded as e:
                log.info("not recovered", id=id, why=e)
            except Later as e:
                log.debug("not recovered yet", id=id, why=e)
                return False
            except (Failure, Impossible) as e:
                log.warning("not recovered yet", id=id, error=_with_cause(e))
                return False
            except Exception:  # noqa: BLE001 - the others are recovered, whatever is wrong with this one
                log.exception("not recovered yet", id=id)
                return False
        return True

    def awaiting_keys(self) -> list[str]:
        """The things that are off, since their keys, which no host keeps, have not been ordered after a start."""
        return sorted(self._locked.copy())

    def _lock_up(self, id: str) -> None:
        seen = self.driver.look(id)
        if seen is None or seen.state == "off":
            self._locked.add(id)

    def _lock(self, id: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(id, threading.Lock())


def _understood(id: str, spec: msgspec.Raw) -> specs.Spec:
    try:
        return specs.decode(bytes(spec))
    except msgspec.ValidationError as e:
        raise Failure(f"what should be of {id} is said in a way that contract {CONTRACT} does not know") from e


def _with_cause(e: BaseException) -> str:
    return f"{e} ({_with_cause(e.__cause__)})" if e.__cause__ else str(e)
