"""Which host an instance is given, by zone, dedication, attributes or name, and what is said where none would do."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import described, found, launched, one_of, shown
from support.more_hosts import add_host
from support.refusals import code, refusal

from cumulet.control import hosts, placing
from cumulet.lib.config import InstanceType
from cumulet.model import capacity, host, image, instance, work

INSUFFICIENT = "Server.InsufficientInstanceCapacity"
SSD = {"instance_types": {"s1.small": InstanceType(vcpus=1, memory_mib=512, requires={"ssd": "true"})}}


def change(cloud: Any, name: str, **values: Any) -> None:
    """What `cumulet host` does."""
    with cloud.database.write() as tx:
        hosts.change(tx, name, hosts.Change(**values))


def refused(ec2: Any, id: str) -> str:
    """Why an instance could not be launched."""
    one = shown(ec2, id)
    assert one["State"]["Name"] == "terminated"
    assert one["StateReason"]["Code"] == INSUFFICIENT
    return str(one["StateReason"]["Message"])


def counted(cloud: Any, name: str = "h1") -> capacity.Amount:
    with cloud.database.read() as tx:
        found = capacity.counted(tx)[name]
        assert capacity.promised(tx).get(name, capacity.NOTHING) == found
    return found


def test_capacity_is_promised_while_it_is_needed_and_the_disk_for_longer(cloud: Any, ec2: Any) -> None:
    disk = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}}]
    id = launched(cloud, ec2, InstanceType="t2.micro", BlockDeviceMappings=disk)
    assert counted(cloud) == (1, 1024, 3)
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    assert counted(cloud) == (0, 0, 3)
    ec2.modify_instance_attribute(InstanceId=id, InstanceType={"Value": "t2.medium"})
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    assert counted(cloud) == (2, 4096, 3)
    volume = shown(ec2, id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert counted(cloud) == (0, 0, 3)
    ec2.delete_volume(VolumeId=volume)
    cloud.settle()
    assert counted(cloud) == (0, 0, 0)


def test_a_host_that_was_forgotten_and_comes_back_counts_what_is_still_there(cloud: Any, ec2: Any) -> None:
    launched(cloud, ec2)
    with cloud.database.write() as tx:
        host.forget(tx, "h1")
    cloud.cloud.host.heartbeat.beat()
    assert counted(cloud) == (1, 512, 1)


def test_what_a_host_says_that_runs_no_guests_changes_nothing_for_those_that_do(cloud: Any, ec2: Any) -> None:
    """The roles of one machine may be several processes, each with a heartbeat of its own."""
    beat = cloud.cloud.host.heartbeat
    with cloud.database.read() as tx:
        before = host.find(tx, "h1")
    beat.facts, beat._roles = {}, ["network"]
    beat.beat()
    with cloud.database.read() as tx:
        assert host.find(tx, "h1") == before


@pytest.mark.parametrize("cloud", [{"disk_overcommit": 1e-9}], indirect=True)
def test_a_host_whose_disk_is_promised_takes_no_more(cloud: Any, ec2: Any) -> None:
    assert "1 with too little disk left" in refused(ec2, launched(cloud, ec2))


def test_a_disabled_host_takes_no_new_instance_and_starts_those_that_it_has(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    change(cloud, "h1", enabled=False)
    assert "of 1 host, 1 disabled" in refused(ec2, launched(cloud, ec2))
    ec2.start_instances(InstanceIds=[id])
    cloud.settle()
    assert shown(ec2, id)["State"]["Name"] == "running"
    change(cloud, "h1", enabled=True)
    assert shown(ec2, launched(cloud, ec2))["State"]["Name"] == "running"


def test_a_disabled_host_takes_no_new_volume(cloud: Any, ec2: Any) -> None:
    change(cloud, "h1", enabled=False)
    asked = {"AvailabilityZone": "us-east-1a", "Size": 1}
    assert code(ec2.create_volume, **asked) == "InsufficientVolumeCapacity"
    add_host(cloud, "h2")
    for _ in range(2):
        ec2.create_volume(**asked)
    assert (counted(cloud).disk_gib, counted(cloud, "h2").disk_gib) == (0, 2)
    change(cloud, "h1", enabled=True)
    ec2.create_volume(**asked)
    assert counted(cloud).disk_gib == 1


def test_a_host_stays_disabled_while_it_is_heard(cloud: Any, ec2: Any) -> None:
    change(cloud, "h1", enabled=False)
    cloud.cloud.host.heartbeat.beat()
    refused(ec2, launched(cloud, ec2))


def test_a_dedicated_host_takes_its_accounts_instances_only(cloud: Any, ec2: Any) -> None:
    bob = cloud.account("bob")
    change(cloud, "h1", attributes={"dedicated_to": "bob"})
    assert "1 not dedicated as it should be" in refused(ec2, launched(cloud, ec2))
    theirs = bob.client()
    with cloud.database.write() as tx:
        tx.change(image.image.update().values(public=True))
    for tenancy in ("default", "dedicated", "host"):
        one = shown(theirs, launched(cloud, theirs, Placement={"Tenancy": tenancy}))
        assert (one["State"]["Name"], one["Placement"]["Tenancy"]) == ("running", tenancy)
        assert one["Placement"].get("HostId") == ("h1" if tenancy == "host" else None)
    assert len(found(theirs, tenancy="host", host_id="h1")) == 1
    assert len(found(theirs, tenancy="dedicated")) == 1


def test_an_instance_that_wants_a_dedicated_host_gets_no_other(cloud: Any, ec2: Any) -> None:
    assert "1 not dedicated" in refused(ec2, launched(cloud, ec2, Placement={"Tenancy": "dedicated"}))


@pytest.mark.parametrize("cloud", [SSD], indirect=True)
def test_a_type_that_requires_an_attribute_runs_where_it_is(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2", host_attributes={"ssd": "true"})
    assert shown(ec2, launched(cloud, ec2, InstanceType="s1.small"))["Placement"]["HostId"] == "h2"
    change(cloud, "h2", attributes={"ssd": "false"})
    said = refused(ec2, launched(cloud, ec2, InstanceType="s1.small"))
    assert "2 without an attribute that the instance type requires" in said
    change(cloud, "h1", attributes={"ssd": "true"})
    assert shown(ec2, launched(cloud, ec2, InstanceType="s1.small"))["Placement"]["HostId"] == "h1"


def test_an_administrator_names_the_host_be_it_disabled_or_not(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2")
    change(cloud, "h2", enabled=False)
    id = launched(cloud, ec2, Placement={"HostId": "h2", "Affinity": "host"})
    placement = shown(ec2, id)["Placement"]
    assert (placement["HostId"], placement["Tenancy"], placement["Affinity"]) == ("h2", "host", "host")
    assert found(ec2, host_id="h2") == found(ec2, affinity="host") == {id}


def test_others_may_name_no_host_and_are_shown_none(cloud: Any, ec2: Any) -> None:
    bob = cloud.account("bob").client()
    with cloud.database.write() as tx:
        tx.change(image.image.update().values(public=True))
    error = refusal(bob.run_instances, **one_of(cloud, Placement={"HostId": "h1"}))
    assert error.response["Error"]["Code"] == "UnauthorizedOperation"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert described(bob) == []
    assert "HostId" not in shown(bob, launched(cloud, bob))["Placement"]


@pytest.mark.parametrize("cloud", [{"placement_policy": "pack"}], indirect=True)
def test_pack_fills_one_host_first(cloud: Any, ec2: Any) -> None:
    for name in ("h2", "h3"):
        add_host(cloud, name)
    ids = [launched(cloud, ec2, InstanceType="t2.nano") for _ in range(3)]
    assert len({shown(ec2, id)["Placement"]["HostId"] for id in ids}) == 1


def test_spread_uses_each_host(cloud: Any, ec2: Any) -> None:
    for name in ("h2", "h3"):
        add_host(cloud, name)
    ids = [launched(cloud, ec2, InstanceType="t2.nano") for _ in range(3)]
    assert {shown(ec2, id)["Placement"]["HostId"] for id in ids} == {"h1", "h2", "h3"}


def test_a_host_in_another_zone_is_not_used(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2", zones=["us-east-1b"])
    change(cloud, "h1", enabled=False)
    assert "1 in another zone" in refused(ec2, launched(cloud, ec2, Placement={"AvailabilityZone": "us-east-1a"}))
    id = launched(cloud, ec2, Placement={"AvailabilityZone": "us-east-1b"})
    assert shown(ec2, id)["Placement"]["HostId"] == "h2"


def test_what_another_scheduler_has_promised_meanwhile_is_not_promised_again(cloud: Any, ec2: Any) -> None:
    """This process still believes that the host is empty; the conditional commit knows better."""
    launched(cloud, ec2)
    with cloud.database.write() as tx:
        row = host.find(tx, "h1")
        assert row is not None
        rest = capacity.Amount(int(capacity.limits(row, cloud.config).vcpus) - 1, 1, 1)
        assert capacity.claim(tx, "h1", row.revision, rest, cloud.config)
        assert not capacity.claim(tx, "h1", row.revision, capacity.Amount(1, 1, 1), cloud.config)
        assert not capacity.claim(tx, "h1", row.revision + 1, capacity.NOTHING, cloud.config)
    assert "1 with too few vCPUs left" in refused(ec2, launched(cloud, ec2))
    with cloud.database.write() as tx:
        capacity.release(tx, "h1", rest)
    assert shown(ec2, launched(cloud, ec2))["State"]["Name"] == "running"


def test_a_host_that_has_been_silent_for_a_short_time_is_waited_for(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2", zones=["us-east-1b"])
    change(cloud, "h1", enabled=False)
    with cloud.database.write() as tx:
        tx.change(host.service.update().where(host.service.c.host == "h2").values(heard=tx.now - 30))
    id = launched(cloud, ec2, Placement={"AvailabilityZone": "us-east-1b"})
    one = shown(ec2, id)
    assert (one["State"]["Name"], one["StateReason"]["Message"]) == (
        "pending",
        "no compute host that would do is heard; h2 would",
    )
    with cloud.database.write() as tx:
        tx.change(host.service.update().where(host.service.c.host == "h2").values(heard=tx.now - 90))
        work.wake(tx, "instance", id)
    cloud.settle()
    assert "1 not heard" in refused(ec2, id)


def why(cloud: Any, id: str) -> dict[str, Any]:
    with cloud.database.read() as tx:
        return placing.why(tx, cloud.config, id)


def test_why_says_of_a_running_instance_what_each_host_would_have_done(cloud: Any, ec2: Any) -> None:
    add_host(cloud, "h2", zones=["us-east-1b"])
    id = launched(cloud, ec2, Placement={"AvailabilityZone": "us-east-1a"})
    said = why(cloud, id)
    assert (said["host"], said["state"], said["wanted"]["memory_mib"]) == ("h1", "running", 512)
    assert said["because"].startswith("spread: of the hosts that would do, it had most memory left")
    assert [(one["host"], one["barred"]) for one in said["hosts"]] == [
        ("h1", ""),
        ("h2", "it is in us-east-1b, not in us-east-1a"),
    ]


def test_why_says_of_a_refused_instance_what_barred_each_host(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, InstanceType="m5.24xlarge")
    said = why(cloud, id)
    assert said["reason"] == f"{INSUFFICIENT}: {said['reason'].partition(': ')[2]}"
    assert "vCPUs left, and 96 are wanted" in said["hosts"][0]["barred"]


def test_the_counted_promises_are_those_of_the_rows_after_all_this(cloud: Any, ec2: Any) -> None:
    ids = [launched(cloud, ec2) for _ in range(3)]
    ec2.terminate_instances(InstanceIds=ids[:2])
    cloud.settle()
    assert counted(cloud) == (1, 512, 1)
    with cloud.database.read() as tx:
        assert [row.claimed for row in instance.of_ids(tx, cloud.admin.id, ids)] == [False, False, True]
