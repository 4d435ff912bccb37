"""Stopping, starting, rebooting and terminating: what a user may ask for, and what becomes of the guest."""

from __future__ import annotations

from typing import Any

from support.launching import launched, one_of, shown
from support.orders import instance_order
from support.refusals import code, message


def state(ec2: Any, id: str) -> str:
    return str(shown(ec2, id)["State"]["Name"])


def stopped(cloud: Any, ec2: Any) -> str:
    id = launched(cloud, ec2)
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    return id


def test_an_instance_is_stopped(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    (change,) = ec2.stop_instances(InstanceIds=[id])["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "stopping")
    cloud.settle()
    after = shown(ec2, id)
    assert after["State"] == {"Code": 80, "Name": "stopped"}
    assert after["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert after["StateTransitionReason"].startswith("User initiated (20")
    assert after["StateTransitionReason"].endswith(" GMT)")
    order = instance_order(cloud, id)
    assert order is not None
    assert order.power == "off"


def test_a_stopped_instance_keeps_its_disk_and_private_address_but_not_its_public_one(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    before = shown(ec2, id)
    ec2.stop_instances(InstanceIds=[id])
    cloud.settle()
    after = shown(ec2, id)
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]
    assert after["BlockDeviceMappings"] == before["BlockDeviceMappings"]
    assert "PublicIpAddress" not in after


def test_a_stopped_instance_is_started_anew(cloud: Any, ec2: Any) -> None:
    id = stopped(cloud, ec2)
    before = shown(ec2, id)
    (change,) = ec2.start_instances(InstanceIds=[id])["StartingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("stopped", "pending")
    cloud.settle()
    after = shown(ec2, id)
    assert after["State"]["Name"] == "running"
    assert after["LaunchTime"] > before["LaunchTime"]
    assert after["StateTransitionReason"] == ""
    assert "StateReason" not in after
    assert after["PublicIpAddress"]
    order = instance_order(cloud, id)
    assert order is not None
    assert order.generation == 2


def test_a_forced_stop_leaves_no_time(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    ec2.stop_instances(InstanceIds=[id], Force=True)
    cloud.settle()
    order = instance_order(cloud, id)
    assert order is not None
    assert order.force_after <= cloud.clock.now()


def test_a_stop_gives_the_guest_its_time(cloud: Any, ec2: Any) -> None:
    id = stopped(cloud, ec2)
    order = instance_order(cloud, id)
    assert order is not None
    assert order.force_after > cloud.clock.now() + cloud.config.stop_grace_seconds / 2


def test_a_stop_under_way_may_be_forced(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    ec2.stop_instances(InstanceIds=[id])
    (change,) = ec2.stop_instances(InstanceIds=[id], Force=True)["StoppingInstances"]
    assert change["PreviousState"]["Name"] == change["CurrentState"]["Name"] == "stopping"
    cloud.settle()
    order = instance_order(cloud, id)
    assert order is not None
    assert order.force_after <= cloud.clock.now()


def test_what_is_so_already_is_no_error(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    (change,) = ec2.start_instances(InstanceIds=[id])["StartingInstances"]
    assert change["PreviousState"] == change["CurrentState"] == {"Code": 16, "Name": "running"}
    off = stopped(cloud, ec2)
    (change,) = ec2.stop_instances(InstanceIds=[off])["StoppingInstances"]
    assert change["PreviousState"] == change["CurrentState"] == {"Code": 80, "Name": "stopped"}


def test_a_pending_instance_may_be_stopped(cloud: Any, ec2: Any) -> None:
    (made,) = ec2.run_instances(**one_of(cloud))["Instances"]
    ec2.stop_instances(InstanceIds=[made["InstanceId"]])
    cloud.settle()
    assert state(ec2, made["InstanceId"]) == "stopped"


def test_a_reboot_starts_the_guest_again_and_it_goes_on_running(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    before = shown(ec2, id)
    ec2.reboot_instances(InstanceIds=[id])
    assert state(ec2, id) == "running"
    cloud.settle()
    after = shown(ec2, id)
    assert after["PublicIpAddress"] == before["PublicIpAddress"]
    assert after["LaunchTime"] == before["LaunchTime"]
    order = instance_order(cloud, id)
    assert order is not None
    assert order.generation == 2


def test_a_terminated_instance_leaves_nothing(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    (change,) = ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")
    cloud.settle()
    (change,) = ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"]
    assert change["PreviousState"] == change["CurrentState"] == {"Code": 48, "Name": "terminated"}
    assert instance_order(cloud, id) is None
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_a_stopped_instance_may_be_terminated(cloud: Any, ec2: Any) -> None:
    id = stopped(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    assert state(ec2, id) == "terminated"


def test_a_disk_may_outlive_its_instance_and_be_deleted_then(cloud: Any, ec2: Any) -> None:
    disks = [{"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": False}}]
    id = launched(cloud, ec2, BlockDeviceMappings=disks)
    (before,) = ec2.describe_volumes()["Volumes"]
    assert code(ec2.delete_volume, VolumeId=before["VolumeId"]) == "VolumeInUse"
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    (volume,) = ec2.describe_volumes()["Volumes"]
    assert (volume["State"], volume["Attachments"]) == ("available", [])
    ec2.delete_volume(VolumeId=volume["VolumeId"])
    cloud.settle()
    assert code(ec2.delete_volume, VolumeId=volume["VolumeId"]) == "InvalidVolume.NotFound"


def test_a_protected_instance_is_not_terminated(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, DisableApiTermination=True)
    assert code(ec2.terminate_instances, InstanceIds=[id]) == "OperationNotPermitted"
    assert "Modify its 'disableApiTermination'" in message(ec2.terminate_instances, InstanceIds=[id])
    ec2.modify_instance_attribute(InstanceId=id, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[id])
    assert state(ec2, id) == "shutting-down"


def test_an_instance_protected_from_stopping_is_not_stopped(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, DisableApiStop=True)
    assert code(ec2.stop_instances, InstanceIds=[id]) == "OperationNotPermitted"
    assert state(ec2, id) == "running"
    ec2.terminate_instances(InstanceIds=[id])
    assert state(ec2, id) == "shutting-down"


def test_all_are_changed_or_none(cloud: Any, ec2: Any) -> None:
    free, kept = launched(cloud, ec2), launched(cloud, ec2, DisableApiTermination=True, DisableApiStop=True)
    absent = "i-0123456789abcdef0"
    assert code(ec2.terminate_instances, InstanceIds=[free, kept]) == "OperationNotPermitted"
    assert code(ec2.terminate_instances, InstanceIds=[free, absent]) == "InvalidInstanceID.NotFound"
    assert code(ec2.stop_instances, InstanceIds=[free, kept]) == "OperationNotPermitted"
    assert code(ec2.reboot_instances, InstanceIds=[free, "foo"]) == "InvalidInstanceID.Malformed"
    assert state(ec2, free) == state(ec2, kept) == "running"


def test_what_does_not_fit_the_state_is_refused(cloud: Any, ec2: Any) -> None:
    off, stopping, gone = stopped(cloud, ec2), launched(cloud, ec2), launched(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[gone])
    cloud.settle()
    ec2.stop_instances(InstanceIds=[stopping])
    for call, id in (
        (ec2.reboot_instances, off),
        (ec2.start_instances, stopping),
        (ec2.reboot_instances, stopping),
        (ec2.start_instances, gone),
        (ec2.stop_instances, gone),
    ):
        assert code(call, InstanceIds=[id]) == "IncorrectInstanceState"
        assert id in message(call, InstanceIds=[id])


def test_a_reboot_of_what_is_terminated_is_ignored(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    ec2.reboot_instances(InstanceIds=[id])
    assert state(ec2, id) == "terminated"


def test_guests_are_not_hibernated(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    refused = code(ec2.stop_instances, InstanceIds=[id], Hibernate=True)
    assert refused == "UnsupportedHibernationConfiguration"


def test_a_dry_run_changes_nothing(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    for call in (ec2.stop_instances, ec2.reboot_instances, ec2.terminate_instances, ec2.start_instances):
        assert code(call, InstanceIds=[id], DryRun=True) == "DryRunOperation"
    cloud.settle()
    order = instance_order(cloud, id)
    assert order is not None
    assert (order.generation, order.power) == (1, "on")


def test_a_guest_that_shuts_down_is_stopped_or_terminated_as_it_was_launched(cloud: Any, ec2: Any) -> None:
    stays = launched(cloud, ec2)
    goes = launched(cloud, ec2, InstanceInitiatedShutdownBehavior="terminate")
    for id in (stays, goes):
        cloud.cloud.parts["compute"].driver.end(id)
    cloud.settle()
    assert (state(ec2, stays), state(ec2, goes)) == ("stopped", "terminated")
    assert shown(ec2, stays)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
