"""The whole cloud in this process, with fake drivers, a real HTTP server and boto3 in front of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from support.leaks import Watch

from cumulet.admin import Administration
from cumulet.api.app import App
from cumulet.api.s3.asgi import S3
from cumulet.api.s3.call import House
from cumulet.api.server import Server
from cumulet.bus.contract import Bus
from cumulet.lib.clock import Clock
from cumulet.lib.config import Config
from cumulet.model import account, bootstrap, image
from cumulet.parts import Part
from cumulet.services import Cloud


class Account:
    """Somebody with keys: clients that sign with them."""

    def __init__(self, url: str, region: str, key: str, secret: str, id: str, watch: Watch | None = None) -> None:
        self.id = id
        self.key = key
        self.secret = secret
        self.token: str | None = None
        """The session token, of temporary credentials."""
        self._url = url
        self._region = region
        self._watch = watch
        if watch is not None:
            watch.know({"SecretAccessKey": secret})

    def client(self, service: str = "ec2", **config: Any) -> Any:
        """boto3's client of a service; `config` as botocore's, `region_name` too."""
        made = boto3.client(
            service,
            endpoint_url=self._url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
            config=ClientConfig(**{"region_name": self._region, "retries": {"total_max_attempts": 1}, **config}),
        )
        if self._watch is not None:
            self._watch.listen(made)
        return made


class MovableClock(Clock):
    """The real time, or one that stands still; and what it is ahead of that."""

    ahead = 0.0
    stands: float | None = None

    def now(self) -> float:
        return (super().now() if self.stands is None else self.stands) + self.ahead

    def stand_still(self) -> None:
        """From now on time passes by `ahead` alone, however long this machine takes for what the test does."""
        self.stands = super().now()


Parts = Callable[[Config], dict[str, Part]]
"""Drivers of a test's own instead of all fakes."""


class TestedCloud:
    """`settle` runs the engine in the test's thread until nothing is due: no test waits or polls.

    At its end, no secret of its clients may be in what it has logged.
    """

    __test__ = False

    def __init__(
        self,
        directory: Path,
        parts: Callable[[Config], dict[str, Part]] | None = None,
        bus: Bus | None = None,
        **settings: Any,
    ) -> None:
        values = {"state_dir": directory, "drivers": "fake", "test": True, "host_name": "h1", "listen": "127.0.0.1:0"}
        self.watch = Watch()
        self.clock = MovableClock()
        self.config = Config(**{**values, **settings})
        self.cloud = Cloud(self.config, clock=self.clock, parts=parts(self.config) if parts else None, bus=bus)
        self.database = self.cloud.database
        self.cloud.prepare()
        self.cloud.host.heartbeat.beat()
        store = self.cloud.objects
        assert store is not None
        house = self.house = House(self.database, self.config, store.blobs)
        app = App(self.database, self.config, self.cloud.ask, Administration(self.cloud), S3(house))
        self.server = Server(app, ("127.0.0.1", 0))
        self.server.start()
        self.url = self.server.url
        (directory / "endpoint").write_text(self.url)
        self.admin = self._account("admin")
        self.settle()
        with self.database.read() as tx:
            self.image = image.visible(tx, self.admin.id)[0].id

    def client(self, service: str = "ec2", **config: Any) -> Any:
        return self.admin.client(service, **config)

    def account(self, name: str) -> Account:
        """Another account, made now."""
        with self.database.write() as tx:
            bootstrap.create_account(tx, self.config, name)
        return self._account(name)

    def settle(self, most: int = 200) -> None:
        for _ in range(most):
            if not self.cloud.engine.run_due():
                return
        raise AssertionError("the engine does not come to rest")

    def pass_time(self, seconds: float) -> None:
        """So much later: the host is heard again, and what has become due is done."""
        self.clock.ahead += seconds
        self.cloud.host.heartbeat.beat()
        self.settle()

    def stop(self) -> None:
        self.server.stop()
        self.cloud.engine.stop()  # it runs where the cloud was reset
        self.database.close()
        self.watch.ended(self.config.audit_directory())

    def _account(self, name: str) -> Account:
        with self.database.read() as tx:
            found = account.named(tx, name)
            assert found is not None
            key = account.keys(tx, found.id)[0]
            secret = account.secret(tx, key)
        return Account(self.url, self.config.region, key.id, secret, found.id, self.watch)
