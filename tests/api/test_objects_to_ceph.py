"""A cloud takes its objects from directories to Ceph, to a pool of its own, and back (`cumulet bucket copy-to-…`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import s3 as support
from support.fake_rados import FakeCeph
from support.s3 import BUCKET, made, put
from support.tested_cloud import TestedCloud

from cumulet.cli import cumulet
from cumulet.cli.checks import object_pool
from cumulet.drivers.blob import rados
from cumulet.lib.librados import Pool
from cumulet.lib.rbd import Room

KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}


def copied(cloud: TestedCloud, *words: str, status: int = 0, **environ: str) -> str:
    """What the command says, to Ceph if `words` name no other."""
    settings = {"CUMULET_DRIVERS": "fake", "CUMULET_TEST": "1", "CUMULET_DATABASE_URL": cloud.config.database_url}
    asked = ["bucket", *(words or ("copy-to-pool",)), "--state-dir", str(cloud.config.state_dir)]
    done = CliRunner().invoke(cumulet, asked, env={**settings, **environ})
    assert done.exit_code == status, done.output
    return done.output.strip()


def test_the_doctor_tells_the_pool_of_another_cloud(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceph = FakeCeph()
    monkeypatch.setattr(rados, "space_of", lambda config: ceph.space)
    monkeypatch.setattr("cumulet.lib.rados.check", lambda pool: None)
    monkeypatch.setattr(Pool, "room", lambda pool: Room(100 << 30, 90 << 30))
    cloud = TestedCloud(tmp_path, object_driver="rados", database_url=database_url)
    assert [found.level for found in object_pool(cloud.config)] == ["ok"]
    assert not ceph.spaces[""]
    made(support.client(cloud))
    put(support.client(cloud), "k")
    assert [found.level for found in object_pool(cloud.config)] == ["ok"]
    ceph.space("").put(rados.OWNER, b"another").wait()
    (found,) = object_pool(cloud.config)
    assert (found.level, "the objects of another cloud (another, this is" in found.text) == ("problem", True)
    cloud.stop()


def fill(s3: Any) -> None:
    made(s3)
    put(s3, "a", content=b"first")
    put(s3, "large", content=bytes(5 << 20))
    put(s3, "secret", content=b"hidden", **KEY)


def check_contents(s3: Any) -> None:
    """They are there, after "a" was put a second time."""
    assert [support.body(s3, key) for key in ("a", "large")] == [b"second", bytes(5 << 20)]
    assert support.body(s3, "secret", **KEY) == b"hidden"


def test_all_objects_are_taken_to_ceph_while_the_cloud_is_used(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceph = FakeCeph()
    monkeypatch.setattr(rados, "space_of", lambda config: ceph.space)
    cloud = TestedCloud(tmp_path, database_url=database_url)
    s3 = support.client(cloud)
    fill(s3)
    assert copied(cloud) == "3 copied, 0 were there, 0 have no good copy"
    put(s3, "a", content=b"second")
    put(s3, "spoilt", content=b"right")
    (spoilt,) = [file for file in cloud.config.object_directories()[0].glob("??/*") if file.read_bytes() == b"right"]
    spoilt.write_bytes(b"wrong")
    assert copied(cloud) == "1 copied, 2 were there, 1 have no good copy"
    cloud.stop()
    cloud = TestedCloud(tmp_path, object_driver="rados", database_url=database_url)
    s3, store = support.client(cloud), cloud.cloud.objects
    check_contents(s3)
    assert store is not None
    assert len(list(store.keeper.audit())) == 4
    assert store.keeper.sweep(older_than=-1.0) == 0
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in ("a", "large", "secret", "spoilt")]})
    cloud.clock.ahead = rados.LINGER_SECONDS + 1
    store.keeper.remove_due()
    assert support.is_tidy(cloud)
    cloud.stop()
    assert "object_driver is rados already" in copied(cloud, status=1, CUMULET_OBJECT_DRIVER="rados")


def test_all_objects_are_taken_back_to_directories(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceph = FakeCeph()
    monkeypatch.setattr(rados, "space_of", lambda config: ceph.space)
    disks = [tmp_path / "a", tmp_path / "b"]
    back = ("copy-to-directories", *(word for disk in disks for word in ("--directory", str(disk))), "--copies", "2")
    cloud = TestedCloud(tmp_path, object_driver="rados", database_url=database_url)
    s3 = support.client(cloud)
    fill(s3)
    assert copied(cloud, *back, CUMULET_OBJECT_DRIVER="rados") == "3 copied, 0 were there, 0 have no good copy"
    put(s3, "a", content=b"second")
    assert copied(cloud, *back, CUMULET_OBJECT_DRIVER="rados") == "1 copied, 2 were there, 0 have no good copy"
    cloud.stop()
    paths = [str(disk) for disk in disks]
    cloud = TestedCloud(tmp_path, object_dirs=paths, object_copies=2, database_url=database_url)
    s3, store = support.client(cloud), cloud.cloud.objects
    check_contents(s3)
    assert store is not None
    assert len(list(store.keeper.audit())) == 3
    store.keeper.remove_due()
    assert {len(list(disk.glob("??/*"))) for disk in disks} == {3}
    cloud.stop()
    assert "object_driver is directory already" in copied(cloud, *back, status=1)
