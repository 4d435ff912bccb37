"""What a cloud's users do with images whose bytes are objects."""

from __future__ import annotations

from typing import Any

from crash.lives import Life, Place, deregister, import_image, launch, terminate
from crash.site import ZONES, Site
from crash.volume_lives import delete_snapshot, take_snapshot

from cumulet.lib import ids
from cumulet.model import attachment, capacity, image, image_task, snapshot, volume, work

BUNDLE: dict[str, Any] = {
    "bucket": "images",
    "by": {"kind": "user"},
    "parts": [{"url": "image.part.0", "sha1": "0" * 40, "size": 1}],
    "iv": "0" * 32,
    "sha1": "0" * 40,
    "size": 1,
}


def register_bundle(site: Place) -> str:
    """A machine image that is made of the parts of a bundle."""
    location = "images/image.manifest.xml"
    values: dict[str, object] = {"account": site.account, "name": "bundled", "location": location, "source": location}
    with site.database.write() as tx:
        sealed = tx.keys.seal(b"0" * 32)
        return image.take_in(tx, {**values, "declared": "raw", "origin": BUNDLE, "sealed": sealed})[0]


def import_object(site: Place, kind: str) -> str:
    """An image or a snapshot that is made of an object; gives the task."""
    id, made = ids.new(f"import_{kind}"), [kind] if kind == "image" else ["snapshot", "volume"]
    origin = {"bucket": "disks", "by": {"kind": "user"}, "parts": [{"url": "disk"}]}
    location = {"account": site.account, "location": "disk", "source": "s3://disks/disk"}
    with site.database.write() as tx:
        file = image.keep_file(tx, {**location, "declared": "raw", "origin": origin})
        values = {"id": id, "account": site.account, "kind": kind, "image_file": file}
        image_task.add(tx, {**values, **{name: ids.new(name) for name in made}})
    return id


def import_disks(site: Place) -> str:
    """An image of two disks, each made of an object; gives the task."""
    id, parts = ids.new("import_image"), [ids.new("import_snapshot") for _ in range(2)]
    with site.database.write() as tx:
        details = {"parts": parts, "attributes": {}}
        values = {"id": id, "account": site.account, "kind": "image", "image": ids.new("image"), "details": details}
        image_task.add(tx, values)
        for part, device in zip(parts, ("/dev/sda1", "/dev/sdb"), strict=True):
            origin = {"bucket": "disks", "by": {"kind": "user"}, "parts": [{"url": f"disk{device[-1]}"}]}
            location = {"account": site.account, "location": part, "source": f"s3://disks/{part}"}
            file = image.keep_file(tx, {**location, "declared": "raw", "origin": origin})
            made = {name: ids.new(name) for name in ("snapshot", "volume")}
            about = {"kind": "disk", "image_file": file, "details": {"of": id, "device": device}}
            image_task.add(tx, {"id": part, "account": site.account, **about, **made})
    return id


def copy_encrypted(site: Place) -> str:
    """An encrypted copy of the disk of an image that is a file; gives the snapshot, which a volume is made for."""
    made = {name: ids.new(name) for name in ("snapshot", "volume")}
    with site.database.write() as tx:
        found = image.find(tx, site.image)
        host = capacity.place_disk(tx, ZONES[0], 1, site.config)
        assert found is not None and host is not None
        both = {"host": host, "size_gib": 1, "sealed": volume.new_key(tx), "created": tx.now}
        disk = {"id": made["volume"], "account": volume.HIDDEN, "zone": ZONES[0], "image_file": found.image_file}
        tx.insert(volume.volume, {**disk, **both})
        taken = {"id": made["snapshot"], "account": site.account, "volume": made["volume"]}
        tx.insert(snapshot.snapshot, {**taken, **both})
        for kind, id in made.items():
            work.wake(tx, kind, id)
    return made["snapshot"]


def cancel_import(site: Place, id: str) -> None:
    """The task ends, if it has not yet."""
    with site.database.write() as tx:
        image_task.cancel(tx, id)


def _of_own_image(site: Site) -> list[str]:
    """An instance of an image that is nothing else's, a snapshot of its disk, and the image."""
    usual, own = site.image, import_image(site)
    site.image = own
    site.settle()
    guest = launch(site)
    site.settle()
    site.image = usual
    with site.database.read() as tx:
        (root,) = attachment.disks(tx, guest)
    return [guest, take_snapshot(site, root.id), own]


def _deregister_and_terminate(site: Site, found: list[str]) -> None:
    deregister(site, found.pop())
    terminate(site, found[0])
    delete_snapshot(site, found.pop())


def _nothing(site: Site) -> list[str]:
    return []


LIVES = [
    Life("deregister and terminate", _of_own_image, _deregister_and_terminate, ["terminated"], every=4),
    Life("register a bundle", _nothing, lambda site, found: register_bundle(site), []),
    Life("import an image", _nothing, lambda site, found: import_object(site, "image"), []),
    Life("import a snapshot", _nothing, lambda site, found: import_object(site, "snapshot"), [], every=2),
    Life("copy an image encrypted", _nothing, lambda site, found: copy_encrypted(site), [], every=2),
    Life("import an image of two disks", _nothing, lambda site, found: import_disks(site), [], every=16),
    Life(
        "cancel an import of two disks",
        _nothing,
        lambda site, found: cancel_import(site, import_disks(site)),
        [],
        every=5,
    ),
    Life(
        "cancel an import",
        _nothing,
        lambda site, found: cancel_import(site, import_object(site, "image")),
        [],
    ),
]
