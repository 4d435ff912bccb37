"""The ways not to succeed.

CumuletError
├── Refusal       the request cannot be granted: a 4xx answer with AWS's code
├── Later         not yet: run again after so many seconds, or sooner when woken
├── Impossible    it can never be done: the user is told by a state reason
├── Superseded    somebody with a newer lease is at work: stop, change nothing
└── Failure       it did not work this time: said what and where, tried again
    ├── Unreachable   nobody answered: the agent is away or too slow
    ├── Conflict      the database has undone a transaction for another's sake: nothing has happened
    ├── Away          the database was not reached, or lost before the commit: nothing has happened
    ├── Full          the database's disk has no room: nothing has happened
    └── Unsure        the database was lost during the commit: it may have happened
"""

from __future__ import annotations


class CumuletError(Exception):
    """Anything that this program says about itself."""


class Refusal(CumuletError):
    """The request cannot be granted; `code` and `message` are AWS's wording, `status` is the HTTP status.

    `details` are further elements of the answer, where the protocol has such (S3: `BucketName`, `Key`, …).
    """

    def __init__(self, code: str, message: str, status: int = 400, /, **details: str) -> None:
        super().__init__(f"{code}: {message}")
        self.details = details
        self.code = code
        self.message = message
        self.status = status


class Later(CumuletError):
    """Not yet; run again after `seconds`, or sooner when woken."""

    def __init__(self, seconds: float, why: str = "") -> None:
        super().__init__(why or f"again in {seconds} s")
        self.seconds = seconds
        self.why = why


class Impossible(CumuletError):
    """It can never be done: the desired state becomes terminated, with `code` and `message` as its StateReason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Superseded(CumuletError):
    """A newer lease has spoken about this resource: this runner stops and changes nothing."""


class Failure(CumuletError):
    """It did not work this time; the text names the thing and the act, the cause follows by itself."""


class Unreachable(Failure):
    """Nobody answered in time."""


class Conflict(Failure):
    """The database has undone the transaction because of another one; nothing has happened."""


class Away(Failure):
    """The database was not reached, or lost before the commit; nothing has happened."""


class Full(Failure):
    """The database has no room to write; nothing has happened."""


class Unsure(Failure):
    """The database was lost during the commit; whether it has happened is not known."""


def with_cause(e: BaseException) -> str:
    """What went wrong on one line, and why in parentheses, where the text does not say so itself."""
    text = " ".join((getattr(e, "strerror", None) or str(e)).split())
    cause = with_cause(e.__cause__) if e.__cause__ else ""
    return text if cause in text else f"{text} ({cause})"
