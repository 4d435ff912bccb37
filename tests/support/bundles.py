"""Bundled images: the papers of an account, and bundles that are uploaded."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from cumulet.cli import bundling, credentials
from cumulet.cli.bundling import Papers
from cumulet.drivers.image.directory import DirectoryImages
from cumulet.drivers.image.inspect import Limits
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
    with zipfile.ZipFile(io.BytesIO(credentials.packed(config, account, "http://127.0.0.1"))) as archive:
        archive.extractall(into)
    return Papers(into / "pk.pem", into / "cert.pem", into / "cacert.pem")


def bundled(directory: Path, papers: Papers, content: bytes, name: str = "image", **what: Any) -> Path:
    """The manifest of a file with this content, its parts beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)
    return bundling.make(directory / name, directory / f"{name}.bundle", papers, {"user": "1", **what})


def upload(s3: Any, manifest: Path, bucket: str = "images", prefix: str = "") -> str:
    """The bundle in a bucket; gives its manifest's location."""
    if bucket not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=bucket)
    for file in manifest.parent.iterdir():
        if file.name.startswith(manifest.name.removesuffix("manifest.xml")):
            s3.put_object(Bucket=bucket, Key=prefix + file.name, Body=file.read_bytes())
    return f"{bucket}/{prefix}{manifest.name}"
