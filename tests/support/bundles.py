"""Bundled images: the papers of an account, and bundles that are uploaded."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

from cumulet.administration.desk import Desk
from cumulet.administration.gate import done_here
from cumulet.cli import bundling
from cumulet.cli.bundling import Papers
from cumulet.cli.options import database
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.image.inspect import Limits
from cumulet.lib.command import run
from cumulet.lib.config import Config
from cumulet.parts import Part, fake_drivers, image_part

KERNEL = bytes(0x202) + b"HdrS" + b"a kernel" * 1000
INITRD = b"\x1f\x8b" + b"an initial RAM disk" * 1000


def real_images(config: Config) -> dict[str, Part]:
    """Images that are real files, and all else fake."""
    images = DirectoryImages(config.image_directory(), Limits(virtual_size=1 << 30))
    return fake_drivers(config.state_dir / "world", lambda id: None) | {"image": image_part(images)}


def papers(config: Config, account: str, into: Path) -> Papers:
    """The zip of an account's credentials, unpacked."""
    with database(config) as opened:
        made = done_here(Desk(opened, config), "CreateCredentials", {"account": account, "url": "http://127.0.0.1"})
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(made["secret_archive"]))) as archive:
        archive.extractall(into)
    return Papers(into / "pk.pem", into / "cert.pem", into / "cacert.pem")


def bundled(directory: Path, papers: Papers, content: bytes, name: str = "image", **what: Any) -> Path:
    """The manifest of a file with this content, its parts beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)
    return bundling.make(directory / name, directory / f"{name}.bundle", papers, {"user": "1", **what})


def bundled_by_tools(directory: Path, papers: Papers, content: bytes) -> Path:
    """A bundle as euca-bundle-image makes it: by tar, gzip and openssl, its parts cut at 100,000 bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "image").write_bytes(content)
    key, iv = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
    run(["tar", "-C", directory, "-S", "-cf", directory / "tar", "image"])
    sha1 = hashlib.sha1((directory / "tar").read_bytes()).hexdigest()
    run(["gzip", "-k", directory / "tar"])
    cipher = ["openssl", "enc", "-e", "-aes-128-cbc", "-K", key, "-iv", iv]
    run([*cipher, "-in", directory / "tar.gz", "-out", directory / "encrypted"])
    run(["split", "-b", "100000", "-d", "-a", "1", directory / "encrypted", directory / "image.part."])
    files = sorted(directory.glob("image.part.?"))

    def wrapped(text: str, certificate: Path) -> str:
        (directory / "text").write_text(text)
        run(["openssl", "pkeyutl", "-encrypt", "-certin", "-inkey", certificate, "-in", directory / "text", *out])
        return (directory / "out").read_bytes().hex()

    out: list[str | Path] = ["-out", directory / "out"]
    parts = "".join(
        f'<part index="{index}">\n<filename>{file.name}</filename>'
        f'<digest algorithm="SHA1">{hashlib.sha1(file.read_bytes()).hexdigest()}</digest></part>\n'
        for index, file in enumerate(files)
    )
    signed = f"""<machine_configuration>
<architecture>x86_64</architecture></machine_configuration><image><name>image</name><user>000</user><type>machine</type>
<digest algorithm="SHA1">{sha1}</digest><size>{len(content)}</size>
<bundled_size>{sum(file.stat().st_size for file in files)}</bundled_size>
<ec2_encrypted_key algorithm="AES-128-CBC">{wrapped(key, papers.cloud)}</ec2_encrypted_key>
<user_encrypted_key algorithm="AES-128-CBC">{wrapped(key, papers.certificate)}</user_encrypted_key>
<ec2_encrypted_iv>{wrapped(iv, papers.cloud)}</ec2_encrypted_iv>
<user_encrypted_iv>{wrapped(iv, papers.certificate)}</user_encrypted_iv>
<parts count="{len(files)}">{parts}</parts></image>"""
    (directory / "text").write_text(signed)
    run(["openssl", "dgst", "-sha1", "-sign", papers.key, *out, directory / "text"])
    signature = (directory / "out").read_bytes().hex()
    head = "<version>2007-10-10</version><bundler><name>euca-tools</name></bundler>"
    manifest = directory / "image.manifest.xml"
    manifest.write_text(f"<?xml version='1.0'?>\n<manifest>{head}{signed}<signature>{signature}</signature></manifest>")
    return manifest


def upload(s3: Any, manifest: Path, bucket: str = "images", prefix: str = "") -> str:
    """The bundle in a bucket; gives its manifest's location."""
    if bucket not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket)
    for file in manifest.parent.iterdir():
        if file.name.startswith(manifest.name.removesuffix("manifest.xml")):
            s3.put_object(Bucket=bucket, Key=prefix + file.name, Body=file.read_bytes())
    return f"{bucket}/{prefix}{manifest.name}"
