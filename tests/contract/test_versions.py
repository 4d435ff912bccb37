"""Programs whose contracts are one apart: what the older one says and has on its hosts, this one understands, and back.

What this program says is kept in `versions/contract-N.json`; `make record-contract` writes that of a new contract.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.in_memory import tmp_path as tmp_path
from support.more_hosts import add_host
from support.recording import HOSTS, Record, Said, kept
from support.shapes import CROSSING, KINDS, Field, Shape, differences, shapes, types_of, unreadable
from support.tested_cloud import TestedCloud

from cumulet.agent import documents, heartbeat, lease
from cumulet.agent.heartbeat import Beat, Heard
from cumulet.bus import remote
from cumulet.bus.memory import MemoryBus
from cumulet.bus.remote import Answer, Order, Remote
from cumulet.control import hosts
from cumulet.drivers import image_specs, specs
from cumulet.lib import seen
from cumulet.lib.config import AGENTS, Config
from cumulet.lib.contract import CONTRACT, gap
from cumulet.model import capacity, host
from cumulet.parts import fake_drivers
from cumulet.services import Host, heartbeat_of

RECORDS = [record for record in (kept(CONTRACT - 1), kept(CONTRACT)) if record is not None]
each_record = pytest.mark.parametrize("record", RECORDS, ids=[f"contract-{one.contract}" for one in RECORDS])


def hosts_of(directory: Path, bus: MemoryBus) -> dict[str, Host]:
    """The hosts of the record, with nothing on them, with the agents of this program."""
    made = {}
    for name in HOSTS:
        config = Config(state_dir=directory / name, drivers="fake", test=True, host_name=name)
        parts = fake_drivers(config.state_dir / "world", lambda id: None, image_directory=directory / "images")
        made[name] = Host(config, bus, parts, heartbeat_of(config, bus))
    return made


def orders(record: Record, first: int | None = None) -> list[Said]:
    """To agents, among the first questions."""
    return [one for one in record.said[:first] if one.topic != "scheduler"]


def test_a_contract_is_recorded_before_it_is_used() -> None:
    assert kept(CONTRACT) is not None, "make record-contract"
    said = [msgspec.json.decode(one.message) for record in RECORDS for one in orders(record)]
    missing = KINDS - {"ExportSpec"} - {type(specs.decode(order.spec)).__name__ for order in _ensures(RECORDS[-1])}
    assert not missing, "nothing was recorded of these"
    assert {order["verb"] for order in said} == {"ensure", "remove", "observe", "look", "ask"}


def _ensures(record: Record) -> list[Order]:
    found = [msgspec.json.decode(one.message, type=Order) for one in orders(record)]
    return [order for order in found if order.verb == "ensure"]


def test_no_struct_that_crosses_is_forgotten() -> None:
    found = {
        one
        for module in (specs, image_specs, seen, remote, heartbeat, documents, lease)
        for name, one in vars(module).items()
        if isinstance(one, type) and issubclass(one, msgspec.Struct) and one.__module__ == module.__name__
        if not name.startswith("_")
    }
    assert found == set(CROSSING), "support/shapes.py has all of them"


def test_whoever_changes_what_is_said_makes_it_another_contract() -> None:
    record = kept(CONTRACT)
    assert record is not None
    found = differences(record.shapes, shapes())
    assert not found, "make CONTRACT (lib/contract.py) one more, and `make record-contract`"


@each_record
def test_what_one_has_to_be_told_the_other_always_says(record: Record) -> None:
    found = unreadable(record.shapes, shapes())
    assert not found, "this takes two contracts: first with a default (docs/decisions/0031)"


@pytest.mark.parametrize(
    ("field", "now", "said"),
    [
        ("size", None, ["Disk.size is gone"]),
        ("size", Field("str", "1"), ["Disk.size was int (default 1), is str (default 1)"]),
        ("size", Field("int", "2"), ["Disk.size was int (default 1), is int (default 2)"]),
        ("more", Field("int"), ["Disk.more is new and has no default"]),
        ("more", Field("int", "0"), []),
    ],
)
def test_the_guard_sees_a_field_that_goes_changes_or_must_be_given(
    field: str, now: Field | None, said: list[str]
) -> None:
    old = Shape({"id": Field("str"), "size": Field("int", "1")})
    fields = {name: one for name, one in {**old.fields, field: now}.items() if one is not None}
    assert differences({"Disk": old}, {"Disk": Shape(fields)}) == said
    must = [] if now is None or now.default else ["Disk.more must be given by one and need not by the other"]
    assert unreadable({"Disk": old}, {"Disk": Shape(fields)}) == must


@each_record
def test_the_orders_of_the_other_are_carried_out_and_it_understands_the_answers(record: Record, tmp_path: Path) -> None:
    bus = MemoryBus()
    site = hosts_of(tmp_path, bus)
    older = types_of(record.shapes)
    thing: Any = older["Seen"]
    results: dict[str, Any] = {"look": thing | None, "observe": list[thing]}
    for one in orders(record):
        answer = msgspec.json.decode(bus.call(one.topic, one.message.encode()), type=older["Answer"])
        was = msgspec.json.decode(one.answer, type=older["Answer"])
        assert (answer.error, answer.message) == (was.error, was.message), one.message
        verb = msgspec.json.decode(one.message)["verb"]
        msgspec.json.decode(answer.result, type=results.get(verb, Any))
    for made in site.values():  # it ends with all gone
        assert made.agents["compute"].driver.observe() == made.agents["network"].driver.observe() == []


@each_record
def test_the_other_understands_the_orders_and_reports_of_this_one(record: Record) -> None:
    older = types_of(record.shapes)
    for kind in CROSSING:
        full = msgspec.json.encode(_full(kind))
        name = kind.__name__
        if name not in record.shapes:
            continue  # the older one is not told of it
        assert msgspec.json.decode(full, type=older[name]) is not None
        if name in KINDS:
            assert type(msgspec.json.decode(full, type=older["Spec"])).__name__ == name


def _full(kind: type[msgspec.Struct]) -> Any:
    """One with a value in each field."""
    return kind(**{one.name: _value(one.type) for one in msgspec.structs.fields(kind)})


def _value(type: Any) -> Any:
    """By what msgspec says of the type: the last of its choices, and one of a list."""
    return _valued(msgspec.inspect.type_info(type))


def _valued(info: Any) -> Any:
    match info:
        case msgspec.inspect.UnionType(types=types):
            return _valued(next(one for one in types if not isinstance(one, msgspec.inspect.NoneType)))
        case msgspec.inspect.LiteralType(values=values):
            return values[-1]
        case msgspec.inspect.StructType(cls=cls):
            return _full(cls)
        case msgspec.inspect.ListType(item_type=item):
            return [_valued(item)]
        case msgspec.inspect.DictType():
            return {"key": "value"}
        case msgspec.inspect.RawType():
            return msgspec.Raw(b'{"key": 1}')
    plain = {"BoolType": True, "IntType": 7, "FloatType": 7.5}
    return plain.get(type(info).__name__, "text")


@each_record
def test_the_reports_of_the_other_are_heard(record: Record, tmp_path: Path) -> None:
    cloud = TestedCloud(tmp_path)
    older = types_of(record.shapes)
    try:
        for one in record.said:
            if one.topic == "scheduler":
                msgspec.json.decode(cloud.cloud.bus.call("scheduler", one.message.encode()), type=older["Heard"] | None)
        with cloud.database.read() as tx:
            found = {row.host: row.contract for row in host.services(tx) if row.role == "compute"}
        assert found == dict.fromkeys(HOSTS, record.contract)
    finally:
        cloud.stop()


@each_record
def test_the_answers_of_the_other_are_understood(record: Record) -> None:
    for one in orders(record):
        bus = MemoryBus()
        bus.serve(one.topic, lambda message, sender, one=one: one.answer.encode())  # type: ignore[misc]
        order = msgspec.json.decode(one.message, type=Order)
        driver = Remote(bus, one.topic)
        match order.verb:
            case "ensure":
                driver.ensure(specs.decode(order.spec))
            case "remove":
                driver.remove(order.id)
            case "observe":
                assert [there.id for there in driver.observe()] == [
                    there["id"] for there in msgspec.json.decode(one.answer)["result"]
                ]
            case "look":
                driver.look(order.id)
            case "ask":
                assert driver.ask(order.question, order.id) != b""


@each_record
def test_an_agent_starts_with_the_documents_of_the_other(record: Record, tmp_path: Path) -> None:
    bus = MemoryBus()
    hosts_of(tmp_path, bus)
    for one in orders(record, record.halfway):
        bus.call(one.topic, one.message.encode())
    for name, roles in record.documents.items():
        for lost in ("domain", "tap"):  # the machine was rebooted
            shutil.rmtree(tmp_path / name / "world" / lost)
        for role, kept_there in roles.items():
            for id, text in kept_there.items():
                path = tmp_path / name / "agents" / role / f"{id}.json"
                path.write_text(text)
    site = hosts_of(tmp_path, MemoryBus())
    for role in AGENTS:
        assert [id for made in site.values() for id in made.agents[role].recover()] == []
        for name, made in site.items():
            there = {one.id for one in made.agents[role].driver.observe()}
            assert there >= record.documents[name][role].keys(), (name, role)


def test_what_a_newer_one_adds_is_passed_over_and_what_is_strange_does_no_harm(tmp_path: Path) -> None:
    bus = MemoryBus()
    agent = hosts_of(tmp_path, bus)["h1"].agents["volume"]
    new = b'{"verb":"ensure","id":"vol-1","new":1,"spec":{"type":"volume","id":"vol-1","size_gib":1,"new":{"a":[1]}}}'
    assert msgspec.json.decode(bus.call("volume.h1", new), type=Answer).error == ""
    strange = new.replace(b'"type":"volume"', b'"type":"cupboard"').replace(b"vol-1", b"cup-1")
    answer = msgspec.json.decode(bus.call("volume.h1", strange), type=Answer)
    assert answer.error == "failure"
    assert f"contract {CONTRACT} does not know" in answer.message
    path = tmp_path / "h1" / "agents" / "volume" / "cup-1.json"
    path.write_text('{"epoch":1,"spec":{"type":"cupboard","id":"cup-1"}}')
    assert agent.recover() == ["cup-1"], "the others are recovered"


@pytest.mark.parametrize(
    ("contract", "said"), [(CONTRACT + 2, "2 contracts newer"), (CONTRACT - 2, "2 contracts older")]
)
def test_a_host_that_is_too_far_gets_no_new_work_and_it_is_said_why(contract: int, said: str, tmp_path: Path) -> None:
    cloud = TestedCloud(tmp_path)
    try:
        ec2 = cloud.client()
        at_home = ec2.run_instances(ImageId=cloud.image, InstanceType="m1.tiny", MinCount=1, MaxCount=1)
        cloud.settle()
        ids = [at_home["Instances"][0]["InstanceId"]]
        _say(cloud, contract)
        made = ec2.run_instances(ImageId=cloud.image, InstanceType="m1.tiny", MinCount=1, MaxCount=1)
        cloud.settle()
        refused = ec2.describe_instances(InstanceIds=[made["Instances"][0]["InstanceId"]])
        assert "1 of another version" in refused["Reservations"][0]["Instances"][0]["StateReason"]["Message"]
        ec2.terminate_instances(InstanceIds=ids)
        cloud.settle()
        assert cloud.cloud.remote("compute", "h1").observe() == [], "what is there can still be ended"
        with cloud.database.write() as tx:
            assert said in hosts.one(tx, cloud.config, "h1")["gap"]
            assert (host.usable(tx, "image"), host.living(tx, "image")) == (set(), {"h1"})
            assert capacity.place_disk(tx, "us-east-1a", 1, cloud.config) is None
        add_host(cloud, "h2")
        with cloud.database.write() as tx:
            assert capacity.place_disk(tx, "us-east-1a", 1, cloud.config) == "h2"
    finally:
        cloud.stop()


def _say(cloud: TestedCloud, contract: int) -> None:
    """h1 is heard with another contract."""
    beat = Beat(host="h1", roles=list(AGENTS), zones=["us-east-1a"], contract=contract, vcpus=8, memory_mib=8192)
    answer = cloud.cloud.bus.call("scheduler", msgspec.json.encode(msgspec.structs.replace(beat, disk_gib=100)))
    assert msgspec.json.decode(answer, type=Heard) is not None


def test_one_apart_is_understood() -> None:
    assert [gap(CONTRACT + by) for by in (-1, 0, 1)] == ["", "", ""]
