"""`cumulet image bundle|upload|register|publish-tarball`: what the tools of 2012 do, for people without them."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cumulet.cli.options import Cloud, any_cloud, as_json, settings
from cumulet.cli.output import progress, say
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure

if TYPE_CHECKING:
    from cumulet.cli.bundling import Papers

_FILE = click.Path(path_type=Path)
_KINDS = ("machine", "kernel", "ramdisk")


def papers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name the files of the zip of credentials, as novarc sets them."""
    for name, variables, text in (
        ("--ec2cert", ["EUCALYPTUS_CERT", "NOVA_CERT"], "The cloud's certificate, cacert.pem."),
        ("--cert", ["EC2_CERT"], "Your certificate, cert.pem."),
        ("--privatekey", ["EC2_PRIVATE_KEY"], "Your private key, pk.pem."),
    ):
        command = click.option(name, type=_FILE, envvar=variables, help=text)(command)
    return command


@click.command("bundle", epilog="Example: cumulet image bundle lucid.img --kernel aki-0123456789abcdef0")
@click.argument("source", metavar="FILE", type=_FILE)
@click.option("--destination", type=_FILE, default=Path(), help="Directory of the parts; the current one by default.")
@click.option("--kind", type=click.Choice(_KINDS), default="machine", help="What it is; machine by default.")
@click.option("--kernel", default="", help="The kernel image (aki-…) that it boots with.")
@click.option("--ramdisk", default="", help="The ramdisk image (ari-…) that it boots with.")
@click.option("--arch", default="x86_64", help="Its architecture; x86_64 by default.")
@papers
@as_json
@settings
def bundle(
    config: Config,
    source: Path,
    destination: Path,
    json: bool,
    privatekey: Path | None,
    cert: Path | None,
    ec2cert: Path | None,
    arch: str,
    **what: Any,
) -> None:
    """Encrypt a file for the cloud, in parts.

    The path of their manifest is printed.
    """
    made = _bundled(source, destination, _papers(privatekey, cert, ec2cert), {"architecture": arch, **what})
    say({"manifest": str(made)}, json, str(made))


@click.command("upload", epilog="Example: cumulet image upload lucid.img.manifest.xml images")
@click.argument("manifest", type=_FILE)
@click.argument("bucket")
@as_json
@any_cloud
def upload(cloud: Cloud, manifest: Path, bucket: str, json: bool) -> None:
    """Upload a manifest and its parts.

    The bucket is made if it is not there; the manifest's location is printed.
    """
    location = _uploaded(cloud, manifest, bucket)
    say({"location": location}, json, location)


@click.command("register", epilog="Example: cumulet image register images/lucid.img.manifest.xml")
@click.argument("location")
@click.option("--name", default="", help="The image's name.")
@as_json
@any_cloud
def register(cloud: Cloud, location: str, name: str, json: bool) -> None:
    """Register what was uploaded as an image.

    Its id is printed, and the cloud takes it in from then on.
    """
    id = _registered(cloud, location, name)
    say({"id": id}, json, f"IMAGE\t{id}")


@click.command("publish-tarball", epilog="Example: cumulet image publish-tarball lucid-uec-amd64.tar.gz images")
@click.argument("tarball", type=_FILE)
@click.argument("bucket")
@click.option("--kernel", "own_kernel", default="", help="Use this kernel image (aki-…), not the one in the tarball.")
@click.option("--ramdisk", "own_ramdisk", default="", help="Use this ramdisk image (ari-…), not the tarball's.")
@papers
@as_json
@any_cloud
def publish_tarball(
    cloud: Cloud,
    tarball: Path,
    bucket: str,
    own_kernel: str,
    own_ramdisk: str,
    privatekey: Path | None,
    cert: Path | None,
    ec2cert: Path | None,
    json: bool,
) -> None:
    """Publish kernel, RAM disk and image of a tarball.

    The ids are printed as lines for a shell: emi="ami-…"; eri="none"; eki="aki-…".
    """
    files = _papers(privatekey, cert, ec2cert)
    with tempfile.TemporaryDirectory(prefix="cumulet-publish-") as scratch:
        found = _taken_out(tarball, Path(scratch))
        if own_kernel:
            found.pop("kernel", None)
        if own_ramdisk:
            found.pop("ramdisk", None)
        ids = {"kernel": own_kernel, "ramdisk": own_ramdisk}
        for kind in ("kernel", "ramdisk", "machine"):
            if kind in found:
                what = {"kind": kind, **(ids if kind == "machine" else {})}
                manifest = _bundled(found[kind], Path(scratch) / kind, files, what)
                ids[kind] = _registered(cloud, _uploaded(cloud, manifest, bucket), "")
                shutil.rmtree(Path(scratch) / kind)
    text = f'emi="{ids["machine"]}"; eri="{ids["ramdisk"] or "none"}"; eki="{ids["kernel"] or "none"}"'
    say(ids, json, text)


def _papers(key: Path | None, certificate: Path | None, cloud: Path | None) -> Papers:
    from cumulet.cli.bundling import Papers

    if key is None or certificate is None or cloud is None:
        raise Failure("a bundle needs --privatekey, --cert and --ec2cert: source novarc, which sets them")
    return Papers(key, certificate, cloud)


def _bundled(file: Path, into: Path, files: Papers, what: dict[str, Any]) -> Path:
    from cumulet.cli import bundling

    if not file.is_file():
        raise Failure(f"there is no file {file}")
    done, size = 0, file.stat().st_size
    with progress(f"bundling {file.name}") as bar:

        def note(count: int) -> None:
            nonlocal done
            done += count
            bar.reach(done, size)

        return bundling.make(file, into, files, {"user": os.environ.get("EC2_USER_ID", ""), **what}, note)


def _uploaded(cloud: Cloud, manifest: Path, bucket: str) -> str:
    from cumulet.cli import calls
    from cumulet.wire import bundle as wire

    try:
        parts = wire.read(manifest.read_bytes()).manifest.parts
    except (OSError, ValueError) as e:
        raise Failure(f"reading the manifest {manifest}") from e
    client = calls.of_environment(cloud)
    calls.make_bucket(client, bucket)
    with progress(f"uploading {manifest.name}") as bar:
        for number, part in enumerate(parts):
            bar.reach(number, len(parts))
            calls.put(client, bucket, part.name, manifest.parent / part.name)
    calls.put(client, bucket, manifest.name, manifest)
    return f"{bucket}/{manifest.name}"


def _registered(cloud: Cloud, location: str, name: str) -> str:
    from cumulet.cli import calls

    answer = calls.ec2(calls.of_environment(cloud), "RegisterImage", ImageLocation=location, Name=name)
    return calls.text_of(answer, "imageId")


def _taken_out(tarball: Path, into: Path) -> dict[str, Path]:
    """The files in a tarball that are meant, by `kernel`, `ramdisk` and `machine`; all others stay where they are."""
    found: dict[str, Path] = {}
    try:
        with tarfile.open(tarball, "r|*") as archive:
            for member in archive:
                kind = _kind(Path(member.name).name) if member.isreg() else None
                if kind is None:
                    continue
                if kind in found:
                    raise Failure(f"{tarball} has two files that may be the {kind}: {found[kind].name}, {member.name}")
                found[kind] = into / Path(member.name).name
                reading = archive.extractfile(member)
                with found[kind].open("wb") as file:
                    shutil.copyfileobj(cast(Any, reading), file)
    except (OSError, tarfile.TarError) as e:
        raise Failure(f"reading the tarball {tarball}") from e
    if "machine" not in found:
        raise Failure(f"{tarball} has no file whose name ends with .img")
    return found


def _kind(name: str) -> str | None:
    """What a file of such tarballs is, by its name."""
    if "initrd" in name:
        return "ramdisk"
    if "vmlinuz" in name:
        return "kernel"
    return "machine" if name.endswith(".img") else None
