"""`cumulet up`: the whole cloud in the foreground."""

from __future__ import annotations

import faulthandler
import gc
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cumulet.cli import running
from cumulet.cli.options import load, make_state, said_clearly, which_cloud
from cumulet.lib.config import Config
from cumulet.lib.errors import Failure

if TYPE_CHECKING:
    from cumulet.api.s3.asgi import S3
    from cumulet.api.s3.elsewhere import Elsewhere
    from cumulet.api.server import Server
    from cumulet.lib.repeating import Repeating
    from cumulet.services import Cloud

OVERCOMMITS = ("vcpu_overcommit", "memory_overcommit", "disk_overcommit")
NO_LIMIT = 1e6
COUNT_SECONDS = 30.0
"""How often counts of requests are added to the database."""
STOP_SECONDS = 20.0
"""For how long the end of a process waits for what is under way."""
COLLECTED = (50_000, 20, 20)
"""How many new objects there are before those in cycles are looked for (`gc.set_threshold`)."""
FITTING_FAKES: dict[str, float] = {**dict.fromkeys(OVERCOMMITS, NO_LIMIT), "threads": 1}
"""Fakes in this process never wait, so threads would only wait for each other."""


@click.command(epilog="Example: cumulet up --drivers fake --test --listen 127.0.0.1:0")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where to listen; port 0 takes any that is free.")
@click.option("--drivers", type=click.Choice(["real", "fake"]), help="Real guests, or fakes for tests of clients.")
@click.option("--test", is_flag=True, default=None, help="A cloud for tests: it can be reset, and keeps nothing.")
@which_cloud
def up(file: Path | None, **overrides: Any) -> None:
    """Run the cloud until SIGINT or SIGTERM; guests go on after it."""
    config = _roomy(*load(file, **overrides))
    if config.test and config.drivers != "fake":
        raise Failure("--test forgets everything when asked: it goes with --drivers fake only")
    serve(config)


def serve(config: Config) -> None:
    """Run the roles of this process until SIGINT or SIGTERM."""
    from cumulet.lib import allocator, log

    allocator.keep_little()
    log.start(config.log_level)
    if sys.__stderr__ is not None:
        faulthandler.register(signal.SIGUSR1, sys.__stderr__)  # for whoever wants to know what it waits for
    make_state(config)
    with running.only_one(config.state_dir), said_clearly(config):
        run(config)


def _roomy(config: Config, origins: dict[str, str]) -> Config:
    """Guests that are not there need no room: fakes are limited by what somebody has set, not by this machine."""
    from msgspec.structs import replace

    if config.drivers != "fake":
        return config
    fitting = FITTING_FAKES if not config.bus_url else dict.fromkeys(OVERCOMMITS, NO_LIMIT)
    return replace(config, **{key: value for key, value in fitting.items() if origins[key] == "default"})


def run(config: Config) -> None:
    """Start what this process is to do, say so, and go on until a signal ends it.

    What is still under way `STOP_SECONDS` later is left as it is, as by a crash, and the log says where it was.
    """
    from cumulet.services import Cloud

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    cloud = Cloud(config)
    servers: list[Server] = []
    deliveries: list[Repeating] = []
    try:
        s3 = _s3(cloud)
        servers = _servers(cloud, s3)  # an address that is not to be had is said before anything is made
        cloud.prepare()
        cloud.start()
        for server in servers:
            server.start()
        if servers:
            _announce(cloud, servers[0].url)
            deliveries = _deliveries(cloud, s3, servers[0].url)
            for delivery in deliveries:
                delivery.start()
        else:
            click.echo(f"{config.host()} serves: {', '.join(config.role_names())}")
        collect_seldom()
        ended.wait()
    finally:
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(STOP_SECONDS, exit=True, file=sys.__stderr__)
        for delivery in deliveries:
            delivery.stop()
        for server in servers:
            server.stop()
        cloud.stop()
        faulthandler.cancel_dump_traceback_later()


def collect_seldom() -> None:
    """Look for objects in cycles seldom, and never again among those that are there now.

    A list of a thousand instances would have all of them looked through several times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED)


def _deliveries(cloud: Cloud, s3: S3 | Elsewhere | None, url: str) -> list[Repeating]:
    """What a process that answers puts elsewhere from time to time: logs into buckets, counts into the database."""
    from cumulet.api.s3.asgi import S3
    from cumulet.cli import access_logs, audit
    from cumulet.lib.repeating import Repeating

    config = cloud.config
    whats: list[tuple[str, float, Callable[[], object], Callable[[], object]]] = []
    if isinstance(s3, S3):
        logs = partial(access_logs.delivered, config, cloud.database, url)
        whats += [
            ("a count of requests", COUNT_SECONDS, s3.house.counts.flush, s3.house.counts.flush),
            ("an access log", config.access_log_seconds, logs, partial(logs, everything=True)),
        ]
    if config.audit_bucket:
        audited = partial(audit.delivered, config, url)
        whats.append(("the audit log", config.audit_bucket_seconds, audited, audited))
    return [
        Repeating("delivery", seconds, act, end=end, failed=f"{what} cannot be delivered")
        for what, seconds, act, end in whats
    ]


def _servers(cloud: Cloud, s3: S3 | Elsewhere | None) -> list[Server]:
    """The AWS endpoint, with S3 from here or elsewhere; and S3 alone, without an api or at an address of its own."""
    from cumulet.admin import Administration
    from cumulet.api.app import App
    from cumulet.api.server import Server

    config = cloud.config
    alone = config.object_address()
    servers = []
    if "api" in config.role_names():
        admin = Administration(cloud)
        servers.append(Server(App(cloud.database, config, cloud.ask, admin, s3), config.address()))
    elif s3 is not None and alone is None:
        servers.append(Server(s3, config.address()))
    if s3 is not None and alone is not None:
        servers.append(Server(s3, alone))
    return servers


def _s3(cloud: Cloud) -> S3 | Elsewhere | None:
    """S3 with the objects of this process; or, where it is an api without any, with those of another."""
    from cumulet.api.s3.asgi import S3
    from cumulet.api.s3.call import House
    from cumulet.api.s3.elsewhere import Elsewhere

    store = cloud.objects
    if store is None:
        config = cloud.config
        return Elsewhere(config.object_url, cloud.database) if "api" in config.role_names() else None
    return S3(House(cloud.database, cloud.config, store.blobs, store.keeper.wake))


def _announce(cloud: Cloud, url: str) -> None:
    from cumulet.administration import named

    config = cloud.config
    (config.state_dir / "account").unlink(missing_ok=True)
    if "api" in config.role_names():  # S3 alone answers no administrator
        with cloud.database.read() as tx:
            running.write(config.state_dir / "account", f"{named(tx, config.account).id}\n")
    running.write(config.state_dir / "region", f"{config.region}\n")
    running.write(running.endpoint(config.state_dir), f"{url}\n")
    if "api" not in config.role_names():
        click.echo(f"{config.host()} serves S3 alone at {url}")
        return
    state = shlex.quote(str(config.state_dir))
    click.echo(f'The cloud is ready at {url} - in another shell: eval "$(cumulet env --state-dir {state})"')
