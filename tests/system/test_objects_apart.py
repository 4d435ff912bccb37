"""The api, the scheduler and the objects in a process each: a client has one URL, and agents find the objects."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.bundles import bundled, papers, upload
from support.buses import taken
from support.rabbitmq import VirtualHost
from support.roles_apart import Apart, until

from cumulet.demo.process import client
from cumulet.lib.config import load

CONTENT = os.urandom(1 << 20)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Processes(Apart):
    """Of one database and with one key for its secrets, as the control plane's settings have it."""

    def __init__(self, directory: Path, vhost: VirtualHost) -> None:
        super().__init__(directory, vhost)
        self.vhost = vhost
        self.object_url = f"http://127.0.0.1:{free_port()}"
        shared = (
            f'bus_url = "{vhost.url}"\ndrivers = "fake"\ntest = true\nobject_url = "{self.object_url}"\n'
            f'database_url = "sqlite:///{directory}/cloud.db"\nsecret_key_file = "{directory}/secret.key"\n'
            'audit_bucket = "audited"\naudit_bucket_seconds = 0.5\naccess_log_seconds = 0.5\n'
        )
        agents = '"image", "volume", "network", "compute"'
        where = {"objects": self.object_url.removeprefix("http://"), "api": "127.0.0.1:0"}
        for name, roles in (("objects", '"object"'), ("api", '"api"'), ("scheduler", '"scheduler"'), ("h1", agents)):
            own = f'host_name = "{name}"\nroles = [{roles}]\nstate_dir = "{directory}/{name}"\n'
            listen = f'listen = "{where[name]}"\n' if name in where else ""
            (directory / f"{name}.toml").write_text(own + listen + shared)

    def up(self, name: str, said: str) -> None:
        self.start(name)
        until(lambda: said in (self.directory / f"{name}.log").read_text(), f"{name} to be there")

    def ask(self, *words: str) -> str:
        return self.of("api", *words)

    def of(self, name: str, *words: str) -> str:
        """A command with the settings of this process."""
        return self.command(*words, "--config", str(self.directory / f"{name}.toml"))


@pytest.fixture
def apart(tmp_path: Path, vhost: VirtualHost) -> Iterator[Processes]:
    made = Processes(tmp_path, vhost)
    made.up("objects", "serves S3 alone at")
    made.up("api", "The cloud is ready at")
    made.up("scheduler", "serves: scheduler")
    made.up("h1", "serves: image")
    yield made
    made.stop()


def test_a_client_has_one_url_and_agents_find_the_objects(apart: Processes) -> None:
    settings = json.loads(apart.ask("env", "--json"))
    assert settings["AWS_ENDPOINT_URL"] != apart.object_url
    s3, ec2 = client(settings, "s3"), client(settings)
    s3.create_bucket(Bucket="disks")
    s3.put_object(Bucket="disks", Key="disk.raw", Body=CONTENT)
    assert s3.get_object(Bucket="disks", Key="disk.raw")["Body"].read() == CONTENT
    kept = [path for path in (apart.directory / "objects" / "objects").rglob("*") if path.is_file()]
    assert len(CONTENT) in [path.stat().st_size for path in kept]
    assert not (apart.directory / "api" / "objects").exists()

    # the api was there before the scheduler, so that nobody heard its first heartbeat
    until(lambda: {"object.objects", "api.api", "scheduler.scheduler"} <= apart.services().keys(), "all services")

    disk = {"Format": "raw", "UserBucket": {"S3Bucket": "disks", "S3Key": "disk.raw"}}
    ec2.import_image(DiskContainers=[disk])
    until(lambda: links(apart, "disk.raw"), "the agent to be told where the object is")
    link = links(apart, "disk.raw")[0]
    assert link.startswith(apart.object_url)
    assert urllib.request.urlopen(link, timeout=20).read() == CONTENT

    # what is asked of S3 is in the audit log of the process with the objects, and the rest in that of the api
    both = {"s3.amazonaws.com", "ec2.amazonaws.com"}
    until(lambda: both <= audited(s3), "both audit logs to be delivered")


def links(apart: Processes, key: str) -> list[str]:
    """The links to an object that the host's image agent has been given."""
    documents = [path.read_text() for path in (apart.directory / "h1" / "agents" / "image").glob("*.json")]
    return [found for text in documents for found in re.findall(rf'"(http[^"]*/{re.escape(key)}\?[^"]*)"', text)]


def audited(s3: Any) -> set[str]:
    """Of which services requests are in the bucket of the audit log."""
    names = [one["Key"] for one in s3.list_objects_v2(Bucket="audited").get("Contents", [])]
    bodies = [gzip.decompress(s3.get_object(Bucket="audited", Key=name)["Body"].read()) for name in names]
    return {record["eventSource"] for body in bodies for record in json.loads(body)["Records"]}


@pytest.mark.slow
def test_what_comes_with_objects_goes_on_with_roles_apart(apart: Processes, tmp_path: Path) -> None:
    """Notifications by the scheduler, access logs by the process with the objects, bundles that name a kernel."""
    settings = json.loads(apart.ask("env", "--json"))
    s3, ec2, sts = client(settings, "s3"), client(settings), client(settings, "sts")
    account = sts.get_caller_identity()["Account"]
    s3.create_bucket(Bucket="site")
    s3.create_bucket(Bucket="logs")
    wanted = {"TargetBucket": "logs", "TargetPrefix": "of-site/"}
    s3.put_bucket_logging(Bucket="site", BucketLoggingStatus={"LoggingEnabled": wanted})

    def act() -> None:
        arn = f"arn:aws:sqs:us-east-1:{account}:q"
        told = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
        s3.put_bucket_notification_configuration(Bucket="site", NotificationConfiguration=told)
        s3.put_object(Bucket="site", Key="page", Body=b"x")
        time.sleep(3)

    trial, event = asyncio.run(taken(apart.vhost.url, f"sqs.{account}.q", act))
    assert trial["Event"] == "s3:TestEvent"
    assert event["Records"][0]["s3"]["object"]["key"] == "page"
    until(lambda: s3.list_objects_v2(Bucket="logs").get("Contents"), "access logs")

    config = load(apart.directory / "api.toml", {}, {})[0]
    mine = papers(config, "admin", tmp_path / "papers")
    s3.create_bucket(Bucket="images")
    kernel = upload(s3, bundled(tmp_path, mine, CONTENT, "vmlinuz", kind="kernel"))
    aki = ec2.register_image(Name="kernel", ImageLocation=kernel)["ImageId"]
    until(lambda: ec2.describe_images(ImageIds=[aki])["Images"][0]["State"] == "available", "kernel")
    disk = upload(s3, bundled(tmp_path, mine, CONTENT, "disk", kernel=aki, root_device="/dev/sda1"))
    ami = ec2.register_image(Name="machine", ImageLocation=disk)["ImageId"]
    until(lambda: ec2.describe_images(ImageIds=[ami])["Images"][0]["State"] == "available", "machine")
    assert ec2.describe_images(ImageIds=[ami])["Images"][0]["KernelId"] == aki
