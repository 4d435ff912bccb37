"""Describing instances: grouped, filtered, paged, each account's own, and why they are as they are."""

from __future__ import annotations

from typing import Any

import pytest
from support.launching import described, found, launched, one_of, shown
from support.refusals import code, message

from cumulet.model import work


def test_an_instance_is_found_by_what_it_is(cloud: Any, ec2: Any) -> None:
    ec2.create_key_pair(KeyName="mine", KeyType="ed25519")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}]
    launched(cloud, ec2, Placement={"AvailabilityZone": "us-east-1b"}, InstanceType="t2.nano")
    id = launched(cloud, ec2, KeyName="mine", TagSpecifications=tags, ClientToken="tok")
    one = shown(ec2, id)
    (nic,), (disk,) = one["NetworkInterfaces"], one["BlockDeviceMappings"]
    (reservation,) = ec2.describe_instances(InstanceIds=[id])["Reservations"]
    for filters in (
        {"instance-id": id},
        {"availability-zone": "us-east-1a"},
        {"availability-zone-id": "use1-az1"},
        {"client-token": "tok"},
        {"instance-type": "m1.*"},
        {"ip-address": one["PublicIpAddress"]},
        {"dns-name": one["PublicDnsName"]},
        {"private-ip-address": one["PrivateIpAddress"]},
        {"private-dns-name": one["PrivateDnsName"]},
        {"key-name": "mine"},
        {"tag:Name": "w?b"},
        {"tag-key": "Name"},
        {"reservation-id": reservation["ReservationId"]},
        {"subnet-id": one["SubnetId"]},
        {"block-device-mapping.volume-id": disk["Ebs"]["VolumeId"]},
        {"network-interface.network-interface-id": nic["NetworkInterfaceId"]},
        {"network-interface.attachment.attachment-id": nic["Attachment"]["AttachmentId"]},
        {"network-interface.attachment.instance-id": id},
        {"network-interface.mac-address": nic["MacAddress"]},
        {"network-interface.association.public-ip": one["PublicIpAddress"]},
        {"network-interface.addresses.private-ip-address": one["PrivateIpAddress"]},
        {"network-interface.availability-zone": "us-east-1a"},
    ):
        assert found(ec2, **filters) == {id}, filters


def test_filters_that_hold_for_all_find_all_and_others_none(cloud: Any, ec2: Any) -> None:
    both = {launched(cloud, ec2), launched(cloud, ec2)}
    owner = {"owner-id": cloud.admin.id, "image-id": cloud.image, "instance-state-name": "running"}
    assert found(ec2, **owner) == both
    assert found(ec2, **{"instance-state-code": "16", "architecture": "x86_64", "group-name": "default"}) == both
    assert found(ec2, **{"root-device-name": "/dev/sda1", "monitoring-state": "disabled"}) == both
    assert found(ec2, **{"metadata-options.http-tokens": "optional", "tenancy": "default"}) == both
    assert found(ec2, **{"launch-time": "20*", "block-device-mapping.attach-time": "20*"}) == both
    assert found(ec2, **{"network-interface.attachment.attach-time": "20*"}) == both
    assert found(ec2, **{"kernel-id": "aki-1"}) == set()
    assert found(ec2, **{"instance-lifecycle": "spot"}) == set()
    assert found(ec2, **{"instance-state-name": "stopped"}) == set()


def test_a_filter_that_aws_does_not_have_is_refused(cloud: Any, ec2: Any) -> None:
    wrong = [{"Name": "colour", "Values": ["blue"]}]
    assert code(ec2.describe_instances, Filters=wrong) == "InvalidParameterValue"


def test_instances_come_in_pages(cloud: Any, ec2: Any) -> None:
    made = ec2.run_instances(**one_of(cloud, MinCount=12, MaxCount=12))["Instances"]
    pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    sizes, ids = [], []
    for page in pages:
        instances = [one for reservation in page["Reservations"] for one in reservation["Instances"]]
        sizes.append(len(instances))
        ids += [one["InstanceId"] for one in instances]
    assert sizes == [5, 5, 2]
    assert ids == [one["InstanceId"] for one in made]


def test_ids_and_pages_do_not_go_together(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    assert code(ec2.describe_instances, InstanceIds=[id], MaxResults=5) == "InvalidParameterCombination"


def test_an_id_that_is_not_there_is_refused_in_awss_words(cloud: Any, ec2: Any) -> None:
    one, two = "i-0123456789abcdef0", "i-0123456789abcdef1"
    assert code(ec2.describe_instances, InstanceIds=[one]) == "InvalidInstanceID.NotFound"
    assert message(ec2.describe_instances, InstanceIds=[one]) == f"The instance ID '{one}' does not exist"
    assert message(ec2.describe_instances, InstanceIds=[one, two]) == f"The instance IDs '{one}, {two}' do not exist"
    assert code(ec2.describe_instances, InstanceIds=["foo"]) == "InvalidInstanceID.Malformed"


def test_another_account_sees_and_reaches_nothing_of_it(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    other = cloud.account("other").client()
    assert described(other) == []
    refused = "InvalidInstanceID.NotFound"
    for call in (
        other.describe_instances,
        other.describe_instance_status,
        other.terminate_instances,
        other.stop_instances,
        other.start_instances,
        other.reboot_instances,
        other.monitor_instances,
        other.unmonitor_instances,
        other.describe_instance_credit_specifications,
    ):
        assert code(call, InstanceIds=[id]) == refused
    assert code(other.get_console_output, InstanceId=id) == refused
    assert code(other.describe_instance_attribute, InstanceId=id, Attribute="userData") == refused
    assert code(other.modify_instance_attribute, InstanceId=id, DisableApiStop={"Value": True}) == refused
    assert code(other.reset_instance_attribute, InstanceId=id, Attribute="sourceDestCheck") == refused
    assert code(other.modify_instance_metadata_options, InstanceId=id, HttpTokens="required") == refused
    assert code(other.modify_instance_maintenance_options, InstanceId=id, AutoRecovery="disabled") == refused
    assert code(other.get_instance_uefi_data, InstanceId=id) == refused
    assert shown(ec2, id)["State"]["Name"] == "running"


def test_a_terminated_instance_is_shown_without_its_parts(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    after = shown(ec2, id)
    assert after["State"] == {"Code": 48, "Name": "terminated"}
    assert after["NetworkInterfaces"] == after["BlockDeviceMappings"] == after["SecurityGroups"] == []
    assert not {"SubnetId", "VpcId", "PrivateIpAddress", "PublicIpAddress"} & set(after)
    assert after["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert after["StateTransitionReason"].startswith("User initiated (20")


@pytest.mark.parametrize("cloud", [{"terminated_seconds": 0.0}], indirect=True)
def test_a_terminated_instance_is_forgotten_after_its_time(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[id])
    cloud.settle()
    with cloud.database.write() as tx:
        work.wake(tx, "sweep", "cloud")
    cloud.settle()
    assert code(ec2.describe_instances, InstanceIds=[id]) == "InvalidInstanceID.NotFound"


def test_what_holds_an_instance_up_is_its_state_reason(cloud: Any, ec2: Any) -> None:
    (made,) = ec2.run_instances(**one_of(cloud))["Instances"]
    id = made["InstanceId"]
    disk = made["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    with cloud.database.write() as tx:
        work.wake(tx, "volume", disk)
    with cloud.database.write() as tx:
        tx.change(work.work.update().where(work.work.c.id == disk).values(error="no space left on h1", tries=3))
    reason = shown(ec2, id)["StateReason"]
    assert reason["Code"] == "Server.InternalError"
    assert "no space left on h1" in reason["Message"]
    cloud.settle()
    assert "StateReason" not in shown(ec2, id)


def test_what_an_instance_waits_for_is_no_error(cloud: Any, ec2: Any) -> None:
    (made,) = ec2.run_instances(**one_of(cloud))["Instances"]
    with cloud.database.write() as tx:
        mine = work.work.c.id == made["InstanceId"]
        tx.change(work.work.update().where(mine).values(error="waiting for vol-1"))
    assert shown(ec2, made["InstanceId"])["StateReason"] == {"Code": "pending", "Message": "waiting for vol-1"}


def test_an_instance_that_no_host_can_hold_is_terminated_with_the_reason(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2, InstanceType="r5.24xlarge")
    after = shown(ec2, id)
    assert after["State"]["Name"] == "terminated"
    assert after["StateReason"]["Code"] == "Server.InsufficientInstanceCapacity"


def test_an_elastic_address_is_shown_before_the_one_that_came_with_it(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    mine = ec2.allocate_address()
    ec2.associate_address(InstanceId=id, AllocationId=mine["AllocationId"])
    cloud.settle()
    after = shown(ec2, id)
    assert after["PublicIpAddress"] == mine["PublicIp"]
    assert after["NetworkInterfaces"][0]["Association"]["IpOwnerId"] == cloud.admin.id


def test_the_status_of_a_running_instance_is_ok(cloud: Any, ec2: Any) -> None:
    id = launched(cloud, ec2)
    (status,) = ec2.describe_instance_status(InstanceIds=[id])["InstanceStatuses"]
    assert status["InstanceState"]["Name"] == "running"
    assert status["InstanceStatus"]["Status"] == status["SystemStatus"]["Status"] == "ok"
    assert status["InstanceStatus"]["Details"] == [{"Name": "reachability", "Status": "passed"}]
    wanted = [{"Name": "instance-status.status", "Values": ["ok"]}]
    assert len(ec2.describe_instance_status(Filters=wanted)["InstanceStatuses"]) == 1


def test_the_status_of_others_is_shown_when_asked_for(cloud: Any, ec2: Any) -> None:
    stopped = launched(cloud, ec2)
    ec2.stop_instances(InstanceIds=[stopped])
    cloud.settle()
    (made,) = ec2.run_instances(**one_of(cloud))["Instances"]
    assert ec2.describe_instance_status(InstanceIds=[stopped])["InstanceStatuses"] == []
    statuses = ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]
    found = {status["InstanceId"]: status["InstanceStatus"]["Status"] for status in statuses}
    assert found == {stopped: "not-applicable", made["InstanceId"]: "initializing"}


def test_the_status_of_what_is_not_there_is_refused(cloud: Any, ec2: Any) -> None:
    absent = "i-0123456789abcdef0"
    assert code(ec2.describe_instance_status, InstanceIds=[absent]) == "InvalidInstanceID.NotFound"
    assert code(ec2.describe_instance_status, InstanceIds=["foo"]) == "InvalidInstanceID.Malformed"
