"""Requests are counted per bucket, and per metrics configuration of it whose filter chooses them.

Counted in memory, and added to the database from time to time: nobody waits for that, and what a process has counted
since is lost when it is killed. What belongs to which count is as "Amazon S3 CloudWatch request metrics" of the S3 User
Guide has it.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from cumulet.model import Database, bucket_count

if TYPE_CHECKING:
    from cumulet.api.s3.call import Answer, Call

Key = tuple[str, str]
"""Bucket and configuration; "" counts all requests."""
_BY_METHOD = {"GET": "gets", "PUT": "puts", "DELETE": "deletes", "HEAD": "heads", "POST": "posts"}

_OF_OBJECTS = ("gets", "puts", "deletes")


class Counts:
    """What has been counted since it was added to the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._waiting: dict[Key, dict[str, int]] = {}

    def count(self, call: Call | None, answer: Answer, received: int, sent: int, seconds: tuple[float, float]) -> None:
        """An answered request; `seconds` until its last byte was sent, and from its last byte to the answer's first."""
        if call is None or call.bucket_row is None:
            return
        kinds = ["requests", *filter(None, [kind_of(call)])]
        kinds += ["client_errors"] if 400 <= answer.status < 500 else ["server_errors"] if answer.status >= 500 else []
        amounts = {"bytes_in": received, "bytes_out": sent}
        amounts |= {"total_ms": round(1000 * seconds[0]), "first_byte_ms": round(1000 * seconds[1])}
        chosen = [id for id, one in (call.bucket_row.settings.get("metrics") or {}).items() if _chooses(one, call)]
        with self._lock:
            for configuration in ("", *chosen):
                sums = self._waiting.setdefault((call.bucket_name, configuration), {})
                for name in kinds:
                    sums[name] = sums.get(name, 0) + 1
                for name, amount in amounts.items():
                    sums[name] = sums.get(name, 0) + amount

    def flush(self) -> None:
        """Add what was counted to the database; what cannot be added now is kept for the next time."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
        if not taken:
            return
        try:
            with self._database.write() as tx:
                for (name, configuration), sums in sorted(taken.items()):
                    bucket_count.add(tx, name, configuration, sums)
        except BaseException:
            self._take_back(taken)
            raise

    def _take_back(self, taken: dict[Key, dict[str, int]]) -> None:
        with self._lock:
            for key, sums in taken.items():
                there = self._waiting.setdefault(key, {})
                for name, amount in sums.items():
                    there[name] = there.get(name, 0) + amount


def kind_of(call: Call) -> str:
    """Which of the kinds of requests it is, "" for none of them; a deletion of many is one, whatever its method."""
    if call.operation.startswith("List"):
        return "lists"
    if call.operation == "DeleteObjects":
        return "deletes"
    kind = _BY_METHOD.get(call.request.method, "")
    return kind if call.key or kind not in _OF_OBJECTS else ""


def _chooses(configuration: dict[str, Any], call: Call) -> bool:
    """Whether the filter of a configuration chooses the request; without one it chooses all of the bucket."""
    chosen = configuration.get("Filter")
    if chosen is None:
        return True
    several = chosen.get("And") or {}
    prefix = chosen.get("Prefix") or several.get("Prefix") or ""
    tags = [*several.get("Tags", []), *([chosen["Tag"]] if "Tag" in chosen else [])]
    has = {(one[0], one[1]) for one in call.tags}
    return call.key.startswith(prefix.encode()) and all((tag["Key"], tag["Value"]) in has for tag in tags)
