"""Image files from host to host: the same to the last byte, gone on with after a break, and only by a link."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.libvirtd import bounded

from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.image.giving import Giving
from cumulet.drivers.places import image_files
from cumulet.drivers.specs import ImageFileSpec
from cumulet.lib import self_signed
from cumulet.lib.command import run
from cumulet.lib.errors import Failure
from cumulet.lib.image_link import ImageLink

ID = "imf-00000000000000003"
MIB = 1 << 20


class Pair:
    """One host that has images, and one that wants them."""

    def __init__(self, directory: Path) -> None:
        self.giving = Giving(directory / "here", directory / "identity.pem", "127.0.0.1", port=0)
        self.here = DirectoryImages(directory / "here", giving=self.giving)
        self.there = DirectoryImages(directory / "there")
        self._directory = directory

    def disk(self) -> ImageFileSpec:
        """A disk of four different MiB is here; gives what is to be there, but for the link."""
        source = self._directory / "source"
        source.write_bytes(b"".join(bytes([number]) * MIB for number in range(4)))
        self.here.ensure(ImageFileSpec(id=ID, source=str(source), format="raw"))
        return self.wanted()

    def wanted(self) -> ImageFileSpec:
        facts = self.here.facts(ID)
        return ImageFileSpec(id=ID, source="", format=facts["format"], sha256=facts["sha256"])

    def fetch(self, spec: ImageFileSpec, link: ImageLink | None = None) -> None:
        """Until it is there, or raises what has become of it."""
        wanted = msgspec.structs.replace(spec, link=link or self.here.link(ID))
        end = time.monotonic() + 20
        while self.there.look(ID) is None:
            assert time.monotonic() < end
            self.there.ensure(wanted)
            time.sleep(0.01)

    def file(self, images: DirectoryImages, name: str = "disk") -> Path:
        return image_files(images.directory, ID)[name]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.giving.stop()


def test_a_disk_is_there_as_it_is_here(pair: Pair) -> None:
    pair.fetch(pair.disk())
    assert pair.file(pair.there).read_bytes() == pair.file(pair.here).read_bytes()
    assert pair.there.facts(ID) == pair.here.facts(ID)
    assert pair.file(pair.there).stat().st_blocks * 512 < 4 * MIB, "zeroes take no room"
    for _ in bounded(5):  # what it came in goes a moment after it is there
        if [entry.name for entry in pair.there.directory.iterdir()] == [ID]:
            break
    pair.fetch(pair.wanted())
    pair.there.remove(ID)
    assert list(pair.there.directory.iterdir()) == []


def test_a_qcow2_and_a_kernel_with_its_initrd_go_too(pair: Pair, tmp_path: Path, tiny_image: Path) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "source", "64M"])
    for source, names in ((tmp_path / "source", ["disk"]), (tiny_image, ["initrd", "kernel"])):
        pair.here.ensure(ImageFileSpec(id=ID, source=str(source)))
        pair.fetch(pair.wanted())
        for name in names:
            assert pair.file(pair.there, name).read_bytes() == pair.file(pair.here, name).read_bytes()
        assert pair.there.facts(ID) == pair.here.facts(ID)
        pair.here.remove(ID)
        pair.there.remove(ID)


def test_what_has_come_before_a_break_is_not_fetched_again(pair: Pair) -> None:
    spec = pair.disk()
    part = pair.there.directory / f".{ID}.fetched" / "disk.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * MIB)  # other bytes than there are here: so one sees that they were not fetched
    with pytest.raises(Failure, match=f"copying the image {ID}: .* is not what was taken in before"):
        pair.fetch(spec)
    assert not part.parent.exists()
    part.parent.mkdir(parents=True)
    part.write_bytes(pair.file(pair.here).read_bytes()[: 3 * MIB])
    pair.fetch(spec)
    assert hashlib.sha256(pair.file(pair.there).read_bytes()).hexdigest() == spec.sha256


def test_a_giver_that_ends_is_gone_on_with_by_another_link(pair: Pair) -> None:
    spec, old = pair.disk(), pair.here.link(ID)
    pair.giving.stop()
    with pytest.raises(Failure, match=f"fetching {ID} from 127.0.0.1"):
        pair.fetch(spec, old)
    pair.fetch(spec)


def test_only_who_has_a_link_to_it_is_given_an_image(pair: Pair) -> None:
    spec, link = pair.disk(), pair.here.link(ID)
    for token in ("", "x", "99999999999.00", link.token.replace(link.token[:3], "999", 1), link.token + "0"):
        with pytest.raises(Failure, match=r"HTTP 403 \(Forbidden\)"):
            pair.fetch(spec, msgspec.structs.replace(link, token=token))
    assert pair.there.look(ID) is None
    assert not pair.giving.opens(link.token, "imf-00000000000000004")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = link.address.rpartition(":")
    for path in (f"/{ID}/facts", f"/{ID}/../../identity.pem", "/", f"/{ID}/disk/"):
        asked = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
        asked.request("GET", path, headers={"Authorization": f"Bearer {link.token}"})
        answer = asked.getresponse()
        assert (answer.status, answer.read()) == (403, b"")
        asked.close()


def test_a_link_is_good_for_an_hour(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.disk()
    link, now = pair.here.link(ID), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3590)
    assert pair.giving.opens(link.token, ID)
    monkeypatch.setattr(time, "monotonic", lambda: now + 3610)
    assert not pair.giving.opens(link.token, ID)


def test_nothing_is_taken_from_a_host_with_another_certificate(pair: Pair, tmp_path: Path) -> None:
    spec = pair.disk()
    other = msgspec.structs.replace(pair.here.link(ID), certificate=self_signed.have(tmp_path / "other.pem"))
    with pytest.raises(Failure, match=f"fetching {ID} from 127.0.0.1"):
        pair.fetch(spec, other)
    assert pair.there.look(ID) is None


def test_a_host_that_others_do_not_reach_says_so(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.disk()
    unreachable = DirectoryImages(pair.here.directory, giving=Giving(pair.here.directory, tmp_path / "x.pem", ""))
    with pytest.raises(Failure, match="the setting tunnel_address is empty"):
        unreachable.link(ID)
    with pytest.raises(Failure, match="imf-00000000000000009 is not in"):
        pair.here.link("imf-00000000000000009")


def test_no_name_server_is_asked_when_files_begin_to_be_given(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may not answer: the first copy from a host waited ten seconds for that."""
    asked: list[str] = []

    def answer(name: str = "") -> str:
        asked.append(name)
        return name

    monkeypatch.setattr(socket, "getfqdn", answer)
    pair.fetch(pair.disk())
    assert asked == []
