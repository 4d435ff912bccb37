"""What boto3's users read when their request is not believed."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from support.refusals import code, message

UNBELIEVED = "AWS was not able to validate the provided access credentials."
EUROPE = {"region": "eu-west-1"}


def client(cloud: Any, service: str = "ec2", **other: str) -> Any:
    """A client that differs in something from the right one."""
    right = {"region_name": cloud.config.region, "aws_access_key_id": cloud.admin.key}
    right |= {"aws_secret_access_key": cloud.admin.secret, "endpoint_url": cloud.url}
    return boto3.client(service, config=Config(retries={"total_max_attempts": 1}), **{**right, **other})


@pytest.mark.parametrize("cloud", [EUROPE], indirect=True)
def test_a_client_of_another_region_is_told_the_right_one(cloud: Any) -> None:
    wrong = "Credential should be scoped to a valid region, not 'eu-west-9'. The region of this cloud is 'eu-west-1'."
    ec2, sts = (client(cloud, service, region_name="eu-west-9") for service in ("ec2", "sts"))
    assert (code(ec2.describe_vpcs), message(ec2.describe_vpcs)) == ("AuthFailure", f"{UNBELIEVED} {wrong}")
    assert (code(sts.get_caller_identity), message(sts.get_caller_identity)) == ("SignatureDoesNotMatch", wrong)


@pytest.mark.parametrize("cloud", [EUROPE], indirect=True)
def test_sts_is_also_asked_in_us_east_1_as_its_global_endpoint_is(cloud: Any) -> None:
    for region in ("us-east-1", "eu-west-1"):
        assert client(cloud, "sts", region_name=region).get_caller_identity()["Account"] == cloud.admin.id
    assert code(client(cloud, region_name="us-east-1").describe_vpcs) == "AuthFailure"


@pytest.mark.parametrize("cloud", [{"region": "nova", "zones": ["nova"]}], indirect=True)
def test_a_region_may_have_any_name(cloud: Any) -> None:
    assert client(cloud).describe_vpcs()["Vpcs"]
    assert client(cloud, "sts").get_caller_identity()["Account"] == cloud.admin.id


def test_a_client_of_a_service_that_is_not_there_is_told_so(cloud: Any) -> None:
    asked = {"rds": client(cloud, "rds").describe_db_instances}
    asked |= {"autoscaling": client(cloud, "autoscaling").describe_tags}
    asked |= {"dynamodb": client(cloud, "dynamodb").list_tables, "lambda": client(cloud, "lambda").list_functions}
    asked |= {"route53": client(cloud, "route53").list_hosted_zones}
    for service, ask in asked.items():
        assert code(ask) == "InvalidAction"
        having = "cloudtrail, ec2, iam, s3, service-quotas and sts"
        assert message(ask) == f"This cloud has no service {service}; it has {having}."
