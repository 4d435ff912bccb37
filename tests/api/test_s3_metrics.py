"""Metrics configurations of buckets: kept, given back, listed by pages, and refused where they make no sense."""

from __future__ import annotations

from typing import Any

import pytest
from support import s3 as support
from support.refusals import code, refusal
from support.s3 import BUCKET, made

from cumulet.api.s3 import metrics

PREFIX: dict[str, Any] = {"Id": "docs", "Filter": {"Prefix": "docs/"}}
BOTH: dict[str, Any] = {"Id": "both", "Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}]}}}


@pytest.fixture
def s3(cloud: Any) -> Any:
    client = support.client(cloud)
    made(client)
    return client


def put(s3: Any, wanted: dict[str, Any]) -> None:
    s3.put_bucket_metrics_configuration(Bucket=BUCKET, Id=wanted["Id"], MetricsConfiguration=wanted)


def get(s3: Any, id: str) -> Any:
    return s3.get_bucket_metrics_configuration(Bucket=BUCKET, Id=id)["MetricsConfiguration"]


def listed(s3: Any) -> Any:
    return s3.list_bucket_metrics_configurations(Bucket=BUCKET).get("MetricsConfigurationList", [])


def test_a_configuration_is_kept_given_back_changed_and_deleted(s3: Any) -> None:
    assert listed(s3) == []
    for wanted in (PREFIX, BOTH, {"Id": "all"}):
        put(s3, wanted)
        assert get(s3, wanted["Id"]) == wanted
    assert listed(s3) == [{"Id": "all"}, BOTH, PREFIX]
    put(s3, {"Id": "docs"})
    assert get(s3, "docs") == {"Id": "docs"}
    s3.delete_bucket_metrics_configuration(Bucket=BUCKET, Id="docs")
    assert listed(s3) == [{"Id": "all"}, BOTH]
    assert code(s3.get_bucket_metrics_configuration, Bucket=BUCKET, Id="docs") == "NoSuchConfiguration"
    assert code(s3.delete_bucket_metrics_configuration, Bucket=BUCKET, Id="docs") == "NoSuchConfiguration"


def test_a_list_has_pages_and_a_bucket_has_a_limit(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PAGE", 2)
    monkeypatch.setattr(metrics, "MAX_CONFIGURATIONS", 3)
    for id in "abc":
        put(s3, {"Id": id})
    first = s3.list_bucket_metrics_configurations(Bucket=BUCKET)
    assert (first["IsTruncated"], [one["Id"] for one in first["MetricsConfigurationList"]]) == (True, ["a", "b"])
    token = first["NextContinuationToken"]
    rest = s3.list_bucket_metrics_configurations(Bucket=BUCKET, ContinuationToken=token)
    assert (rest["IsTruncated"], rest["MetricsConfigurationList"]) == (False, [{"Id": "c"}])
    put_one = s3.put_bucket_metrics_configuration
    assert code(put_one, Bucket=BUCKET, Id="d", MetricsConfiguration={"Id": "d"}) == "TooManyConfigurations"
    put(s3, {"Id": "a", "Filter": {"Prefix": "x"}})


@pytest.mark.parametrize(
    ("wanted", "id", "expected"),
    [
        ({"Id": "one"}, "other", "InvalidArgument"),
        ({"Id": "a b"}, "a b", "InvalidArgument"),
        ({"Id": "a" * 65}, "a" * 65, "InvalidArgument"),
        ({"Id": "a", "Filter": {"And": {"Prefix": "x"}}}, "a", "MalformedXML"),
        ({"Id": "a", "Filter": {"Prefix": "x", "Tag": {"Key": "k", "Value": "v"}}}, "a", "MalformedXML"),
    ],
)
def test_what_makes_no_sense_is_refused(s3: Any, wanted: Any, id: str, expected: str) -> None:
    put_one = s3.put_bucket_metrics_configuration
    assert code(put_one, Bucket=BUCKET, Id=id, MetricsConfiguration=wanted) == expected
    assert listed(s3) == []


def test_a_filter_by_access_point_is_refused_by_name(s3: Any) -> None:
    wanted = {"Id": "a", "Filter": {"AccessPointArn": "arn:aws:s3:us-east-1:1:accesspoint/a"}}
    put_one = s3.put_bucket_metrics_configuration
    error = refusal(put_one, Bucket=BUCKET, Id="a", MetricsConfiguration=wanted).response["Error"]
    assert error["Code"] == "NotImplemented"
    assert "AccessPointArn" in error["Message"]
