"""A network without packets: taps, groups and tunnels are files."""

from __future__ import annotations

from typing import Any

from cumulet.drivers.contract import Seen
from cumulet.drivers.fake_world import FakeWorld
from cumulet.drivers.specs import GroupSpec, InterfaceSpec, Spec, VpcSpec, tap_name


class FakeNetwork:
    """A tap is made in the host's place, and moved to its VPC once a guest holds it; made anew when that has gone."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    def ensure(self, spec: Spec) -> None:
        if isinstance(spec, GroupSpec):
            rules = len(spec.ingress) + len(spec.egress)
            self._world.put("group", spec.id, {"rules": rules, "members": spec.members, "vpc": spec.vpc})
            return
        if isinstance(spec, VpcSpec):
            facts: dict[str, Any] = {"vni": spec.vni, "peers": {peer.ip: peer.via for peer in spec.peers}}
            self._world.put("tunnel", spec.id, facts | ({"vlan": spec.vlan} if spec.vlan else {}))
            return
        assert isinstance(spec, InterfaceSpec)
        name = tap_name(spec.id)
        facts = {"id": spec.id, "mtu": spec.mtu}
        facts |= {"ip": spec.ip, "public_ip": spec.public_ip, "groups": spec.groups, "vpc": spec.vpc}
        with self._world.lock:
            tap = self._world.get("tap", name) or {}
            self._world.put("tap", name, facts | self._placed(tap, stands_by=spec.stands_by))

    def remove(self, id: str) -> None:
        self._world.remove(*_place(id))

    def observe(self) -> list[Seen]:
        taps = [tap["id"] for name in self._world.names("tap") if (tap := self._world.get("tap", name))]
        return [Seen(id=id) for id in [*taps, *self._world.names("group"), *self._world.names("tunnel")]]

    def look(self, id: str) -> Seen | None:
        return Seen(id=id) if self._world.get(*_place(id)) is not None else None

    def _placed(self, tap: dict[str, Any], *, stands_by: bool) -> dict[str, Any]:
        holder = tap.get("holder", "")
        domain = self._world.get("domain", holder) if holder else None
        if domain is not None and domain["state"] != "off" and domain["boot"] == self._world.boot():
            return {"holder": holder, "place": "host" if stands_by else "vpc"}
        return {"holder": "", "place": "host"}


def _place(id: str) -> tuple[str, str]:
    """Kind and name of a thing's file."""
    match id.partition("-")[0]:
        case "sg":
            return "group", id
        case "vpc":
            return "tunnel", id
    return "tap", tap_name(id)
