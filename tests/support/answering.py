"""The other side of `netns.Process`: a process that answers questions, one line of JSON each."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cumulet.lib.errors import CumuletError


def answer_questions(questions: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until nobody asks any more; `die` is answered by dying."""
    _say("ready")
    for line in sys.stdin:
        asked = json.loads(line)
        question = asked.pop("question")
        if question == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        _say(json.dumps(_answer(questions[question], asked)))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _answer(question: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": question(**arguments)}
    except CumuletError as e:
        cause = f" ({e.__cause__})" if e.__cause__ else ""
        code = getattr(e, "code", "")
        return {"error": type(e).__name__, "code": code, "message": f"{getattr(e, 'message', e)}{cause}"}
    except OSError as e:
        return {"error": type(e).__name__, "message": str(e)}
