"""`cumulet image import` of a file that no image service can read: it is sent, and nothing is left of that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from support.bundles import real_images
from support.commands import command, elsewhere, running_cloud
from support.guests import boot_record
from support.tested_cloud import TestedCloud

from cumulet.cli import cumulet, taking_in
from cumulet.cli.options import Cloud
from cumulet.drivers.places import image_files
from cumulet.model import image


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[TestedCloud]:
    """A cloud whose images are real files, and whose engine runs."""
    made = TestedCloud(tmp_path / "state", real_images, database_url=database_url)
    made.cloud.engine.start()
    yield made
    made.stop()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    file.write_bytes(boot_record(b"sent\r\n") + bytes(1 << 20))
    return file


def kept(cloud: TestedCloud, name: str) -> bytes:
    """What the store has of the image, which is available."""
    with cloud.database.read() as tx:
        (row,) = [row for row in image.all(tx) if row.name == name]
    assert row.state == "available"
    return image_files(cloud.config.image_directory(), row.image_file)["disk"].read_bytes()


def test_a_file_is_sent_from_another_machine(cloud: Any, disk: Path, tmp_path: Path) -> None:
    run = elsewhere(cloud, tmp_path)
    done = run("image", "import", str(disk), "--name", "sent", "--public")
    assert (done.exit_code, done.stdout.split(" ", 1)[1]) == (0, "sent is available\n"), done.output
    assert kept(cloud, "sent") == disk.read_bytes()
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    (row,) = cloud.client().describe_images(Filters=[{"Name": "name", "Values": ["sent"]}])["Images"]
    assert (row["Public"], row["State"]) == (True, "available")


def test_where_the_environment_names_a_cloud_none_is_begun_here(cloud: Any, disk: Path, tmp_path: Path) -> None:
    environ: dict[str, str | None] = {key: None for key in os.environ if key.startswith(("CUMULET_", "AWS_"))}
    environ |= {"AWS_ACCESS_KEY_ID": cloud.admin.key, "AWS_SECRET_ACCESS_KEY": cloud.admin.secret}
    environ |= {"AWS_ENDPOINT_URL": cloud.url, "CUMULET_STATE_DIR": str(tmp_path / "nothing")}
    sent = CliRunner().invoke(cumulet, ["image", "import", str(disk)], env=environ)
    assert (sent.exit_code, kept(cloud, "disk")) == (0, disk.read_bytes())
    built = CliRunner().invoke(cumulet, ["image", "build-tiny"], env=environ)
    assert (built.exit_code, "is built on a host of its cloud" in built.stderr) == (1, True)
    assert not (tmp_path / "nothing").exists()


def test_a_file_for_another_account_is_sent_too(cloud: Any, disk: Path, tmp_path: Path) -> None:
    other = cloud.account("other")
    done = elsewhere(cloud, tmp_path)("image", "import", str(disk), "--account", "other")
    assert done.exit_code == 0, done.output
    assert [one["Name"] for one in other.client().describe_images(Owners=["self"])["Images"]] == ["disk"]


def test_a_file_is_sent_from_the_controller_where_other_hosts_have_the_images(
    cloud: Any, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_in, "is_read_there", lambda cloud: False)
    with running_cloud(cloud):
        done = command(cloud)("image", "import", str(disk))
    assert done.exit_code == 0, done.output
    assert kept(cloud, "disk") == disk.read_bytes()
    assert cloud.client("s3").list_buckets()["Buckets"] == []


def test_a_file_is_sent_only_where_nobody_reads_it(cloud: Any) -> None:
    def is_read(**settings: Any) -> bool:
        apart = {"bus_url": "amqp://127.0.0.1/", **settings}
        return taking_in.is_read_there(Cloud(msgspec.structs.replace(cloud.config, **apart)))

    with running_cloud(cloud):
        assert is_read()
        assert not is_read(roles=["api", "scheduler"])
        assert is_read(roles=["api", "scheduler"], image_dir="/srv/images")
        assert not taking_in.is_read_there(Cloud(cloud.config, endpoint=cloud.url))
    assert is_read(roles=["api", "scheduler"]), "no cloud runs that it could be sent to"


def test_what_is_refused_is_said_and_leaves_nothing(
    cloud: Any, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = elsewhere(cloud, tmp_path)
    text = tmp_path / "text"
    text.write_text("not an image\n" * 100)
    assert "the image is neither qcow2 nor a disk with a boot record" in run("image", "import", str(text)).output
    monkeypatch.setattr(taking_in, "MOST_BYTES", 1000)
    said = run("image", "import", str(disk)).output
    assert f"`aws s3 cp {disk} s3://BUCKET/`, and `aws ec2 import-image` from there" in said
    assert cloud.client("s3").list_buckets()["Buckets"] == []
