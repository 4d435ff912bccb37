"""Links to objects for agents, which have no keys: each is to one object, and good for as long as an image may take.

They are signed with temporary credentials of whoever ordered what needs them, so that it is read or written with his
rights: policies of the bucket and of his own are asked by the store when the link is used.
"""

from __future__ import annotations

from typing import Any

from cumulet.engine.engine import Run
from cumulet.lib import session
from cumulet.lib.errors import Failure
from cumulet.lib.s3_link import Signer, presigned

SECONDS = 12 * 3600


class Links:
    """`by`: the fields of a session (`lib.session`) of whoever the links are to act for."""

    def __init__(self, run: Run, account: str, by: dict[str, Any]) -> None:
        self._now = run.clock.now()
        self._endpoint = endpoint(run)
        with run.read() as tx:
            made, token = session.begin(tx.keys, account, self._now, SECONDS, **by)
        self._signer = Signer(made.key, made.secret, token, run.settings.region)

    def to(self, bucket: str, key: str, method: str = "GET", **parameters: str) -> str:
        """The link to an object, or with no key to the bucket."""
        return presigned(self._signer, self._endpoint, bucket, key, self._now, SECONDS, method, **parameters)


def endpoint(run: Run) -> str:
    """Where agents reach S3: as configured, or where this machine's cloud listens; raises `Failure`."""
    configured: str = run.settings.object_url
    if configured:
        return configured.rstrip("/")
    listens = run.settings.state_dir / "endpoint"
    if not listens.exists():
        raise Failure("it is not known where objects are: the setting object_url is empty, and nothing listens here")
    text: str = listens.read_text()
    return text.strip()
