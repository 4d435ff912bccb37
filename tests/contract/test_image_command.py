"""`cumulet image import` beside a running cloud with the real store of images: what is no image is refused and said."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cumulet.cli import cumulet
from cumulet.cli.running import only_one
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.lib.command import run
from cumulet.lib.config import Config
from cumulet.parts import Part, fake_drivers
from cumulet.services import Cloud


class Shop:
    """A cloud in this process, and the command for it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.images = DirectoryImages(state / "images")
        config = Config(state_dir=state, drivers="fake", test=True, host_name="h1")
        parts = fake_drivers(state / "world", lambda id: None)
        self.cloud = Cloud(config, parts={**parts, "image": Part(self.images, {"facts": self._facts})})
        self.cloud.prepare()

    def import_image(self, *words: str, stdin: bytes = b"") -> Result:
        environ = {key: None for key in os.environ if key.startswith("CUMULET_")} | {"CUMULET_DRIVERS": "fake"}
        return CliRunner().invoke(cumulet, ["image", "import", *words, "--state-dir", str(self.state)], stdin, environ)

    def _facts(self, id: str) -> bytes:
        return (self.images.directory / id / "facts").read_bytes()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "state")
    with only_one(made.state):
        made.cloud.start()
        yield made
        made.cloud.stop()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A qcow2 image with something in it."""
    file = tmp_path / "good.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", file, "8M"])
    run(["qemu-io", "-c", "write -q -P 1 0 4M", file])
    return file


def test_what_is_no_image_is_refused_with_what_would_be_right(shop: Shop, good: Path, tmp_path: Path) -> None:
    above, empty, cut, text, packed = (tmp_path / name for name in ("above", "empty", "cut", "text", "good.gz"))
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", good, above])
    empty.touch()
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    text.write_text("not an image\n" * 100)
    packed.write_bytes(b"\x1f\x8b" + bytes(1000))
    sha256 = hashlib.sha256(good.read_bytes()).hexdigest()
    for words, said in (
        ([tmp_path / "absent"], f"there is no file {tmp_path}/absent"),
        ([tmp_path], f"{tmp_path} is no file; a disk image is one"),
        ([text], "the image is neither qcow2 nor a disk with a boot record; say raw if it is one"),
        ([empty], "the image has 0 bytes; the smallest disk has 512"),
        ([cut], f"the image is cut off: it has {cut.stat().st_size} bytes; fetch all of it again"),
        ([above], "the image has a backing file; flatten it with: qemu-img convert"),
        ([packed], "the image has the format gzip; qcow2 and raw are accepted: unpack it first"),
        ([good, "--format", "raw"], "the image has the format qcow2, not raw as was said"),
        ([good, "--sha256", "beef"], "beef is no SHA-256: that is 64 hexadecimal digits"),
        ([good, "--sha256", "0" * 64], f"{good} is not the file that was meant: its SHA-256 is {sha256}, not 000"),
        (
            ["http://127.0.0.1:1/good.qcow2"],
            "downloading http://127.0.0.1:1/good.qcow2 (127.0.0.1 is no public address;",
        ),
        ([good, "--sha512", "beef"], "beef is no SHA-512: that is 128 hexadecimal digits"),
        ([good, "--sha512", "0" * 128], "is not the file that was meant: its SHA-512 is"),
        ([good, "--account", "nobody"], "there is no account nobody; there are: admin"),
    ):
        refused = shop.import_image(*map(str, words))
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("cumulet: ")
        assert said in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert list(shop.images.directory.iterdir()) == []


def test_a_name_is_free_again_when_what_had_it_was_refused(shop: Shop, good: Path, tmp_path: Path) -> None:
    assert shop.import_image(str(good), "--format", "raw").exit_code == 1
    sha256 = hashlib.sha256(good.read_bytes()).hexdigest().upper()
    sha512 = hashlib.sha512(good.read_bytes()).hexdigest()
    taken = shop.import_image(str(good), "--sha256", sha256, "--sha512", sha512)
    assert taken.stdout.endswith("good is available\n")
    again = shop.import_image(str(good))
    assert (again.exit_code, again.stdout) == (1, "")
    assert "the account admin has an image good already: choose another --name" in again.stderr


def test_an_image_comes_by_the_standard_input(shop: Shop, good: Path) -> None:
    whole = good.read_bytes()
    digest = hashlib.sha256(whole).hexdigest()
    assert shop.import_image("-", "--name", "sent", "--sha256", digest, stdin=whole).exit_code == 0
    assert shop.import_image("-", stdin=whole).stderr == (
        "cumulet: what comes from the standard input needs a name: --name NAME\n"
    )
    assert "nothing came from the standard input" in shop.import_image("-", "--name", "none").stderr
    assert (
        "is not the file that was meant"
        in shop.import_image("-", "--name", "cut", "--sha256", digest, stdin=b"x").stderr
    )
    assert list((shop.state / "incoming").iterdir()) == []
