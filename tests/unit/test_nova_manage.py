"""`nova-manage`: which command each line of 2012 becomes, and what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cumulet.lib.errors import Failure
from cumulet.nova_manage import __main__ as command
from cumulet.nova_manage import flags
from cumulet.nova_manage.table import ABSENT, ABSENT_ACTIONS, ACTIONS, Usage, arguments, find

ANSWERS: dict[str, Any] = {
    "account create": {"name": "sam", "access_key": "AKIA1", "secret_key": "s3cr3t"},
    "account list": [{"name": "sam", "administrator": True}, {"name": "p", "administrator": False}],
    "user list sam": [],
    "user list p": [{"name": "sam", "policies": ["sysadmin", "netadmin"]}],
    "user create": {},
    "env": {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_ENDPOINT_URL": "http://h:1"},
    "quota list": [{"name": "vcpus", "value": 20}, {"name": "addresses", "value": 5}],
    "quota set": [],
    "db version": {"version": "0001", "known": "0001"},
    "service list": [
        {
            "binary": "compute",
            "host": "h1",
            "zone": "nova",
            "enabled": True,
            "alive": False,
            "heard_seconds_ago": 1e9,
        }
    ],
    "host list": [{"name": "h1", "zones": ["nova", "b"]}],
    "host show": {
        "name": "h1",
        "limit": {"vcpus": 8, "memory_mib": 1024, "disk_gib": 9},
        "used": {"vcpus": 1, "memory_mib": 512, "disk_gib": 1},
        "accounts": [{"account": "p", "vcpus": 1, "memory_mib": 512, "disk_gib": 1}],
    },
    "network list": [{"cidr": "10.0.0.0/26", "label": "private", "account": "p", "vlan": 101}],
    "pool list": [{"addresses": "1.2.3.1-1.2.3.6", "size": 6, "taken": 1}],
    "address list": [{"host": "h1", "address": "1.2.3.1", "instance": "i-1"}],
    "interface list": [
        {"network": "10.0.0.0/26", "address": "10.0.0.5", "mac": "02:", "instance": "i-1", "host": "h1"}
    ],
    "type list": [{"name": "m1.tiny", "vcpus": 1, "memory_mib": 512}],
    "image import": {"id": "ami-1"},
    "instance list": [
        {
            "id": "i-1",
            "host": "h1",
            "type": "m1.tiny",
            "state": "running",
            "launched": 0,
            "image": "ami-1",
            "account": "p",
            "zone": "nova",
            "launch_index": 0,
        }
    ],
    "volume list": [{"id": "vol-1", "instance": "i-1"}],
    "config": [{"key": "region", "value": "us-east-1"}],
}
"""What `cumulet` answers to a line that begins so, the longest first."""
EXPORTS = "export EC2_ACCESS_KEY=AKIA1\nexport EC2_SECRET_KEY=s3cr3t"
OWN = "--vpc-cidr 172.31.0.0/16"

TABLE = [
    ("user create sam", [f"account create sam {OWN}"], EXPORTS),
    ("user create --name=sam", [f"account create sam {OWN}"], EXPORTS),
    ("user admin sam", [f"account create sam --administrator {OWN}"], EXPORTS),
    ("user exports sam", ["env --account sam"], EXPORTS),
    ("user list", ["account list", "user list sam", "user list p"], "sam\np"),
    (
        "user delete sam",
        ["account list", "user list sam", "user list p", "user delete p sam", "account delete sam"],
        "",
    ),
    ("user revoke 1f3a", ["account revoke 1f3a"], ""),
    (
        "project create q sam",
        ["account list", "account create q", "user create q sam --role sysadmin --role netadmin"],
        "",
    ),
    ("account add q sam", ["account list", "user create q sam --role developer"], ""),
    ("account remove p sam", ["user delete p sam"], ""),
    ("account delete p", ["account delete p"], ""),
    ("account list", ["account list"], "sam\np"),
    ("project list sam", ["account list", "user list sam", "user list p"], "p"),
    ("project zipfile p sam", ["account credentials p nova.zip --user sam"], ""),
    ("project zipfile p sam /tmp/x.zip", ["account credentials p /tmp/x.zip --user sam"], ""),
    ("account quota p", ["quota list p"], "cores: 20\nfloating_ips: 5"),
    (
        "account quota p cores unlimited",
        ["quota list p", "quota set p vcpus 2147483647", "quota list p"],
        "cores: 20\nfloating_ips: 5",
    ),
    (
        "role add sam cloudadmin",
        [
            *["account list", "account list", "user list sam", "user list p", "role add p sam cloudadmin"],
            "account set sam --administrator",
        ],
        "",
    ),
    ("role add sam netadmin p", ["account list", "role add p sam netadmin"], ""),
    (
        "role add sam projectmanager p",
        ["account list", "role add p sam sysadmin", "role add p sam netadmin"],
        "",
    ),
    ("role remove sam netadmin p", ["account list", "role remove p sam netadmin"], ""),
    ("role has sam sysadmin p", ["user list p", "account list"], "True"),
    ("role has sam itsec p", ["user list p", "account list"], "False"),
    ("db sync", ["db sync"], ""),
    ("db version", ["db version"], "0001"),
    ("service list", ["service list"], "nova-compute     h1                                   nova"),
    ("service list --host=h2", ["service list"], "Binary           Host"),
    ("service enable h1 nova-compute", ["host enable h1"], ""),
    ("service disable h1", ["host disable h1"], ""),
    ("service describe_resource h1", ["host show h1"], "h1               p                     1        512        1"),
    ("host list", ["host list"], "h1                       \tnova"),
    ("host list b", ["host list"], "h1                       \tb"),
    ("network create private", ["network create private 10.0.0.0/8 --count 1 --size 256"], ""),
    ("network create p 10.1.0.0/16 2 64", ["network create p 10.1.0.0/16 --count 2 --size 64"], ""),
    (
        "network create --label=p --fixed_range_v4=10.1.0.0/16 --num_networks=2 --network_size=64 --vlan=100",
        ["network create p 10.1.0.0/16 --count 2 --size 64"],
        "without a meaning today: vlan",
    ),
    ("network list", ["network list"], "\tNone           \tNone           \t101            \tp "),
    ("network list", ["network list"], "1    \t10.0.0.0/26       \tNone           \t10.0.0.4"),
    ("network delete 10.0.0.0/26", ["network remove 10.0.0.0/26"], ""),
    ("floating create 1.2.3.0/29", ["pool create 1.2.3.0/29"], ""),
    ("floating create --ip_range=1.2.3.0/29", ["pool create 1.2.3.0/29"], ""),
    ("floating delete 1.2.3.0/29", ["pool remove 1.2.3.0/29"], ""),
    ("floating list", ["address list", "pool list"], "h1\t1.2.3.1\ti-1\nNone\t1.2.3.1-1.2.3.6\t5 free"),
    ("floating list h1", ["address list"], "h1\t1.2.3.1\ti-1"),
    ("fixed list", ["interface list"], "10.0.0.0/26       \t10.0.0.5       \t02:              \ti-1            \th1"),
    ("fixed list h1", ["interface list --host h1"], "10.0.0.5"),
    ("instance_type create m1.big 4096 2 10 9", ["type list", "type add m1.big 2 4096"], "m1.big created"),
    ("flavor delete m1.tiny", ["type remove m1.tiny"], "m1.tiny deleted"),
    (
        "flavor list",
        ["type list"],
        "m1.tiny: Memory: 512MB, VCPUS: 1, Storage: 0GB, FlavorID: 1, Swap: 0MB, RXTX Quota: 0GB, RXTX Cap: 0MB",
    ),
    (
        "image image_register /x.img sam ubuntu",
        ["image import /x.img --account sam --name ubuntu --public"],
        "Image registered to ami-1.",
    ),
    ("image image_register /x.img sam --is_public=F", ["image import /x.img --account sam"], "ami-1"),
    ("vm list", ["instance list"], "i-1        h1              m1.tiny    running    1970-01-01 00:00:00"),
    ("vm list h1", ["instance list --host h1"], "i-1"),
    ("volume delete vol-1", ["volume delete vol-1"], ""),
    ("volume reattach vol-1", ["volume list", "instance reset i-1"], ""),
    ("config list", ["config"], "region=us-east-1"),
    ("shell python", ["shell"], ""),
    ("shell run bpython", ["shell"], ""),
    ("shell script /x.py", ["shell --script /x.py"], ""),
    ("version list", [], "(cumulet)"),
]


class Recorder:
    """`Cumulet` that writes down what it is asked."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, *words: str) -> str:
        self.lines.append(" ".join(words))
        return ""

    run = say

    def ask(self, *words: str) -> Any:
        line = " ".join(words)
        self.lines.append(line)
        begun = [key for key in ANSWERS if line.startswith(key)]
        return ANSWERS[max(begun, key=len)] if begun else {}


@pytest.mark.parametrize(("line", "becomes", "prints"), TABLE, ids=[line for line, _, _ in TABLE])
def test_a_line_of_2012_becomes_commands_of_today(line: str, becomes: list[str], prints: str) -> None:
    category, name, *rest = line.split()
    whole, known = find(category, name)
    cloud = Recorder()
    said = known.do(cloud, arguments(whole, known, rest))
    assert cloud.lines == becomes
    assert prints in said if prints else said == ""


def test_each_action_is_in_the_table() -> None:
    tried = {find(*line.split()[:2])[0] for line, _, _ in TABLE}
    written = {"account environment"}  # into a file
    assert tried | written == {f"{category} {name}" for category, known in ACTIONS.items() for name in known}


def test_the_environment_of_a_project_is_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    whole, known = find("project", "environment")
    known.do(Recorder(), arguments(whole, known, ["p", "sam", str(tmp_path / "rc")]))
    assert (tmp_path / "rc").stat().st_mode & 0o777 == 0o600
    assert "export EC2_URL=http://h:1\n" in (tmp_path / "rc").read_text()


def test_a_beginning_will_do_where_only_one_has_it() -> None:
    assert find("proj", "zip")[0] == "account zipfile"
    assert find("inst", "li")[0] == "flavor list"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["f", "list"], "'f' may be fixed or flavor or floating"),
        (["cloud", "list"], "there is no category 'cloud'; there are: account,"),
        (["user", "sing"], "there is no action of user 'sing'; there are: admin, create,"),
        (["user"], "there is no action of user ''"),
        (["user", "create"], "wants <name> [access] [secret]: name is missing"),
        (["user", "exports", "a", "b"], "takes no more than <name>, and there is 'b'"),
        (["user", "exports", "--size=3"], "has no --size; it takes <name>"),
        (["user", "exports", "--name"], "--name of user exports wants a value"),
        *(([category, "list"], f"{category} has no counterpart: {why}") for category, why in ABSENT.items()),
        *((line.split(), f"{line} has no counterpart: {why}") for line, why in ABSENT_ACTIONS.items()),
    ],
)
def test_a_wrong_line_says_what_there_is(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 2
    assert said in capsys.readouterr().err


def test_keys_of_ones_own_are_refused() -> None:
    whole, known = find("user", "create")
    with pytest.raises(Failure, match="keys are made by the cloud"):
        known.do(Recorder(), arguments(whole, known, ["sam", "access", "secret"]))
    with pytest.raises(Usage):
        find("", "")


TUTORIAL = """\
--daemonize=1
--dhcpbridge_flagfile=/etc/nova/nova.conf
--logdir=/var/log/nova
--state_path=/var/lib/nova
--lock_path=$state_path/lock
--verbose
--libvirt_type=qemu
--sql_connection=mysql://novadbadmin:novasecret@10.10.10.2/nova
--s3_host=10.10.10.2
--rabbit_host=10.10.10.2
--fixed_range=10.0.0.0/8
--network_size=64
--num_networks=1
--public_interface=eth0
--vlan_start=100
--iscsi_helper=tgtadm
"""
INI = """\
[DEFAULT]
# the same, as later releases had it
verbose = true
sql_connection = "sqlite:////var/lib/nova/nova.sqlite"
noauth = x
"""


def test_the_flags_of_the_tutorial_are_settings_or_named(tmp_path: Path) -> None:
    (tmp_path / "nova.conf").write_text(TUTORIAL)
    found = flags.meaning(flags.read(tmp_path / "nova.conf"))
    assert found.settings == {
        "state_dir": "/var/lib/nova",
        "log_level": "debug",
        "emulation": "tcg",
        "database_url": "mysql+pymysql://novadbadmin:novasecret@10.10.10.2/nova",
        "public_interface": "eth0",
        "vlan_start": "100",
        "volume_export": "iscsi",
        "bus_url": "amqp://guest:guest@10.10.10.2:5672/",
    }
    assert found.own == {"fixed_range": "10.0.0.0/8", "network_size": "64", "num_networks": "1"}
    without = {"daemonize", "dhcpbridge_flagfile", "logdir", "lock_path", "s3_host"}
    assert set(found.without_meaning) == without
    assert all(reason != "Cumulet has no such flag" for reason in found.without_meaning.values())


def test_the_vlans_of_then_are_those_of_today() -> None:
    given = {"vlan_interface": "eth1", "vlan_start": "200"}
    found = flags.meaning(given | {"network_manager": "nova.network.manager.VlanManager"})
    assert (found.settings, found.without_meaning) == (given, {})
    flat = flags.meaning(given | {"network_manager": "nova.network.manager.FlatDHCPManager"})
    assert flat.settings == {}
    assert flat.without_meaning["vlan_interface"] == "FlatDHCPManager has no VLANs"
    assert "network_manager" in flat.without_meaning
    assert "vlan_interface" in flags.meaning({"network_manager": "VlanManager"}).without_meaning["network_manager"]


def test_the_volume_group_is_a_setting_and_the_driver_of_then_is_named() -> None:
    found = flags.meaning({"volume_group": "stripes", "volume_driver": "nova.volume.driver.ISCSIDriver"})
    assert found.settings == {"volume_group": "stripes"}
    assert "see the setting volume_driver" in found.without_meaning["volume_driver"]


def test_ini_is_read_too_and_one_file_may_name_another(tmp_path: Path) -> None:
    (tmp_path / "nova.conf").write_text(INI)
    (tmp_path / "flags").write_text(f"--noverbose\n--flagfile={tmp_path / 'nova.conf'}\n--my_ip=1.2.3.4\n")
    found = flags.meaning(flags.read(tmp_path / "flags"))
    assert found.settings == {"log_level": "debug", "database_url": "sqlite:////var/lib/nova/nova.sqlite"}
    assert found.without_meaning["my_ip"] == "Cumulet has no such flag"
    (tmp_path / "flags").write_text("--noverbose\n")
    assert flags.meaning(flags.read(tmp_path / "flags")).settings == {"log_level": "info"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("what is this\n", ":1: 'what is this' is no flag, such as --verbose=1"),
        ("--sql_connection=oracle://u:p@x/y\n", "sql_connection is 'oracle://u:***@x/y'; it begins with mysql"),
        ("--libvirt_type=uml\n", "libvirt_type is 'uml'; here it is kvm or qemu"),
    ],
)
def test_a_flag_that_cannot_be_is_named(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text(text)
    assert command.main([f"--flagfile={tmp_path / 'f'}", "version"]) == 1
    assert said in capsys.readouterr().err
    assert command.main([f"--flagfile={tmp_path / 'none'}", "version"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_flags_without_meaning_are_named_and_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text("--daemonize=1\n--num_networks=2\n--state_path=/x\n--rabbit_host=h\n")
    assert command.main([f"--flagfile={tmp_path / 'f'}", "version"]) == 0
    said = capsys.readouterr()
    assert "flags without a meaning today: daemonize;" in said.err
    assert "(cumulet)" in said.out
    command.main([f"--flagfile={tmp_path / 'f'}", "config", "flags"])
    why = capsys.readouterr().out
    assert "daemonize: no meaning: systemd, or whoever starts it" in why
    assert "state_path: the setting state_dir\nrabbit_host: the setting bus_url\n" in why
    command.main([f"--flagfile={tmp_path / 'f'}", "--zone_name=a,b", "--quota_cores=7", "config", "convert"])
    assert 'state_dir = "/x"\nzones = ["a", "b"]\nquota_vcpus = 7\n' in capsys.readouterr().out
    assert command.main([]) == 2
    assert "project" not in ABSENT
    assert "  account create <name> <project_manager> [description]" in capsys.readouterr().out
