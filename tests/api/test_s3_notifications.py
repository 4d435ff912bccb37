"""Events of a bucket told to the broker: what, to whom, in which order, and that none is lost while it is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import s3 as support
from support.between import Between
from support.buses import connected, taken
from support.rabbitmq import VirtualHost
from support.refusals import code
from support.s3 import BUCKET, made, put
from support.tested_cloud import TestedCloud

from cumulet.bus.contract import Bus
from cumulet.bus.memory import MemoryBus
from cumulet.engine.engine import LEASE_SECONDS
from cumulet.lib import crash
from cumulet.lib.errors import Unreachable

URL = "amqp://user:password@127.0.0.1/cumulet"


class Telling(Between):
    """Keeps what is published, or passes it on to a bus that has a broker; or has none for the time being."""

    def __init__(self, broker: Bus | None = None) -> None:
        super().__init__(MemoryBus())
        self._broker = broker
        self.away = False
        self.told: list[tuple[str, Any]] = []

    def publish(self, routing_key: str, message: bytes) -> None:
        if self.away:
            raise Unreachable("the broker is away")
        if self._broker is not None:
            self._broker.publish(routing_key, message)
        self.told.append((routing_key, json.loads(message)))

    def events(self) -> list[tuple[str, str]]:
        """Name and key of each that was told."""
        found = [one["Records"][0] for _, one in self.told if "Records" in one]
        return [(one["eventName"], one["s3"]["object"]["key"]) for one in found]


@pytest.fixture
def bus() -> Telling:
    return Telling()


@pytest.fixture
def cloud(tmp_path: Path, bus: Telling, database_url: str) -> Iterator[TestedCloud]:
    made_cloud = TestedCloud(tmp_path, bus=bus, bus_url=URL, database_url=database_url)
    yield made_cloud
    made_cloud.stop()


def arn(cloud: TestedCloud, name: str = "q", service: str = "sqs") -> str:
    return f"arn:aws:{service}:us-east-1:{cloud.admin.id}:{name}"


def queue(cloud: TestedCloud, *events: str, name: str = "q", **rules: str) -> dict[str, Any]:
    found = [{"Name": name, "Value": value} for name, value in rules.items()]
    return {"Id": name, "QueueArn": arn(cloud, name), "Events": events, "Filter": {"Key": {"FilterRules": found}}}


def configure(cloud: TestedCloud, *queues: dict[str, Any], **more: Any) -> Any:
    """The client, and a bucket that tells these queues."""
    s3 = support.client(cloud)
    configuration = {"QueueConfigurations": list(queues)}
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration=configuration, **more)
    return s3


ALL = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put", "s3:LifecycleExpiration:*")


def test_a_destination_hears_of_itself_and_of_a_put_as_aws_says_it(cloud: TestedCloud, bus: Telling) -> None:
    made(support.client(cloud))
    s3 = configure(cloud, queue(cloud, *ALL))
    answer = put(s3, "a dir/a+ü.txt", content=b"four")
    cloud.settle()
    (first_key, trial), (key, message) = bus.told
    assert first_key == key == f"sqs.{cloud.admin.id}.q"
    assert (trial["Event"], trial["Bucket"]) == ("s3:TestEvent", BUCKET)
    (record,) = message["Records"]
    assert (record["eventName"], record["eventSource"], record["awsRegion"]) == (
        "ObjectCreated:Put",
        "aws:s3",
        cloud.config.region,
    )
    assert record["eventVersion"] == "2.1"
    assert record["responseElements"]["x-amz-request-id"] == answer["ResponseMetadata"]["RequestId"]
    assert record["requestParameters"]["sourceIPAddress"] == "127.0.0.1"
    about = record["s3"]["object"]
    assert about["key"] == "a+dir/a%2B%C3%BC.txt"
    assert (about["size"], f'"{about["eTag"]}"') == (4, answer["ETag"])
    assert record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{BUCKET}"
    assert record["s3"]["configurationId"] == "q"
    assert "versionId" not in about


def test_each_act_has_its_event_in_order_and_a_growing_sequencer(cloud: TestedCloud, bus: Telling) -> None:
    made(support.client(cloud))
    s3 = configure(cloud, queue(cloud, *ALL))
    put(s3, "a")
    s3.copy_object(Bucket=BUCKET, Key="b", CopySource=f"{BUCKET}/a")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="c")["UploadId"]
    etag = s3.upload_part(Bucket=BUCKET, Key="c", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key="c", UploadId=upload, MultipartUpload=parts)
    s3.put_object_tagging(Bucket=BUCKET, Key="a", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket=BUCKET, Key="a")
    s3.put_object_acl(Bucket=BUCKET, Key="a", ACL="private")
    s3.delete_object(Bucket=BUCKET, Key="absent")
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.delete_object(Bucket=BUCKET, Key="c")
    cloud.settle()
    assert bus.events() == [
        ("ObjectCreated:Put", "a"),
        ("ObjectCreated:Copy", "b"),
        ("ObjectCreated:CompleteMultipartUpload", "c"),
        ("ObjectTagging:Put", "a"),
        ("ObjectTagging:Delete", "a"),
        ("ObjectAcl:Put", "a"),
        ("ObjectRemoved:Delete", "a"),
        ("ObjectRemoved:Delete", "b"),
        ("ObjectRemoved:DeleteMarkerCreated", "c"),
    ]
    objects = [one["Records"][0]["s3"]["object"] for _, one in bus.told[1:]]
    numbers = [one["sequencer"] for one in objects]
    assert numbers == sorted(set(numbers))
    assert objects[-1]["versionId"]


def test_a_lifecycle_tells_what_it_removes(cloud: TestedCloud, bus: Telling) -> None:
    made(support.client(cloud))
    s3 = configure(cloud, queue(cloud, *ALL))
    put(s3, "old")
    rules = [{"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    cloud.clock.ahead += 3 * 86400.0
    assert cloud.cloud.objects is not None
    cloud.cloud.objects.keeper.run_once()
    cloud.settle()
    assert bus.events()[-1] == ("LifecycleExpiration:Delete", "old")


def test_filters_and_events_choose_the_destinations(cloud: TestedCloud, bus: Telling) -> None:
    made(support.client(cloud))
    s3 = configure(
        cloud,
        queue(cloud, "s3:ObjectCreated:Put", name="jpg", prefix="in/", suffix=".jpg"),
        queue(cloud, "s3:ObjectCreated:*", name="txt", suffix=".txt"),
        queue(cloud, "s3:ObjectRemoved:Delete", name="gone"),
    )
    put(s3, "in/a.jpg", "out/a.jpg", "in/a.txt", "in/a.png")
    s3.delete_object(Bucket=BUCKET, Key="in/a.png")
    cloud.settle()
    told = [(key.rpartition(".")[2], one["Records"][0]["s3"]["object"]["key"]) for key, one in bus.told[3:]]
    assert told == [("jpg", "in/a.jpg"), ("txt", "in/a.txt"), ("gone", "in/a.png")]


def test_nothing_is_lost_while_the_broker_is_away(cloud: TestedCloud, bus: Telling) -> None:
    made(support.client(cloud))
    s3 = configure(cloud, queue(cloud, *ALL))
    bus.away = True
    put(s3, "a", "b")
    s3.delete_object(Bucket=BUCKET, Key="a")
    cloud.settle()
    s3.delete_object(Bucket=BUCKET, Key="b")
    s3.delete_bucket(Bucket=BUCKET)
    cloud.settle()
    assert bus.told == []
    bus.away = False
    cloud.pass_time(3600.0)
    assert bus.events() == [
        ("ObjectCreated:Put", "a"),
        ("ObjectCreated:Put", "b"),
        ("ObjectRemoved:Delete", "a"),
        ("ObjectRemoved:Delete", "b"),
    ]


def test_a_death_at_any_point_of_the_delivery_loses_nothing(cloud: TestedCloud, bus: Telling) -> None:
    made(support.client(cloud))
    s3 = configure(cloud, queue(cloud, *ALL))
    cloud.settle()
    number, died = 0, True
    while died:
        number, count = number + 1, 0
        put(s3, f"k{number}")

        def call(name: str, dies: int = number) -> None:
            nonlocal count
            count += 1
            if count == dies:
                raise crash.Died(name)

        try:
            with crash.at_each_point(call):
                cloud.settle()
            died = False
        except crash.Died:
            cloud.pass_time(LEASE_SECONDS + 1.0)
            cloud.clock.ahead = 0.0
        assert ("ObjectCreated:Put", f"k{number}") in bus.events()
    assert number > 4


def refused(cloud: TestedCloud, *queues: dict[str, Any], **more: Any) -> str:
    return code(lambda: configure(cloud, *queues, **more))


def test_configurations_that_cannot_be_are_refused(cloud: TestedCloud) -> None:
    made(support.client(cloud))
    foreign = {**queue(cloud, "s3:ObjectCreated:*"), "QueueArn": "arn:aws:sqs:us-east-1:210987654321:q"}
    assert refused(cloud, foreign) == "InvalidArgument"
    assert refused(cloud, queue(cloud, "s3:ObjectCreated:Patch")) == "InvalidArgument"
    twice = [queue(cloud, "s3:ObjectCreated:*"), queue(cloud, "s3:ObjectCreated:Put", name="p", prefix="in/")]
    assert refused(cloud, *twice) == "InvalidArgument"
    apart = [queue(cloud, "s3:ObjectCreated:*", prefix="out/"), twice[1]]
    configure(cloud, *apart)


def test_a_cloud_without_a_broker_refuses_destinations(tmp_path: Path, database_url: str) -> None:
    cloud = TestedCloud(tmp_path, database_url=database_url)
    try:
        s3 = support.client(cloud)
        made(s3)
        with pytest.raises(s3.exceptions.ClientError, match="Unable to validate the following destination") as e:
            configure(cloud, queue(cloud, *ALL))
        assert e.value.response["Error"]["Code"] == "InvalidArgument"
        configure(cloud, queue(cloud, *ALL), SkipDestinationValidation=True)
        put(s3, "a")
        found = s3.get_bucket_notification_configuration(Bucket=BUCKET)
        assert found["QueueConfigurations"][0]["QueueArn"] == arn(cloud)
    finally:
        cloud.stop()


def test_a_queue_of_a_real_broker_has_what_it_is_bound_for(
    tmp_path: Path, database_url: str, vhost: VirtualHost
) -> None:
    with connected(vhost.url) as broker:
        cloud = TestedCloud(tmp_path, bus=Telling(broker), bus_url=vhost.url, database_url=database_url)
        try:
            made(support.client(cloud))

            def act() -> None:
                s3 = configure(cloud, queue(cloud, *ALL), queue(cloud, "s3:Replication:*", name="other"))
                put(s3, "a")
                cloud.settle()

            trial, told = asyncio.run(taken(vhost.url, f"sqs.{cloud.admin.id}.q", act))
            assert trial["Event"] == "s3:TestEvent"
            assert told["Records"][0]["s3"]["object"]["key"] == "a"
        finally:
            cloud.stop()
