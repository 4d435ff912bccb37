"""Terraform's AWS provider against real guests: the same configuration as against the fakes, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.real_cloud import RealCloud
from support.terraform import Terraform, require_terraform

pytestmark = [pytest.mark.private_host, pytest.mark.timeout(600)]

CONFIGURATION = Path(__file__).parents[1] / "clients" / "terraform" / "main.tf"


def test_terraform_applies_changes_and_destroys_real_guests(tiny_image: Path, tmp_path: Path) -> None:
    require_terraform()
    cloud = RealCloud(tiny_image)
    try:
        terraform = Terraform(tmp_path / "work", CONFIGURATION, cloud.admin.environ)
        public_key = cloud.admin.ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"][0]["PublicKey"]
        first: dict[str, str | int] = {"endpoint": cloud.admin.environ["AWS_ENDPOINT_URL"], "public_key": public_key}
        first |= {"image_name": "cumulet-tiny", "label": "first", "port": 8080, "user_data": "one"}
        terraform.apply(**first)
        assert terraform.plans_nothing(**first)
        instance = terraform.output("instance")
        cloud.admin.wait_for_ssh(instance)
        second = first | {"label": "second", "user_data": "two"}
        terraform.apply(**second)
        assert terraform.plans_nothing(**second)
        assert terraform.output("instance") == instance
        cloud.admin.wait_for_ssh(instance)
        assert cloud.admin.ssh(instance, "imds /latest/user-data").strip() == "two"
        terraform.destroy(**second)
    finally:
        cloud.process.stop()
