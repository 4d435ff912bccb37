"""`cumulet image publish-tarball`, and what it is made of, with the papers and the variables of novarc."""

from __future__ import annotations

import re
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.bundles import INITRD, KERNEL, papers, real_images
from support.tested_cloud import TestedCloud

from cumulet.cli import cumulet
from cumulet.cli.access import exports
from cumulet.cli.options import Cloud

Image = Callable[..., Result]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[TestedCloud]:
    made = TestedCloud(tmp_path / "state", real_images)
    yield made
    made.stop()


@pytest.fixture
def image(cloud: TestedCloud, tmp_path: Path) -> Image:
    """Runs `cumulet image …` as somebody who has sourced novarc."""
    mine = papers(cloud.config, "admin", tmp_path / "papers")
    variables = exports(Cloud(cloud.config)) | {"AWS_ENDPOINT_URL": cloud.url}
    variables |= {"EC2_PRIVATE_KEY": str(mine.key), "EC2_CERT": str(mine.certificate), "NOVA_CERT": str(mine.cloud)}
    return lambda *words: CliRunner().invoke(cumulet, ["image", *map(str, words)], env=variables)


def tarball(directory: Path, **files: bytes) -> Path:
    source = directory / "tarball"
    source.mkdir()
    for name, content in files.items():
        (source / name.replace("__", "-").replace("_", ".")).write_bytes(content)
    (source / "README.files").write_text("nobody needs it")
    with tarfile.open(directory / "t.tar.gz", "w:gz") as archive:
        archive.add(source, "./lucid")
    return directory / "t.tar.gz"


def test_a_tarball_becomes_images(cloud: TestedCloud, image: Image, tmp_path: Path) -> None:
    file = tarball(tmp_path, lucid_img=bytes(1 << 20), lucid__vmlinuz__virtual=KERNEL, lucid__initrd__virtual=INITRD)
    said = image("publish-tarball", file, "lucid")
    found = re.fullmatch(r'emi="(ami-\w+)"; eri="(ari-\w+)"; eki="(aki-\w+)"\n', said.output)
    assert found, said.output
    (machine,) = cloud.client().describe_images(ImageIds=[found[1]])["Images"]
    assert (machine["KernelId"], machine["RamdiskId"]) == (found[3], found[2])
    for _ in range(400):
        cloud.pass_time(1)
        states = [one["State"] for one in cloud.client().describe_images(ImageIds=list(found.groups()))["Images"]]
        if "pending" not in states:
            break
        time.sleep(0.02)
    assert states == ["available"] * 3
    again = image("publish-tarball", file, "lucid", "--kernel", found[3], "--ramdisk", found[2])
    assert again.output.endswith(f'eri="{found[2]}"; eki="{found[3]}"\n')


def test_a_tarball_without_an_initial_ram_disk_has_none(image: Image, tmp_path: Path) -> None:
    said = image("publish-tarball", tarball(tmp_path, tty_img=bytes(4096), vmlinuz=KERNEL), "tty")
    assert re.fullmatch(r'emi="ami-\w+"; eri="none"; eki="aki-\w+"\n', said.output), said.output


def test_the_steps_by_themselves(cloud: TestedCloud, image: Image, tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(KERNEL)
    made = image("bundle", tmp_path / "kernel", "--kind", "kernel", "--destination", tmp_path / "parts")
    bundled = made.output.strip()
    assert Path(bundled) == tmp_path / "parts" / "kernel.manifest.xml"
    location = image("upload", bundled, "steps").output.strip()
    assert location == "steps/kernel.manifest.xml"
    said = image("register", location, "--name", "mine").output
    assert said.startswith("IMAGE\taki-")
    (found,) = cloud.client().describe_images(Filters=[{"Name": "name", "Values": ["mine"]}])["Images"]
    assert found["ImageId"] == said.split()[1]


SAID = [
    (["register", "steps/none.manifest.xml"], "InvalidManifest: HTTP 404"),
    (["upload", "/nowhere/kernel.manifest.xml", "steps"], "reading the manifest"),
    (["bundle", "/nowhere/kernel"], "there is no file /nowhere/kernel"),
    (["publish-tarball", "/nowhere/t.tar.gz", "steps"], "reading the tarball"),
]


def test_what_cannot_be_is_said(image: Image) -> None:
    for words, said in SAID:
        result = image(*words)
        assert result.exit_code != 0
        assert said in result.output


def test_a_tarball_without_an_image_is_refused(image: Image, tmp_path: Path) -> None:
    said = image("publish-tarball", tarball(tmp_path, vmlinuz=KERNEL), "t").output
    assert "no file whose name ends with .img" in said
