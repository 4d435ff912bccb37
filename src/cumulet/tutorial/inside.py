"""Inside the private host: the installation, its administrator, and two tenants at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from cumulet.demo.inside import complain_of_left, left_of_guests
from cumulet.demo.inventory import inventory
from cumulet.demo.process import make_world, until
from cumulet.demo.report import failed, said, shown, step
from cumulet.lib.errors import CumuletError, Failure
from cumulet.lib.private_host import SCRATCH_VARIABLE
from cumulet.tutorial.administrator import Administrator
from cumulet.tutorial.clients import VERSION, Aws, Boto2, Client
from cumulet.tutorial.installation import Installation
from cumulet.tutorial.tenant import Tenant
from cumulet.tutorial.warm_aws import WarmAws

FIRST_WITHOUT_BOTO_2 = (3, 12)
NAMESPACE = f"http://ec2.amazonaws.com/doc/{VERSION}/"


def main(image: Path) -> int:
    """All the steps; the exit status."""
    there: Installation | None = None
    aws: WarmAws | None = None
    try:
        with step("make a namespace that plays the outside world"):
            make_world()
        before = inventory()
        try:
            with step("install: MariaDB, RabbitMQ, nova.conf"):
                there = Installation(Path(os.environ[SCRATCH_VARIABLE]) / "tutorial")
                aws = WarmAws(there.flags.parent)
                there.start_servers()
            _walk(there, aws, image, before)
        finally:
            with step("stop the cloud and its servers"):
                if aws is not None:
                    aws.stop()
                if there is not None:
                    there.stop()
    except (CumuletError, subprocess.SubprocessError) as e:
        failed(str(e))
        for log in there.logs() if there is not None else []:
            shown(log.read_text(errors="replace") if log.is_file() else "", 30)
        return 1
    except KeyboardInterrupt:
        return 130
    return complain_of_left(before)


def _walk(there: Installation, aws: WarmAws, image: Path, before: dict[str, set[str]]) -> None:
    directory = there.flags.parent
    administrator = Administrator(there, aws, directory)
    administrator.make_tables()
    with step("start the cloud"):
        there.cloud.start()
    administrator.see_services()
    administrator.add_storage()
    administrator.define_networks()
    own = administrator.create_user("sam")
    first = administrator.create_project("red", "sam")
    administrator.give_role("sam", "cloudadmin")
    published = administrator.publish(image, first)
    administrator.create_user("bob")
    second = administrator.create_project("blue", "bob")
    with step("euca-describe-availability-zones verbose, as cloudadmin"):
        zones = Aws(aws, own).zones("verbose")
    shown("\n".join(f"{name:24} {state}" for name, state in zones))
    red, blue = Tenant("red", Aws(aws, first), directory), Tenant("blue", _client_of_2012(aws, second), directory)
    _together(
        lambda: red.use_everything(published), lambda: blue.use_everything(published), administrator.see_a_host_die
    )
    administrator.see_volumes_by_iscsi([red.volume, blue.volume])
    _look_at_one_another(red, blue)
    if isinstance(blue.client, Boto2):
        _see_namespaces(Boto2(own))
    _together(red.give_everything_back, blue.give_everything_back)
    with step("see that nothing of the guests is left on the host"):
        until(lambda: not left_of_guests(before, there.cloud.state), 20, "the guests' things to go")


def _together(*parts: Callable[[], None]) -> None:
    """All at a time; raises what the first one that failed has raised. An interrupt waits for none of them."""
    failures: list[BaseException] = []

    def guarded(part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as e:  # noqa: BLE001 - it is raised again below
            failures.append(e)

    threads = [threading.Thread(target=guarded, args=(part,), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _client_of_2012(aws: WarmAws, environ: dict[str, str]) -> Client:
    if sys.version_info < FIRST_WITHOUT_BOTO_2:
        return Boto2(environ)
    said("            boto 2 does not run on this Python: the second tenant uses aws too")
    return Aws(aws, environ)


def _look_at_one_another(red: Tenant, blue: Tenant) -> None:
    with step("two tenants: neither sees, reaches or names what is the other's"):
        for one, other in ((red, blue), (blue, red)):
            if other.instance in one.client.instances():
                raise Failure(f"{one.name} sees the instance of {other.name}")
            for call in (one.client.look, one.client.terminate):
                _refused(one, call, other.instance)
            _refused(one, one.client.volume, other.volume)
            address = other.client.look(other.instance).private
            if address is None or one.reaches(address):
                raise Failure(f"{one.name} reaches {address} of {other.name}")


def _see_namespaces(of_2012: Boto2) -> None:
    with step("each answer to a client of 2012 is in the namespace of its version, and the verbose zones are too"):
        if of_2012.namespace() != NAMESPACE:
            raise Failure(f"the namespace is {of_2012.namespace()}")
        if not [name for name, state in of_2012.zones("verbose") if name == "| |- compute" and ":-)" in state]:
            raise Failure("the zones have no host that smiles")


def _refused(one: Tenant, call: Callable[[str], object], id: str) -> None:
    """`call(id)` answers as for an id that never was."""
    try:
        call(id)
    except Exception as e:  # noqa: BLE001 - each client has its own
        if "NotFound" in str(e) and id in str(e):
            return
        raise
    raise Failure(f"{one.name} may name {id}, which is another tenant's")
