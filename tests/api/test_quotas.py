"""How much of everything an account may have, and that nobody gets more."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from support.identity import code, message, user
from support.operating import administer
from support.tested_cloud import TestedCloud

from cumulet import administration
from cumulet.identity import quotas

CLIENTS = 64


def launch(cloud: TestedCloud, **more: Any) -> Any:
    return cloud.client().run_instances(ImageId=cloud.image, **{"MinCount": 1, "MaxCount": 1, **more})


@pytest.mark.parametrize("cloud", [{"quota_vcpus": 3, "quota_instances": 5}], indirect=True)
def test_virtual_cpus_are_counted(cloud: TestedCloud) -> None:
    launch(cloud, InstanceType="t2.large")
    assert code(lambda: launch(cloud, InstanceType="t2.large")) == "VcpuLimitExceeded"
    assert "your current vCPU limit of 3 allows" in message(lambda: launch(cloud, InstanceType="t2.large"))
    assert len(launch(cloud, InstanceType="t2.nano", MaxCount=4)["Instances"]) == 1
    assert code(lambda: launch(cloud, InstanceType="t2.nano")) == "VcpuLimitExceeded"


@pytest.mark.parametrize("cloud", [{"quota_memory_gib": 1, "quota_key_pairs": 1, "quota_images": 0}], indirect=True)
def test_memory_key_pairs_and_images_are_counted(cloud: TestedCloud) -> None:
    ec2 = cloud.client()
    assert code(lambda: launch(cloud, InstanceType="t2.large")) == "MemoryLimitExceeded"
    ec2.create_key_pair(KeyName="one", KeyType="ed25519")
    assert code(lambda: ec2.create_key_pair(KeyName="two", KeyType="ed25519")) == "KeyPairLimitExceeded"
    register = ec2.register_image
    assert code(lambda: register(Name="another", ImageLocation="cumulet/tiny")) == "AmiLimitExceeded"


def test_an_account_may_have_another_quota(cloud: TestedCloud) -> None:
    other = cloud.account("other")
    with cloud.database.write() as tx:
        quotas.grant(tx, other.id, "addresses", 1)
    ec2 = other.client()
    ec2.allocate_address()
    assert code(lambda: ec2.allocate_address()) == "AddressLimitExceeded"
    cloud.client().allocate_address()
    cloud.client().allocate_address()
    with cloud.database.write() as tx:
        quotas.grant(tx, other.id, "addresses", None)
    ec2.allocate_address()


def test_service_quotas_tells_and_asks(cloud: TestedCloud) -> None:
    client = cloud.client("service-quotas")
    addresses = {"ServiceCode": "ec2", "QuotaCode": "L-0263D0A3"}
    found = client.get_service_quota(**addresses)["Quota"]
    assert (found["Value"], found["QuotaName"]) == (100.0, "EC2-VPC Elastic IPs")
    assert code(lambda: client.get_service_quota(ServiceCode="ec2", QuotaCode="none")) == "NoSuchResourceException"
    names = {one["QuotaCode"] for one in client.list_service_quotas(ServiceCode="ec2")["Quotas"]}
    assert names >= {"L-1216C47A", "L-0263D0A3", "L-0E3CBAB9"}
    request = client.request_service_quota_increase
    assert code(lambda: request(**addresses, DesiredValue=5)) == "IllegalArgumentException"
    asked = request(**addresses, DesiredValue=200)["RequestedQuota"]
    assert asked["Status"] == "PENDING"
    assert code(lambda: request(**addresses, DesiredValue=200)) == "ResourceAlreadyExistsException"
    with cloud.database.write() as tx:
        quotas.grant(tx, cloud.admin.id, "addresses", 200)
    history = client.list_requested_service_quota_change_history()["RequestedQuotas"]
    assert [(one["Id"], one["Status"]) for one in history] == [(asked["Id"], "APPROVED")]
    assert client.get_service_quota(**addresses)["Quota"]["Value"] == 200.0
    assert client.get_aws_default_service_quota(**addresses)["Quota"]["Value"] == 100.0
    other = cloud.account("other").client("service-quotas")
    look = other.get_requested_service_quota_change
    assert code(lambda: look(RequestId=asked["Id"])) == "NoSuchResourceException"


def test_service_quotas_is_checked_as_all_services_are(cloud: TestedCloud) -> None:
    ann = user(cloud, "ann")
    client = ann.client("service-quotas")
    assert code(lambda: client.list_service_quotas(ServiceCode="ec2")) == "AccessDeniedException"
    cloud.client("iam").attach_user_policy(UserName="ann", PolicyArn="arn:aws:iam::aws:policy/ServiceQuotasFullAccess")
    client.list_service_quotas(ServiceCode="ec2")
    ann.secret = "wrong"
    assert code(lambda: ann.client("service-quotas").list_service_quotas(ServiceCode="ec2")) == (
        "InvalidSignatureException"
    )


@pytest.mark.parametrize("cloud", [{"quota_addresses": 7, "quota_vcpus": 9, "quota_key_pairs": 5}], indirect=True)
def test_many_at_once_never_exceed_a_quota(cloud: TestedCloud) -> None:
    refused: set[str] = set()
    clients = [cloud.client(max_pool_connections=1) for _ in range(CLIENTS)]

    def use(number: int) -> None:
        ec2 = clients[number]
        for ask in (
            ec2.allocate_address,
            lambda: ec2.run_instances(ImageId=cloud.image, InstanceType="t2.nano", MinCount=1, MaxCount=1),
            lambda: ec2.create_key_pair(KeyName=f"k{number}", KeyType="ed25519"),
        ):
            try:
                ask()
            except ec2.exceptions.ClientError as e:
                refused.add(e.response["Error"]["Code"])

    threads = [threading.Thread(target=use, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ec2 = cloud.client()
    assert refused == {"AddressLimitExceeded", "VcpuLimitExceeded", "KeyPairLimitExceeded"}
    assert len(ec2.describe_addresses()["Addresses"]) == 7
    assert len(ec2.describe_key_pairs()["KeyPairs"]) == 5
    assert sum(len(one["Instances"]) for one in ec2.describe_instances()["Reservations"]) == 9


def test_the_operator_gives_an_account_a_quota(cloud: TestedCloud) -> None:
    other = cloud.account("other")
    change = {"account": "other", "name": "addresses", "value": 1}
    assert administer(cloud, other, "SetQuota", **change)[0] == 403
    status, found = administer(cloud, cloud.admin, "SetQuota", **change)
    assert status == 200
    assert {"name": "addresses", "value": 1, "default": 100, "asked": None} in found
    other.client().allocate_address()
    assert code(lambda: other.client().allocate_address()) == "AddressLimitExceeded"
    for wrong in ({"name": "nothing"}, {"value": -1}, {"value": "many"}):
        assert administer(cloud, cloud.admin, "SetQuota", **{**change, **wrong})[0] == 400
    with cloud.database.read() as tx:
        assert administration.quotas_of(tx, cloud.config, other.id)
