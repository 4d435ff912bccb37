"""Who is who on RabbitMQ: the exchanges, the queues and the users, and who may speak for whom.

A host has a user of its own, `host-NAME`; any other user is the control plane's. RabbitMQ refuses a message that
names another sender than the user who sends it (the property `user_id`), so what is written here is about users who
are who they say they are. What each of them may touch at all is in `broker`.
"""

from __future__ import annotations

import re

from cumulet.lib import ids
from cumulet.lib.errors import Failure

REPORTS = "cumulet.reports"
"""Exchange of questions to a topic without a host, such as `scheduler`. Those to a host go to its queue directly."""
ANSWERS = "cumulet.answers"
"""Exchange of the answers of hosts."""
HINTS = "cumulet.hints"
"""Exchange of hints: everybody gives them, and the control plane has them."""
EVENTS = "cumulet.events"
"""Topic exchange of events of buckets, for those outside; hosts have no right to it."""

_HOST = "host-"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def host_user(host: str) -> str:
    """The user of a host; raises `Failure` for what is not the name of one."""
    if not _NAME.fullmatch(host):
        raise Failure(f"{host!r} is not the name of a host; it has letters, digits, dots and hyphens")
    return _HOST + host


def is_host(user: str) -> bool:
    return user.startswith(_HOST)


def may_speak_for(sender: str, host: str) -> bool:
    """Whether `sender` may say something in this host's name: itself, the control plane, or this process ("")."""
    return not is_host(sender) or sender == _HOST + host


def may_answer(sender: str, topic: str) -> bool:
    """Whether `sender` may answer a question to `topic`; no host may for a topic that is not a host's."""
    return may_speak_for(sender, topic.partition(".")[2])


PRIVATE = "[0-9a-f]{32}"
"""How the name of a queue that is one user's alone ends: `answers:USER:` and what nobody can guess."""
_TOKEN = re.compile(PRIVATE)


def private_queue(purpose: str, user: str) -> str:
    return f"{purpose}:{user}:{ids.token()}"


def is_answer_queue(queue: str, user: str) -> bool:
    """Whether it is for answers to this user: what is sent there reaches whoever has asked, and nobody else."""
    rest = queue.removeprefix(f"answers:{user}:")
    return rest != queue and _TOKEN.fullmatch(rest) is not None
