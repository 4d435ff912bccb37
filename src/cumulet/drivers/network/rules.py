"""Which rules the kernel has already: what was applied, for as long as nobody changed anything since.

Replacing a rule by itself costs a grace period of the kernel (20 ms). So what was applied is remembered with the
generation number of the namespace's rules; when that number is another one than after our last change (somebody else's
hand, a new process, a new namespace), nothing is believed, and all is applied again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from cumulet.drivers.network import firewall, nft


@dataclass
class _Known:
    generation: int
    texts: dict[str, str] = field(default_factory=dict)


class Rules:
    """Of all VPCs. Its functions are to be called inside the network that they name, by one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def hold(self, network: str, key: str, text: str) -> bool:
        """Whether this text, and no other, was the last to be put for the key, and still holds."""
        return self._now(network).texts.get(key) == text

    def put(self, network: str, key: str, text: str, *, chains: Iterable[str] = (), first: str = "") -> None:
        """Make the text so, unless it is. These chains are made, and `first` is done, in the same transaction."""
        known = self._now(network)
        if known.texts.get(key) != text:
            there = nft.chains()
            nft.apply(firewall.declared(chain for chain in chains if chain not in there) + first + text)
            known.texts[key] = text
            known.generation = nft.generation()

    def drop(self, network: str, key: str, text: str) -> None:
        """Make this so, and believe nothing about the key any more."""
        known = self._now(network)
        known.texts.pop(key, None)
        nft.apply(text)
        known.generation = nft.generation()

    def forget(self, network: str) -> None:
        """Believe nothing any more."""
        with self._lock:
            self._known.pop(network, None)

    def _now(self, network: str) -> _Known:
        generation = nft.generation()
        with self._lock:
            known = self._known.get(network)
            if known is None or known.generation != generation:
                known = self._known[network] = _Known(generation)
            return known
