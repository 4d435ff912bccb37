"""Images on hosts that share no directory of them: fetched once, when they are needed, and let go when they are not."""

from __future__ import annotations

from typing import Any

import pytest
from support.commands import command
from support.launching import launched, one_of, shown
from support.more_hosts import add_host
from support.tested_cloud import TestedCloud
from support.two_zones import THERE, TwoZones

from cumulet.drivers.fake_world import FakeWorld
from cumulet.model import image, image_copy, image_use, work

A_SWEEP = 31.0
OF_IMAGES = 301.0
LONG = 180.0
MIB = 1 << 20
"""What an image of the fake driver takes."""
SOON = pytest.mark.parametrize("cloud", [{"image_copy_hours": LONG / 3600}], indirect=True)


class Two(TwoZones):
    """What is done with images on them."""

    def launched(self, ec2: Any, **more: Any) -> str:
        id = launched(self.cloud, ec2, **THERE, **more)
        self.pass_time(5.0)
        assert shown(ec2, id)["State"]["Name"] == "running"
        return id

    def copies(self) -> list[tuple[str, str]]:
        with self.cloud.database.read() as tx:
            return [(row.host, row.state) for row in image_copy.all(tx)]

    def imported(self, *names: str) -> list[str]:
        """More images; gives their ids."""
        of = {"account": self.cloud.admin.id, "location": ""}
        with self.cloud.database.write() as tx:
            ids = [image.take_in(tx, {**of, "name": name, "source": name})[0] for name in names]
        self.pass_time(1.0)
        return ids

    def fetched(self, id: str) -> str:
        """The second host has a copy of the image; gives the id of its file."""
        with self.cloud.database.write() as tx:
            row = image.find(tx, id)
            assert row is not None
            image_copy.want(tx, row.image_file, "h2")
        self.pass_time(1.0)
        self.pass_time(5.0)
        return str(row.image_file)

    def room(self, size: int) -> None:
        """Of the second host's images, in bytes."""
        self.world.put("room", "images", {"size": size})

    def sweep(self) -> None:
        """Of the second host's images, now."""
        with self.cloud.database.write() as tx:
            work.wake(tx, "sweep", "image.h2")
        self.pass_time(1.0)

    def gone(self, ec2: Any, id: str) -> None:
        ec2.terminate_instances(InstanceIds=[id])
        self.cloud.settle()


@pytest.fixture
def two(cloud: TestedCloud) -> Two:
    return Two(cloud, shares_images=False)


def test_a_launch_fetches_the_image_and_later_ones_do_not(two: Two, ec2: Any) -> None:
    ids = [ec2.run_instances(**one_of(two.cloud, **THERE))["Instances"][0]["InstanceId"] for _ in range(20)]
    fetched: list[str] = []
    put = FakeWorld.put

    def counting(world: FakeWorld, kind: str, id: str, value: dict[str, Any]) -> None:
        if kind == "fetch":
            fetched.append(id)
        put(world, kind, id, value)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FakeWorld, "put", counting)
        two.cloud.settle()
        assert two.copies() == [("h2", "pending")]
        assert "is on its way to h2" in command(two.cloud)("explain", ids[0]).output
        two.pass_time(1.0)
        two.pass_time(5.0)
    assert {shown(ec2, id)["State"]["Name"] for id in ids} == {"running"}
    assert two.world.names("image") == two.own.names("image")
    assert fetched == two.own.names("image")
    assert two.copies() == [("h2", "available")]
    assert "h1, h2" in command(two.cloud)("image", "list").output


@SOON
def test_a_copy_goes_when_nobody_has_wanted_it_for_long(two: Two, ec2: Any) -> None:
    id = two.launched(ec2)
    two.pass_time(LONG + A_SWEEP)
    assert two.world.names("image"), "an instance stands on it"
    two.gone(ec2, id)
    two.pass_time(LONG / 2)
    assert two.world.names("image")
    two.pass_time(LONG)
    two.pass_time(A_SWEEP)
    assert two.world.names("image") == []
    assert two.own.names("image")
    assert two.copies() == []
    two.launched(ec2)


def test_a_copy_on_its_way_out_is_kept_or_fetched_again_for_who_comes_then(two: Two, ec2: Any) -> None:
    two.gone(ec2, two.launched(ec2))
    id = ec2.run_instances(**one_of(two.cloud, **THERE))["Instances"][0]["InstanceId"]
    with two.cloud.database.write() as tx:
        (row,) = image_copy.all(tx)
        image_copy.let_go(tx, row)
    two.cloud.settle()
    two.pass_time(6.0)
    two.pass_time(6.0)
    assert shown(ec2, id)["State"]["Name"] == "running"
    assert two.copies() == [("h2", "available")]
    assert two.world.names("image") == two.own.names("image")


def test_copies_go_with_their_image(two: Two, ec2: Any) -> None:
    two.gone(ec2, two.launched(ec2))
    ec2.deregister_image(ImageId=two.cloud.image)
    for _ in range(4):
        two.pass_time(image_use.GRACE_SECONDS + A_SWEEP)
    assert two.copies() == []
    assert (two.own.names("image"), two.world.names("image")) == ([], [])


def test_a_copy_that_was_lost_is_fetched_again(two: Two, ec2: Any) -> None:
    two.launched(ec2)
    (file,) = two.world.names("image")
    two.world.remove("image", file)
    two.launched(ec2)
    assert two.world.names("image") == [file]
    two.world.remove("image", file)
    two.pass_time(OF_IMAGES)
    two.pass_time(1.0)
    assert two.world.names("image") == [file], "the sweep finds it missing"


def test_a_host_that_shares_the_directory_has_no_copies_and_loses_nothing(cloud: Any, ec2: Any) -> None:
    two = Two(cloud)
    add_host(cloud, "h3", zones=["us-east-1c"])
    (file,) = two.own.names("image")
    for is_there in (True, False):
        with cloud.database.write() as tx:
            image_copy.want(tx, file, "h3")
        if not is_there:
            two.own.remove("image", file)
        cloud.settle()
        assert two.copies() == []
        two.pass_time(1.0)
        assert two.own.names("image") == [file], "it is there, or taken in again where it was"


def test_a_host_one_version_back_shares_the_directory(two: Two) -> None:
    (file,) = two.own.names("image")
    del two.other.agents["image"]._questions["shared"]
    with two.cloud.database.write() as tx:
        image_copy.want(tx, file, "h2")
    two.cloud.settle()
    assert two.copies() == []


def test_a_copy_on_a_host_that_shares_by_now_is_forgotten_and_not_removed(cloud: Any, ec2: Any) -> None:
    two = Two(cloud)
    add_host(cloud, "h3", zones=["us-east-1c"])
    (file,) = two.own.names("image")
    with cloud.database.write() as tx:
        row = image_copy.want(tx, file, "h3")
        assert row is not None
        image_copy.say(tx, row, state="available")
        image_copy.let_go(tx, row)
    cloud.settle()
    assert two.copies() == []
    assert two.own.names("image") == [file]


def test_another_copy_gives_it_where_the_first_host_is_silent(two: Two, ec2: Any) -> None:
    two.launched(ec2)
    third = add_host(two.cloud, "h3", shares_images=False, zones=["us-east-1c"])
    for topic in ("image.h1", "volume.h1", "compute.h1", "network.h1"):
        two.cloud.cloud.bus.leave(topic)
    two.cloud.clock.ahead += 60
    for heartbeat in (two.other.heartbeat, third.heartbeat):
        heartbeat.beat()
    with two.cloud.database.write() as tx:
        (row,) = image_copy.all(tx)
        image_copy.want(tx, row.image_file, "h3")
    for _ in range(3):
        two.cloud.settle()
        two.cloud.clock.ahead += 1
    assert two.copies() == [("h2", "available"), ("h3", "available")]


@SOON
def test_an_image_is_fetched_ahead_and_kept(two: Two, ec2: Any) -> None:
    run = command(two.cloud)
    assert run("image", "prefetch", two.cloud.image).output.split()[3:5] == ["h2", "pending"]
    two.pass_time(1.0)
    two.pass_time(1.0)
    assert two.copies() == [("h2", "available")]
    two.pass_time(3 * LONG)
    two.pass_time(A_SWEEP)
    assert two.copies() == [("h2", "available")]
    assert run("image", "prefetch", two.cloud.image, "--host", "h1").output == f"{two.cloud.image} is there already\n"
    said = run("image", "prefetch", two.cloud.image, "--host", "h9").output
    assert "h9: no image service is heard there" in said
    assert "there is no image ami-x" in run("image", "prefetch", "ami-x").output


def test_where_room_gets_short_the_copy_goes_that_has_been_unused_the_longest(two: Two, ec2: Any) -> None:
    kept, old, new, next = two.imported("kept", "old", "new", "next")
    id = two.launched(ec2)
    command(two.cloud)("image", "prefetch", kept, "--host", "h2")
    first, second = two.fetched(old), two.fetched(new)
    stay = [*{*two.world.names("image")} - {first, second}]
    assert len(stay) == 2
    two.room(4 * MIB + MIB // 2)  # a ninth free: enough
    two.sweep()
    assert {first, second} <= {*two.world.names("image")}
    third = two.fetched(next)
    assert {*two.world.names("image")} == {*stay, second, third}, "it would not have fitted"
    two.room(2 * MIB)
    two.sweep()
    two.sweep()
    assert sorted(two.world.names("image")) == sorted(stay), "what is in use or was fetched ahead stays"
    assert shown(ec2, id)["State"]["Name"] == "running"


def test_use_counts_until_its_end(two: Two, ec2: Any) -> None:
    (other,) = two.imported("other")
    id = two.launched(ec2)
    (stays,) = two.world.names("image")
    goes = two.fetched(other)
    with two.cloud.database.write() as tx:
        tx.change(image_copy.image_copy.update().values(used=image_copy.image_copy.c.used - 3600))
    two.sweep()
    two.gone(ec2, id)
    two.room(2 * MIB + MIB // 16)
    two.sweep()
    assert two.world.names("image") == [stays]
    assert goes != stays


def test_a_host_one_version_back_cannot_say_how_much_room_it_has(two: Two, ec2: Any) -> None:
    del two.other.agents["image"]._questions["room"]
    two.gone(ec2, two.launched(ec2))
    two.room(MIB)
    two.sweep()
    assert two.copies() == [("h2", "available")]
