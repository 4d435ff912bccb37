"""Recovery: after a start, the agents of a host ensure all their documents again, with nobody telling them to.

A guest needs its tap before it starts and its VPC after; so the agents take turns until all of it holds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cumulet.agent.agent import Agent
from cumulet.lib.log import Log

log = Log("recovery")
PAUSE_SECONDS = 2.0
MOST_PASSES = 300


class Recovery:
    """Runs in a thread of its own; `agents` are in the order in which their things need each other."""

    def __init__(self, agents: Sequence[Agent]) -> None:
        self._agents = agents
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._recover, name="recovery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _recover(self) -> None:
        for number in range(MOST_PASSES):
            failed = [id for agent in self._agents for id in agent.recover()]
            if number > 0 and not failed:
                log.debug("recovered", passes=number + 1)
                return
            if failed and self._stopped.wait(PAUSE_SECONDS):
                return
        log.error("gave up recovering; the sweep goes on", failed=len(failed))
