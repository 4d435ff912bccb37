"""What the operator sees and changes of all accounts, of a cloud that runs and of one that does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from support.commands import Run, answered, command
from support.identity import document
from support.launching import launched, shown
from support.refusals import code
from support.tested_cloud import TestedCloud

from cumulet.admin import reset
from cumulet.drivers.specs import InterfaceSpec
from cumulet.model import group, tables, work

ONE_ZONE = {"zones": ["nova"]}
SMALL_POOL = {"public_pool": ["198.51.100.10-198.51.100.11"]}


def refused(run: Run, *words: str) -> str:
    done = run(*words)
    assert done.exit_code == 1, done.output
    assert len(done.stderr.splitlines()) == 1
    return str(done.stderr)


@pytest.mark.parametrize("cloud", [ONE_ZONE], indirect=True)
def test_a_new_account_gets_the_lowest_free_network(cloud: TestedCloud, run: Run) -> None:
    made = answered(run, "network", "create", "private", "10.0.0.0/8", "--size", "64", "--count", "2")
    assert [one["cidr"] for one in made] == ["10.0.0.0/26", "10.0.0.64/26"]
    bob = cloud.account("bob")
    assert bob.client().describe_vpcs()["Vpcs"][0]["CidrBlock"] == "10.0.0.0/26"
    assert bob.client().describe_subnets()["Subnets"][0]["CidrBlock"] == "10.0.0.0/26"
    listed = answered(run, "network", "list")
    assert [(one["label"], one["account"]) for one in listed] == [("private_0", "bob"), ("private_1", None)]
    assert "is that of the account" in refused(run, "network", "remove", "10.0.0.0/26")
    assert run("network", "remove", "10.0.0.64/26").exit_code == 0
    assert "all 1 networks are given" in refused(run, "account", "create", "ann")
    reset(cloud.cloud)
    assert bob.client().describe_vpcs()["Vpcs"][0]["CidrBlock"] == cloud.config.vpc_cidr
    assert answered(run, "network", "list") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["10.0.0.32/27", "--size", "32"], "10.0.0.32/27 overlaps 10.0.0.0/26 (private)"),
        (["10.0.0.0/26", "--count", "2", "--size", "64"], "has not room for 2 networks of 64"),
        (["10.0.0.1/8"], "is no IPv4 range"),
        (["10.0.0.0/8", "--size", "100"], "16, 32, 64 … or 65536 addresses, not 100"),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_name(run: Run, words: list[str], said: str) -> None:
    answered(run, "network", "create", "private", "10.0.0.0/26", "--size", "64")
    assert said in refused(run, "network", "create", "other", *words)


@pytest.mark.parametrize("cloud", [SMALL_POOL], indirect=True)
def test_a_pool_gives_addresses_without_network_and_broadcast(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    for _ in range(2):
        ec2.allocate_address()
    assert code(ec2.allocate_address) == "InsufficientAddressCapacity"
    answered(run, "pool", "create", "203.0.113.0/30")
    taken = {ec2.allocate_address()["PublicIp"] for _ in range(2)}
    assert taken == {"203.0.113.1", "203.0.113.2"}
    assert code(ec2.allocate_address) == "InsufficientAddressCapacity"
    listed = {one["range"]: (one["taken"], one["size"], one["origin"]) for one in answered(run, "pool", "list")}
    assert listed == {
        "198.51.100.10-198.51.100.11": (2, 2, "configuration"),
        "203.0.113.0/30": (2, 2, "command"),
    }
    assert "2 addresses of the pool 203.0.113.0/30 are taken" in refused(run, "pool", "remove", "203.0.113.0/30")
    assert [one["address"] for one in answered(run, "address", "list")][-1] == "203.0.113.2"
    for public_ip in taken:
        ec2.release_address(AllocationId=ec2.describe_addresses(PublicIps=[public_ip])["Addresses"][0]["AllocationId"])
    answered(run, "pool", "remove", "203.0.113.0/30")
    assert code(ec2.allocate_address) == "InsufficientAddressCapacity"


@pytest.mark.parametrize(
    ("range", "said"),
    [
        ("198.51.100.128/25", "overlaps 198.51.100.0/24, which is in the setting public_pool"),
        ("203.0.113.4-203.0.113.9", "overlaps 203.0.113.0/29, which is in `cumulet pool list`"),
        ("203.0.113.9-203.0.113.8", "ends before it begins"),
        ("203.0.113.1/24", "is no range of IPv4 addresses, such as"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_by_name(run: Run, range: str, said: str) -> None:
    answered(run, "pool", "create", "203.0.113.0/29")
    assert said in refused(run, "pool", "create", range)
    assert "is in the setting public_pool" in refused(run, "pool", "remove", "198.51.100.0/24")
    assert "there is no pool 1.2.3.4" in refused(run, "pool", "remove", "1.2.3.4")


@pytest.mark.parametrize("cloud", [SMALL_POOL], indirect=True)
def test_the_host_is_told_of_which_pool_an_address_is(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    """Its own settings do not have it, so that it would refuse to answer for it."""
    answered(run, "pool", "create", "203.0.113.0/29")
    address = ec2.allocate_address(Address="203.0.113.3")
    id = launched(cloud, ec2)
    ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=id)
    cloud.settle()
    documents = cloud.cloud.host.agents["network"].documents
    held = documents.get(next(id for id in documents.living() if id.startswith("eni-")))
    assert held is not None
    spec = msgspec.json.decode(held.spec, type=InterfaceSpec)
    assert (spec.public_ip, spec.public_range) == ("203.0.113.3", "203.0.113.1-203.0.113.6")


def test_types_are_offered_changed_hidden_and_restored(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    answered(run, "type", "add", "i1.large", "2", "3000", "ssd=true")
    described = ec2.describe_instance_types(InstanceTypes=["i1.large"])["InstanceTypes"][0]
    assert (described["VCpuInfo"]["DefaultVCpus"], described["MemoryInfo"]["SizeInMiB"]) == (2, 3000)
    first = shown(ec2, launched(cloud, ec2, InstanceType="i1.large"))
    assert first["State"]["Name"] == "terminated"
    assert "1 without an attribute that the instance type requires" in first["StateReason"]["Message"]
    assert run("host", "set", "h1", "ssd=true").exit_code == 0
    id = launched(cloud, ec2, InstanceType="i1.large")
    assert shown(ec2, id)["State"]["Name"] == "running"
    assert run("type", "remove", "i1.large").exit_code == 0
    assert run("type", "remove", "m1.tiny").exit_code == 0
    for name in ("i1.large", "m1.tiny"):
        assert code(lambda: launched(cloud, ec2, InstanceType=name)) == "InvalidParameterValue"  # noqa: B023
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    assert shown(ec2, id)["State"]["Name"] == "running"
    assert run("type", "restore", "m1.tiny").exit_code == 0
    launched(cloud, ec2, InstanceType="m1.tiny")
    assert "no command has changed" in refused(run, "type", "restore", "m1.tiny")
    assert "there is no instance type i1.large" in refused(run, "type", "remove", "i1.large")


def test_all_instances_are_listed_with_their_addresses(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    bob = cloud.account("bob")
    mine, his = launched(cloud, ec2), launched(cloud, bob.client())
    found = {one["id"]: one for one in answered(run, "instance", "list")}
    assert (found[mine]["account"], found[his]["account"], found[his]["host"]) == ("admin", "bob", "h1")
    assert [one["id"] for one in answered(run, "instance", "list", "--account", "bob")] == [his]
    assert answered(run, "instance", "list", "--state", "stopped") == []
    assert run("instance", "list", "--state", "stoped").exit_code == 2
    assert "there is no account bib; there are: admin, bob" in refused(run, "instance", "list", "--account", "bib")
    assert "there is no account bib" in refused(run, "usage", "--account", "bib")
    assert "there is no host h9; there are: h1" in refused(run, "instance", "list", "--host", "h9")
    nics = {one["instance"]: one for one in answered(run, "interface", "list", "--host", "h1")}
    assert nics[his]["address"] == found[his]["address"]
    assert "there is no host h9" in refused(run, "interface", "list", "--host", "h9")
    (zone, _) = answered(run, "zone", "list")
    assert (zone["available"], zone["hosts"]) == (True, ["h1"])
    host = answered(run, "host", "show", "h1")
    assert [(one["account"], one["instances"], one["vcpus"], one["disk_gib"]) for one in host["accounts"]] == [
        ("admin", 1, 1, 1),
        ("bob", 1, 1, 1),
    ]


def test_why_an_instance_has_ended_is_said_once(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    id = launched(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert answered(run, "explain", id)["reason"] == "Client.UserInitiatedShutdown: User initiated shutdown"


def test_reset_forgets_failures_and_wakes(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    id = launched(cloud, ec2)
    with cloud.database.write() as tx:
        mine = work.work.c.id == id
        tx.change(work.work.update().where(mine).values(tries=7, error="Failure: no", due=tx.now + 3600))
    assert answered(run, "instance", "reset", id) == {"id": id, "woken": [id]}
    with cloud.database.read() as tx:
        row = work.find(tx, "instance", id)
        assert row is not None
        assert (row.tries, row.error, row.due <= tx.now) == (0, "", True)
    assert "i-0123" in refused(run, "instance", "reset", "i-0123")


def test_usage_counts_the_hours_of_running(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    id = launched(cloud, ec2, InstanceType="m1.medium")
    cloud.pass_time(360)
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    cloud.pass_time(120)
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    cloud.pass_time(180)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    period = ["--since", "2020-01-01", "--until", "2099-01-01"]
    (used,) = answered(run, "usage", *period)
    assert (used["name"], used["instances"]) == ("admin", 1)
    assert used["instance_hours"] == pytest.approx(0.15, abs=0.01)
    assert used["vcpu_hours"] == pytest.approx(0.3, abs=0.02)
    assert used["memory_gib_hours"] == pytest.approx(0.6, abs=0.04)
    assert answered(run, "usage", "--since", "2020-01-01", "--until", "2020-02-01") == []


def test_an_account_goes_when_it_has_nothing_any_more(cloud: TestedCloud, run: Run) -> None:
    bob = cloud.account("bob")
    ec2 = bob.client()
    volume = ec2.create_volume(Size=1, AvailabilityZone="us-east-1a")["VolumeId"]
    iam = bob.client("iam")
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=document(Action="ec2:*"))
    cloud.settle()
    assert "bob has still 1 volumes" in refused(run, "account", "delete", "bob")
    assert run("volume", "delete", volume).exit_code == 0
    cloud.settle()
    assert run("account", "delete", "bob").exit_code == 0
    cloud.settle()
    assert code(lambda: ec2.describe_instances()) == "AuthFailure"
    assert "the cloud's first account" in refused(run, "account", "delete", "admin")
    assert "there is no account bob" in refused(run, "account", "delete", "bob")
    with cloud.database.read() as tx:
        left = [
            (table.name, row)
            for table in tables.metadata.sorted_tables
            if "account" in table.c
            for row in tx.all(sa.select(table).where(table.c.account == bob.id))
        ]
        assert left == []
        assert len(tx.all(sa.select(group.group))) == 1
    cloud.account("bob")


def test_an_image_is_removed_whoever_it_belongs_to(cloud: TestedCloud, ec2: Any, run: Run) -> None:
    bob = cloud.account("bob").client()
    made = launched(cloud, bob)
    his = bob.create_image(InstanceId=made, Name="his", NoReboot=True)["ImageId"]
    cloud.settle()
    bob.enable_image_deregistration_protection(ImageId=his)
    assert "protected from being deregistered" in refused(run, "image", "remove", his)
    bob.disable_image_deregistration_protection(ImageId=his)
    assert run("image", "remove", his).exit_code == 0
    assert [one["id"] for one in answered(run, "image", "list")] == [cloud.image]
    assert "there is no image" in refused(run, "image", "remove", his)
    assert bob.describe_images(Owners=["self"])["Images"] == []
    assert shown(bob, made)["State"]["Name"] == "running"


def test_a_script_that_is_not_there_is_named(run: Run) -> None:
    assert "there is no file /nowhere/x.py" in refused(run, "shell", "--script", "/nowhere/x.py")


def test_a_script_has_the_database_at_hand(cloud: TestedCloud, tmp_path: Any) -> None:
    script = tmp_path / "count.py"
    script.write_text("with database.read() as tx:\n    print(len(model.account.all(tx)), config.region)\n")
    assert command(cloud)("db", "shell", "--script", str(script)).stdout == "1 us-east-1\n"
