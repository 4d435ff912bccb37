"""What the cloud answers below `/_cumulet/`, asked without HTTP."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.operating import administer
from support.tested_cloud import TestedCloud

from cumulet.admin import Administration
from cumulet.lib.config import Config
from cumulet.model.image_use import GRACE_SECONDS
from cumulet.services import Cloud
from cumulet.wire.request import Request


@pytest.fixture
def admin(cloud: TestedCloud) -> Administration:
    return Administration(cloud.cloud)


def ask(admin: Administration, method: str, path: str) -> tuple[int, dict[str, Any]]:
    answer = admin(Request.of(method, f"/_cumulet/{path}"))
    assert answer is not None
    return answer[0], json.loads(answer[1])


def explained(cloud: TestedCloud, id: str) -> dict[str, Any]:
    status, found = administer(cloud, cloud.admin, "GetExplanation", name=id)
    assert status == 200, found
    return dict(found)


def launch(cloud: TestedCloud, number: int = 1) -> list[str]:
    made = cloud.client().run_instances(ImageId=cloud.image, MinCount=number, MaxCount=number)
    return [instance["InstanceId"] for instance in made["Instances"]]


def test_health_is_open_to_all(admin: Administration) -> None:
    assert ask(admin, "GET", "health") == (200, {"status": "ok"})


def test_other_paths_and_methods_are_not_there(admin: Administration) -> None:
    for method, path in (("GET", "nothing"), ("GET", "reset"), ("GET", "ListHosts"), ("POST", "hosts/h1")):
        assert admin(Request.of(method, f"/_cumulet/{path}")) is None


def test_only_a_test_can_be_reset(tmp_path: Path) -> None:
    cloud = Cloud(Config(state_dir=tmp_path, drivers="fake", host_name="h1"))
    cloud.prepare()
    status, found = ask(Administration(cloud), "POST", "reset")
    assert (status, found) == (403, {"error": "only a cloud that was started with --test can be reset"})
    cloud.stop()


def test_a_reset_empties_every_account_and_the_hosts(cloud: TestedCloud, admin: Administration) -> None:
    ec2, other = cloud.client(), cloud.account("other").client()
    launch(cloud, 3)
    ec2.create_security_group(GroupName="web", Description="web")
    other.create_key_pair(KeyName="theirs")
    ec2.allocate_address()
    old = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    cloud.settle()
    assert ask(admin, "POST", "reset") == (200, {"status": "ok"})
    cloud.cloud.engine.stop()
    assert ec2.describe_instances()["Reservations"] == []
    assert [group["GroupName"] for group in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    assert ec2.describe_addresses()["Addresses"] == []
    assert other.describe_key_pairs()["KeyPairs"] == []
    assert [vpc["VpcId"] == old for vpc in ec2.describe_vpcs()["Vpcs"]] == [False]
    world = {role: part.driver.observe() for role, part in cloud.cloud.parts.items()}
    assert {role: len(seen) for role, seen in world.items()} == {"compute": 0, "network": 0, "volume": 0, "image": 1}


def test_resets_at_the_same_time_are_all_done(admin: Administration) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(admin, "POST", "reset"), range(16)))
    assert answers == [(200, {"status": "ok"})] * 16


def test_after_a_reset_instances_run_from_the_image_that_was_there(cloud: TestedCloud, admin: Administration) -> None:
    cloud.client().deregister_image(ImageId=cloud.image)
    ask(admin, "POST", "reset")
    cloud.cloud.engine.stop()
    (id,) = launch(cloud)
    cloud.settle()
    found = cloud.client().describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
    assert found["State"]["Name"] == "running"


def test_after_a_reset_there_is_an_image_though_the_first_is_gone(cloud: TestedCloud, admin: Administration) -> None:
    cloud.client().deregister_image(ImageId=cloud.image)
    cloud.settle()
    cloud.pass_time(GRACE_SECONDS + 1)
    ask(admin, "POST", "reset")
    cloud.cloud.engine.stop()
    cloud.settle()
    (found,) = cloud.client().describe_images()["Images"]
    assert (found["ImageId"] == cloud.image, found["State"]) == (False, "available")


def test_explain_says_what_a_new_instance_waits_for(cloud: TestedCloud) -> None:
    (id,) = launch(cloud)
    found = explained(cloud, id)
    assert (found["kind"], found["desired"], found["state"], found["hosts"]) == ("instance", "running", "pending", [])
    assert {part["kind"] for part in found["waits_for"]} >= {"volume"}
    assert found["work"]["rests"] is False


def test_explain_says_what_the_host_sees_of_a_running_one(cloud: TestedCloud) -> None:
    (id,) = launch(cloud)
    cloud.settle()
    found = explained(cloud, id)
    assert (found["state"], found["waits_for"], found["work"]["rests"]) == ("running", [], True)
    assert found["host_says"]["h1"]["state"] == "running"
    cloud.cloud.parts["compute"].driver.remove(id)
    assert explained(cloud, id)["host_says"] == {"h1": "it is not there"}


def test_explain_of_an_image_is_that_of_its_file(cloud: TestedCloud) -> None:
    found = explained(cloud, cloud.image)
    assert (found["kind"], found["state"]) == ("image_file", "available")


def test_explain_of_an_image_of_an_instance_is_that_of_its_snapshot(cloud: TestedCloud) -> None:
    (id,) = launch(cloud)
    cloud.settle()
    made = cloud.client().create_image(InstanceId=id, Name="mine", NoReboot=True)["ImageId"]
    found = explained(cloud, made)
    assert (found["kind"], found["state"], found["hosts"]) == ("snapshot", "waiting", ["h1"])


def test_explain_of_a_task_says_what_has_become_of_its_file(cloud: TestedCloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="disks")
    s3.put_object(Bucket="disks", Key="disk", Body=b"x")
    id = cloud.client().import_image(DiskContainers=[{"Url": "s3://disks/disk"}])["ImportTaskId"]
    found = explained(cloud, id)
    assert (found["kind"], found["state"], found["host_says"]) == ("image_task", "active", {})
    assert [(part["kind"], part["state"]) for part in found["waits_for"]] == [("image_file", "pending")]
    for _ in range(3):
        cloud.pass_time(3)
    assert explained(cloud, id)["state"] == "completed"


def test_explain_of_what_is_not_there_says_so(cloud: TestedCloud) -> None:
    status, found = administer(cloud, cloud.admin, "GetExplanation", name="i-0123")
    assert (status, found["__type"]) == (400, "ValidationException")
    assert "there is no i-0123" in found["message"]
