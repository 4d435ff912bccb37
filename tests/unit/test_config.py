"""The configuration: where a key comes from, and mistakes named with key, value and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cumulet.agent.documents import Document, Documents
from cumulet.bus.memory import MemoryBus
from cumulet.bus.remote import Remote
from cumulet.cli.checks import rbd_pool
from cumulet.drivers.specs import VolumeSpec
from cumulet.lib.config import MEANINGS, Config, load
from cumulet.lib.errors import Failure
from cumulet.lib.instance_types import catalogue
from cumulet.parts import check_volume_driver, drivers, guest_mtu, volume_group, volume_pool
from cumulet.services import Host, heartbeat_of


def test_the_command_comes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cumulet.toml"
    file.write_text('region = "from-file"\nthreads = 3\nlisten = "1.2.3.4:5"\n')
    environ = {"CUMULET_REGION": "from-environment", "CUMULET_THREADS": "5"}
    config, origins = load(file, {"region": "from-command", "listen": None}, environ)
    assert (config.region, config.threads, config.listen) == ("from-command", 5, "1.2.3.4:5")
    assert origins["region"] == "command"
    assert origins["threads"] == "environment"
    assert origins["listen"] == str(file)
    assert origins["state_dir"] == "default"


def test_each_key_has_a_meaning() -> None:
    assert len(MEANINGS) == len(Config.__struct_fields__)
    assert all(MEANINGS)


def test_lists_come_from_the_environment_with_commas() -> None:
    config, _ = load(None, {}, {"CUMULET_ZONES": "a,b,c", "CUMULET_PUBLIC_POOL": "192.0.2.0/28"})
    assert config.zone_names() == ["a", "b", "c"]
    assert config.public_pool == ["192.0.2.0/28"]


def test_tables_come_from_the_environment_with_equals_signs() -> None:
    config, _ = load(None, {}, {"CUMULET_HOST_ATTRIBUTES": "rack=r1,ssd=true"})
    assert config.host_attributes == {"rack": "r1", "ssd": "true"}


def test_an_instance_type_may_require_attributes_of_its_host(tmp_path: Path) -> None:
    file = tmp_path / "cumulet.toml"
    file.write_text('[instance_types."i1.large"]\nvcpus = 2\nmemory_mib = 8192\nrequires = {ssd = "true"}\n')
    config, _ = load(file, {}, {})
    assert catalogue(config)["i1.large"].requires == {"ssd": "true"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"threads": "many"}, "threads is 'many'; it must be a whole number"),
        ({"threads": 0}, "threads is 0; it must be at least 1"),
        ({"vcpu_overcommit": "0"}, "vcpu_overcommit is 0.0; it must be above 0"),
        ({"quota_rules": -1}, "quota_rules is -1; it must be at least 0"),
        ({"test": "maybe"}, "test is 'maybe'; it must be true or false"),
        ({"drivers": "imaginary"}, "drivers is 'imaginary'; it must be one of real, fake"),
        ({"zones": "nova"}, "zones is 'nova'; it must be a list of texts"),
        ({"zones": ["a", "a"]}, "zones is ['a', 'a']; it must be names of letters"),
        ({"zones": ["a b"]}, "zones is ['a b']; it must be names of letters"),
        ({"region": ""}, "region is ''; it must be letters, digits and hyphens"),
        ({"region": "a/b"}, "region is 'a/b'; it must be letters, digits and hyphens"),
        ({"host_name": "a b"}, "host_name is 'a b'; it must be letters"),
        ({"account": " "}, "account is ' '; it must be 1 to 64 characters"),
        ({"import_ranges": ["10.0.0.1/8"]}, "import_ranges is ['10.0.0.1/8']; it must be ranges"),
        ({"public_pool": ["10.0.0.0/99"]}, "public_pool is ['10.0.0.0/99']; it must be IPv4 ranges"),
        ({"public_pool": ["10.0.0.9-10.0.0.1"]}, "public_pool is ['10.0.0.9-10.0.0.1']; it must be IPv4 ranges"),
        ({"vlan_interface": "eth 1"}, "vlan_interface is 'eth 1'; it must be empty, or the name of a network"),
        ({"vlan_start": 4095}, "vlan_start is 4095; it must be 1 to 4094"),
        ({"vpc_cidr": "10.0.0.1/16"}, "vpc_cidr is '10.0.0.1/16'; it must be an IPv4 range"),
        ({"dns_servers": ["here"]}, "dns_servers is ['here']; it must be IP addresses"),
        ({"listen": "8773"}, "listen is '8773'; it is ADDRESS:PORT"),
        ({"database_url": "postgres://u:geheim@h/x"}, "database_url is 'postgres://u:***@h/x'; it must be empty, or"),
        ({"state_dir": 3}, "state_dir is 3; it must be a path"),
        ({"instance_types": {"x": {"vcpus": 2}}}, "instance_types is {'x': {'vcpus': 2}}; it must be a table of names"),
        ({"instance_types": {"x": {"vcpus": 0, "memory_mib": 1}}}, "it must be vcpus and memory_mib of at least 1"),
        ({"volume_group": "a b"}, "volume_group is 'a b'; it must be a name of letters, digits and + _ . -, such as"),
        ({"volume_thin_pool": ".."}, "volume_thin_pool is '..'; it must be empty, or a name of letters"),
        ({"rbd_pool": "a/b"}, "rbd_pool is 'a/b'; it must be a name of letters, digits and _ . -, such as volumes"),
        (
            {"object_pool": "a:b"},
            "object_pool is 'a:b'; it must be a name of letters, digits and _ . -, such as objects",
        ),
        (
            {"object_driver": "rados", "object_dirs": ["/o"]},
            "object_dirs is ['/o']; it must be empty where object_driver",
        ),
        ({"object_driver": "rados", "object_copies": 2}, "object_copies is 2; it must be 1 where object_driver is"),
        ({"rbd_user": "client:x"}, "rbd_user is 'client:x'; it must be the name of a user of Ceph without client."),
        ({"rbd_conf": "ceph.conf"}, "rbd_conf is 'ceph.conf'; it must be an absolute path"),
        ({"rbd_keyring": "key"}, "rbd_keyring is 'key'; it must be empty, or an absolute path"),
        ({"volume_driver": "rbd", "volume_dir": "/v"}, "volume_dir is '/v'; it must be empty where volume_driver is"),
        ({"volume_driver": "lvm", "volume_dir": "/v"}, "volume_dir is '/v'; it must be empty where volume_driver is"),
        ({"placement_policy": "pile"}, "placement_policy is 'pile'; it must be one of spread, pack"),
        ({"host_attributes": {"rack": 1}}, "host_attributes is {'rack': 1}; it must be"),
    ],
)
def test_a_mistake_is_named_with_key_and_value_and_what_is_right(overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(Failure) as refused:
        load(None, overrides, {})
    assert said in str(refused.value)


@pytest.mark.parametrize(("key", "hint"), [("regoin", "did you mean region?"), ("colour", "`cumulet config` lists")])
def test_a_setting_that_is_not_there_is_guessed_or_the_list_is_named(key: str, hint: str) -> None:
    with pytest.raises(Failure, match=f"there is no setting '{key}'; {hint}".replace("?", "[?]")):
        load(None, {key: "x"}, {})


def test_a_mistake_says_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "cumulet.toml"
    file.write_text("threads = 0\n")
    with pytest.raises(Failure, match=rf"threads is 0 \(in {file}\)"):
        load(file, {}, {})
    with pytest.raises(Failure, match=r"threads is 'x' \(by CUMULET_THREADS\)"):
        load(file, {}, {"CUMULET_THREADS": "x"})


def test_the_state_directory_comes_from_the_environment_and_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cumulet.toml"
    file.write_text('state_dir = "/from/file"\n')
    assert load(file, {}, {})[0].state_dir == Path("/from/file")
    assert load(file, {}, {"CUMULET_STATE_DIR": "/from/environment"})[0].state_dir == Path("/from/environment")


def test_a_file_that_is_not_toml_or_not_there_is_named(tmp_path: Path) -> None:
    crooked = tmp_path / "crooked.toml"
    crooked.write_text("region = \n")
    for file in (crooked, tmp_path / "absent.toml"):
        with pytest.raises(Failure, match=file.name):
            load(file, {}, {})


def test_an_address_to_listen_at_is_checked() -> None:
    assert Config(listen="[::1]:80").address() == ("::1", 80)
    for wrong in ("8773", "localhost:", "localhost:http", "localhost:70000"):
        with pytest.raises(Failure, match="listen"):
            Config(listen=wrong).address()


def test_a_process_has_all_roles_or_those_that_are_named() -> None:
    assert Config().role_names() == ("api", "scheduler", "object", "image", "volume", "network", "compute")
    assert Config(roles=["compute", "api"], bus_url="amqp://a:b@c/d").role_names() == ("api", "compute")
    with pytest.raises(Failure, match="the setting roles names cook; there are api"):
        Config(roles=["cook"]).role_names()
    with pytest.raises(Failure, match="roles apart need RabbitMQ"):
        Config(roles=["api"]).role_names()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1500),
        ({"guest_mtu": 9000}, 9000),
        ({"tunnel_address": "192.0.2.1"}, 1450),
        ({"tunnel_address": "192.0.2.1", "guest_mtu": 1400}, 1400),
        ({"tunnel_address": "192.0.2.1", "vlan_interface": "eth1"}, 1500),
    ],
)
def test_a_guests_packets_are_as_large_as_what_carries_them(settings: dict[str, Any], expected: int) -> None:
    assert guest_mtu(Config(drivers="fake", **settings)) == expected


def test_a_host_keeps_its_volumes_as_it_kept_them_while_it_has_any(tmp_path: Path) -> None:
    files = Config(state_dir=tmp_path)
    thick = msgspec.structs.replace(files, volume_driver="lvm")
    thin = msgspec.structs.replace(thick, volume_thin_pool="thin")
    check_volume_driver(files)
    check_volume_driver(thick)
    documents = Documents(tmp_path / "agents" / "volume")
    documents.put("vol-1", Document(epoch=1, spec=msgspec.Raw(b"{}")))
    check_volume_driver(thick)
    for other in (files, thin):
        with pytest.raises(Failure, match="keeps 1 volumes and snapshots in lvm nova-volumes: set that again"):
            check_volume_driver(other)
    documents.put("vol-1", Document(epoch=2))
    check_volume_driver(thin)


def test_the_volumes_that_an_agent_was_ordered_to_keep_are_those_of_the_host(tmp_path: Path) -> None:
    files = Config(state_dir=tmp_path, drivers="fake")
    host, remote = host_of(files)
    remote.ensure(VolumeSpec(id="vol-1", size_gib=1))
    thick = msgspec.structs.replace(files, volume_driver="lvm")
    with pytest.raises(Failure, match="keeps 1 volumes and snapshots in directory"):
        check_volume_driver(thick)
    remote.remove("vol-1")
    check_volume_driver(thick)
    assert host.agents["volume"].recover() == []


def test_a_host_that_shares_its_volumes_is_first_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    files = Config(state_dir=tmp_path, drivers="fake", volume_dir=str(tmp_path / "shared"))
    _, remote = host_of(files)
    remote.ensure(VolumeSpec(id="vol-1", size_gib=1))
    thick = msgspec.structs.replace(files, volume_driver="lvm", volume_dir="")
    with pytest.raises(Failure, match=r"shares a directory of volumes with others.*remove .*/volume-store"):
        check_volume_driver(thick)
    (tmp_path / "volume-store").unlink()
    check_volume_driver(thick)


def host_of(config: Config) -> tuple[Host, Remote]:
    """The agents with this configuration, and who gives orders to the one for volumes."""
    bus = MemoryBus()
    host = Host(config, bus, drivers(config, lambda id: None), heartbeat_of(config, bus))
    return host, Remote(bus, f"volume.{config.host()}", epoch=1)


def test_a_host_that_has_its_volumes_in_a_pool_is_first_to_have_none(tmp_path: Path) -> None:
    pool = Config(state_dir=tmp_path, volume_driver="rbd")
    check_volume_driver(pool)
    (tmp_path / "volume-store").write_text("ceph 5a1f/3")
    with pytest.raises(
        Failure, match="say directory, but this host shares volumes in rbd volumes with others: set that"
    ):
        check_volume_driver(Config(state_dir=tmp_path))
    check_volume_driver(pool)


def test_a_host_that_is_to_keep_volumes_in_ceph_needs_it(tmp_path: Path) -> None:
    ceph = Config(state_dir=tmp_path, volume_driver="rbd", rbd_conf=str(tmp_path / "ceph.conf"))
    with pytest.raises(Failure, match="volumes"):
        volume_pool(ceph)
    (problem,) = rbd_pool(ceph)
    assert (problem.part, problem.level) == ("Ceph", "problem")
    for other in (Config(state_dir=tmp_path), msgspec.structs.replace(ceph, drivers="fake")):
        assert volume_pool(other) is None


def test_a_host_that_is_to_keep_volumes_in_lvm_needs_the_group(tmp_path: Path) -> None:
    lvm = Config(state_dir=tmp_path, volume_driver="lvm", volume_group="no-such-group")
    with pytest.raises(Failure, match="no-such-group.*(`vgcreate no-such-group DISK`|apt-get install lvm2)"):
        volume_group(lvm)
    for other in (Config(state_dir=tmp_path), msgspec.structs.replace(lvm, drivers="fake")):
        assert volume_group(other) is None


def test_packets_that_the_tunnels_cannot_carry_are_refused() -> None:
    with pytest.raises(Failure, match="guest_mtu is 1500; it is 576 to 1450"):
        guest_mtu(Config(drivers="fake", tunnel_address="192.0.2.1", guest_mtu=1500))
    with pytest.raises(Failure, match="guest_mtu is 100; it is 576 to 65535"):
        guest_mtu(Config(drivers="fake", guest_mtu=100))
