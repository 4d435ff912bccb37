"""The version of what goes between processes, and what is kept on hosts: orders, answers, reports and documents.

Processes whose versions are one apart work together (docs/decisions/0031); `tests/contract/test_versions.py` says when
it must become one more.
"""

from __future__ import annotations

CONTRACT = 1
OLDEST, NEWEST = CONTRACT - 1, CONTRACT + 1
"""Of those that this program works with."""


def understood(contract: int) -> bool:
    """Whether this program and a process of that contract understand each other."""
    return OLDEST <= contract <= NEWEST


def gap(contract: int) -> str:
    """In words, why they do not; empty where they do."""
    if understood(contract):
        return ""
    older, by = ("older", CONTRACT - contract) if contract < CONTRACT else ("newer", contract - CONTRACT)
    return f"its agents are {by} contracts {older} than this program (contract {contract}, here {CONTRACT})"
