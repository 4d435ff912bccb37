"""The TCP ports at which hosts of a laboratory have answered each other on their underlay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from cumulet.lib.command import run

_RULES = """
table bridge listening {
  set answered { type inet_service; flags dynamic; size 1000; }
  chain between_hosts {
    type filter hook prerouting priority 0;
    iifname "u-*" tcp flags & (syn | ack) == syn | ack add @answered { tcp sport }
  }
  chain of_the_controller {
    type filter hook output priority 0;
    oifname "u-*" tcp flags & (syn | ack) == syn | ack add @answered { tcp sport }
  }
}
"""


class Answered:
    """Since the underlay is there."""

    def ports(self) -> set[int]:
        listed = json.loads(run(["nft", "-j", "list", "set", "bridge", "listening", "answered"]).stdout)
        (found,) = (one["set"] for one in listed["nftables"] if "set" in one)
        return set(found.get("elem", []))


@contextmanager
def answered() -> Iterator[Answered]:
    """For `Lab(prepare=…)`."""
    run(["nft", "-f", "-"], stdin=_RULES)
    yield Answered()
