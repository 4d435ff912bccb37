"""The administrator's part of the 2012 tutorial, line by line, on a cloud in this process."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.commands import running_cloud
from support.refusals import code
from support.tested_cloud import Account, TestedCloud

from cumulet.nova_manage.__main__ import main


@pytest.mark.parametrize("cloud", [{"zones": ["nova"], "public_pool": []}], indirect=True)
def test_the_administrators_part_works_as_printed(
    cloud: TestedCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "nova.conf"
    conf.write_text(
        f"--state_path={cloud.config.state_dir}\n--node_availability_zone=nova\n--fixed_range=10.0.0.0/8\n"
        f"--network_size=64\n--num_networks=2\n--sql_connection={cloud.config.database_url or 'sqlite:///x'}\n"
    )
    if not cloud.config.database_url:
        conf.write_text(conf.read_text().replace("--sql_connection=sqlite:///x\n", ""))
    for name, value in (("CUMULET_PUBLIC_POOL", ""), ("CUMULET_DRIVERS", "fake")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def nova_manage(line: str, status: int = 0) -> Any:
        assert main([f"--flagfile={conf}", *line.split()]) == status, capsys.readouterr()
        return capsys.readouterr().out if status == 0 else capsys.readouterr().err

    with running_cloud(cloud):
        assert ":-)" in nova_manage("service list")
        nova_manage("network create private")
        nova_manage("floating create 203.0.113.0/28")
        assert "10.0.0.64/26" in nova_manage("network list")
        assert "14 free" in nova_manage("floating list")
        said = nova_manage("user create sam")
        lines = dict(line.removeprefix("export ").split("=") for line in said.splitlines())
        sam = Account(cloud.url, "us-east-1", lines["EC2_ACCESS_KEY"], lines["EC2_SECRET_KEY"], "")
        assert sam.client().describe_vpcs()["Vpcs"][0]["CidrBlock"] == "172.31.0.0/16"
        nova_manage("project create p sam")
        assert "10.0.0.0/26" in nova_manage("network list")
        assert nova_manage("role has sam cloudadmin") == "False\n"
        nova_manage("role add sam cloudadmin")
        assert nova_manage("role has sam cloudadmin") == "True\n"
        nova_manage("project zipfile p sam")
        with zipfile.ZipFile(tmp_path / "nova.zip") as archive:
            assert {"novarc", "pk.pem", "cert.pem", "cacert.pem"} <= set(archive.namelist())
            novarc = dict(
                line.removeprefix("export ").split("=", 1)
                for line in archive.read("novarc").decode().splitlines()
                if line.startswith("export ")
            )
        member = Account(
            cloud.url, "us-east-1", novarc["EC2_ACCESS_KEY"].strip('"'), novarc["EC2_SECRET_KEY"].strip('"'), ""
        )
        assert member.client("sts").get_caller_identity()["Arn"].endswith(":user/sam")
        assert member.client().allocate_address()["PublicIp"].startswith("203.0.113.")
        nova_manage("user create bob")
        nova_manage("project add p bob")
        assert nova_manage("project list bob") == "p\n"
        assert "instances: 5" in nova_manage("account quota p instances 5")
        assert "the account p has still 1 public addresses" in nova_manage("project delete p", status=1)
        assert "there is no user nobody" in nova_manage("project create q nobody", status=1)
        nova_manage("user delete bob")
        assert nova_manage("user list") == "admin\nsam\np\n"
    assert code(lambda: sam.client().describe_vpcs(DryRun=True)) == "DryRunOperation"
