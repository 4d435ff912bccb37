"""Terraform's AWS provider, unmodified: apply, an empty second plan, change in place, destroy."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from support.terraform import Terraform, require_terraform

from cumulet import testing
from cumulet.lib.config import Config
from cumulet.model import Database, bootstrap

CONFIGURATION = Path(__file__).parent / "terraform" / "main.tf"
IMAGES = CONFIGURATION.with_name("images.tf")
IDENTITY = Path(__file__).parent / "terraform_iam" / "main.tf"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB7r0J0b1Xb8yq0d0d5T2l0c1l8b7W8m4d1jv0m3QX1a terraform"


def another_account(url: str, directory: Path) -> str:
    """The number of a new account of the cloud with this database."""
    database = Database(url)
    with database.write() as tx:
        made: str = bootstrap.create_account(tx, Config(state_dir=directory, database_url=url), "friend").id
    database.close()
    return made


@pytest.mark.timeout(600)
def test_terraform_applies_finds_nothing_to_change_changes_in_place_and_destroys(tmp_path: Path) -> None:
    require_terraform()
    url = f"sqlite:///{tmp_path / 'cloud.sqlite'}"
    with testing.cloud(database_url=url) as cloud:
        terraform = Terraform(tmp_path / "work", [CONFIGURATION, IMAGES], cloud.environ)
        first: dict[str, str | int] = {"endpoint": cloud.url, "public_key": PUBLIC_KEY, "image_name": "cumulet-tiny"}
        first |= {"label": "first", "port": 8080, "user_data": "one", "friend": another_account(url, tmp_path)}
        terraform.apply(**first)
        assert terraform.plans_nothing(**first)
        instance = terraform.output("instance")
        assert terraform.output("disks") == ["/dev/sda1", "/dev/sdf"]
        second = first | {"label": "second", "port": 9090, "user_data": "two"}
        terraform.apply(**second)
        assert terraform.plans_nothing(**second)
        assert terraform.output("instance") == instance, "changed in place, not replaced"
        terraform.destroy(**second)
        assert _what_is_left(cloud) == []


OBJECTS = Path(__file__).parent / "terraform" / "objects.tf"


@pytest.mark.timeout(600)
def test_terraform_has_buckets_and_objects_and_finds_nothing_to_change(tmp_path: Path) -> None:
    require_terraform()
    with testing.cloud() as cloud:
        terraform = Terraform(tmp_path / "work", OBJECTS, cloud.environ)
        terraform.apply(endpoint=cloud.url, label="first")
        assert terraform.plans_nothing(endpoint=cloud.url, label="first")
        assert terraform.output("body") == "one first"
        assert terraform.output("keys") == ["a/one.txt", "a/two.txt"]
        terraform.destroy(endpoint=cloud.url, label="first")
        assert cloud.client("s3").list_buckets()["Buckets"] == []


@pytest.mark.timeout(600)
def test_terraform_makes_users_roles_and_policies_and_finds_no_drift(tmp_path: Path) -> None:
    require_terraform()
    with testing.cloud() as cloud:
        terraform = Terraform(tmp_path / "work", IDENTITY, cloud.environ)
        first = {"endpoint": cloud.url, "team": "red"}
        terraform.apply(**first)
        assert terraform.plans_nothing(**first)
        ann = boto3.client(
            "ec2",
            endpoint_url=cloud.url,
            region_name=cloud.region,
            aws_access_key_id=terraform.output("key"),
            aws_secret_access_key=terraform.output("secret"),
        )
        ann.describe_vpcs()
        second = first | {"team": "blue"}
        terraform.apply(**second)
        assert terraform.plans_nothing(**second)
        terraform.destroy(**second)
        iam = cloud.client("iam")
        assert [iam.list_users()["Users"], iam.list_groups()["Groups"], iam.list_roles()["Roles"]] == [[], [], []]
        assert iam.list_policies(Scope="Local")["Policies"] == iam.list_instance_profiles()["InstanceProfiles"] == []


def _what_is_left(cloud: testing.RunningCloud) -> list[str]:
    ec2 = cloud.client("ec2")
    living = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    instances = [one for found in ec2.describe_instances(Filters=living)["Reservations"] for one in found["Instances"]]
    left = [one["InstanceId"] for one in instances]
    left += [one["PublicIp"] for one in ec2.describe_addresses()["Addresses"]]
    left += [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]]
    left += [one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]
    images = ec2.describe_images(Owners=["self"])["Images"]
    left += [one["Name"] for one in images if one["Name"] != "cumulet-tiny"]
    left += [one["KeyName"] for one in ec2.describe_key_pairs()["KeyPairs"]]
    left += [one["GroupName"] for one in ec2.describe_placement_groups()["PlacementGroups"]]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    return left + [one["GroupId"] for one in groups if one["GroupName"] != "default"]
