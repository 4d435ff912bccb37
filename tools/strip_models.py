"""Write the service models that Cumulet ships, from botocore's, without what a server does not need.

    python tools/strip_models.py            all of SERVICES
    python tools/strip_models.py s3         one more

What is kept is what the structs of `cumulet.wire.models` name; shapes that no operation uses are left out.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from botocore.loaders import Loader

from cumulet.wire.models import Document, Operation, Ref, Shape

SERVICES = ["cloudtrail", "ec2", "iam", "s3", "service-quotas", "sts"]
DIRECTORY = Path(__file__).parent.parent / "src" / "cumulet" / "wire" / "models"


def main(services: Iterable[str]) -> None:
    """Write `<service>.json.gz` for each service and say how large it is."""
    DIRECTORY.mkdir(exist_ok=True)
    for service in services:
        document = strip(service)
        packed = gzip.compress(msgspec.json.encode(document), mtime=0)
        file = DIRECTORY / f"{service}.json.gz"
        file.write_bytes(packed)
        print(f"{file.name}: {len(document.operations)} operations, {len(document.shapes)} shapes, {len(packed)} bytes")


def strip(service: str) -> Document:
    """The newest version of botocore's model of a service, stripped."""
    whole = msgspec.convert(Loader().load_service_model(service, "service-2"), type=Document)
    used = set(_reachable(whole))
    return Document(
        whole.metadata, whole.operations, {name: shape for name, shape in whole.shapes.items() if name in used}
    )


def _reachable(document: Document) -> Iterator[str]:
    waiting = [name for operation in document.operations.values() for name in _ends(operation)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            yield name
            waiting += [ref.shape for ref in _refs(document.shapes[name])]


def _ends(operation: Operation) -> list[str]:
    return [end.shape for end in (operation.input, operation.output) if end]


def _refs(shape: Shape) -> list[Ref]:
    return [*shape.members.values(), *(ref for ref in (shape.member, shape.key, shape.value) if ref)]


if __name__ == "__main__":
    main(sys.argv[1:] or SERVICES)
