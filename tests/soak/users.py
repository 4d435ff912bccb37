"""Users who launch, stop, start, reboot and terminate, move addresses and volumes, and ask until they are answered."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

MOST = 8
"""Living instances of a user."""
MOST_VOLUMES = 4
NOT_NOW = {"IncorrectInstanceState", "IncorrectState", "VolumeInUse", "InvalidVolume.NotFound", "InvalidSnapshot.InUse"}
"""What whoever acts while other things are still being done is refused with, as AWS's users know it too."""
PATIENCE = 120.0
"""Seconds in which a request is answered, however often it is repeated."""


class User:
    """One who acts until `stop`; `wanted` is what should come of it, by instance."""

    def __init__(self, environ: dict[str, str], seed: int) -> None:
        self._thread = threading.Thread(target=self._act_until_stopped, name=f"user {seed}", daemon=True)
        self.wanted: dict[str, str] = {}
        self.done: Counter[str] = Counter()
        self.failed: BaseException | None = None
        self._chance = random.Random(seed)
        self._stopped = threading.Event()
        self._addresses: list[str] = []
        self._zone_of: dict[str, str] = {}
        """Of instances and volumes."""
        self._volumes: dict[str, str] = {}
        """Each with the device that it becomes, which no other one does for long."""
        self._snapshots: list[str] = []
        self._ec2 = boto3.client(
            "ec2",
            endpoint_url=environ["AWS_ENDPOINT_URL"],
            region_name=environ["AWS_DEFAULT_REGION"],
            aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=20),
        )
        self._image = self._ask("describe_images")["Images"][0]["ImageId"]
        self._zones = [zone["ZoneName"] for zone in self._ask("describe_availability_zones")["AvailabilityZones"]]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last request has been answered."""
        self._stopped.set()
        self._thread.join(2 * PATIENCE)
        assert not self._thread.is_alive(), "a request is not answered"

    def launch(self, count: int) -> list[str]:
        """So many instances, by one request each."""
        return [self._launch() for _ in range(count)]

    def terminate_all(self) -> None:
        for id in self.wanted:
            self._terminate(id)

    def _act_until_stopped(self) -> None:
        try:
            while not self._stopped.wait(self._chance.uniform(0.05, 0.5)):
                self._act()
        except BaseException as e:  # noqa: BLE001 - told to the test
            self.failed = e

    def _act(self) -> None:
        running = [id for id, state in self.wanted.items() if state == "running"]
        stopped = [id for id, state in self.wanted.items() if state == "stopped"]
        acts: list[Callable[[], Any]] = []
        if len(running) + len(stopped) < MOST:
            acts += [self._launch, self._launch]
        if running:
            id = self._chance.choice(running)
            acts += [lambda: self._stop(id), lambda: self._reboot(id), lambda: self._terminate(id)]
            acts += [lambda: self._associate(id)]
        if stopped:
            other = self._chance.choice(stopped)
            acts += [lambda: self._start(other), lambda: self._terminate(other)]
        self._chance.choice([*acts, self._act_on_a_volume])()

    def _act_on_a_volume(self) -> None:
        if len(self._volumes) < MOST_VOLUMES:
            self._create_volume()
            return
        id = self._chance.choice(list(self._volumes))
        acts = [self._attach, self._attach, self._attach, self._detach, self._detach, self._snapshot, self._delete]
        self._chance.choice(acts)(id)

    def _create_volume(self) -> None:
        zone, token = self._chance.choice(self._zones), uuid.UUID(int=self._chance.getrandbits(128)).hex
        id = str(self._ask("create_volume", AvailabilityZone=zone, Size=1, ClientToken=token)["VolumeId"])
        self._zone_of[id] = zone
        self._volumes[id] = f"/dev/sd{chr(ord('f') + self.done['create_volume'] % 20)}"

    def _attach(self, id: str) -> None:
        """To an instance of its zone, on whatever host either is."""
        guests = [one for one, state in self.wanted.items() if state in ("running", "stopped")]
        guests = [one for one in guests if self._zone_of[one] == self._zone_of[id]]
        if guests:
            guest = self._chance.choice(guests)
            self._ask("attach_volume", VolumeId=id, InstanceId=guest, Device=self._volumes[id])

    def _detach(self, id: str) -> None:
        self._ask("detach_volume", VolumeId=id, Force=self._chance.random() < 0.3)

    def _snapshot(self, id: str) -> None:
        if len(self._snapshots) == 2:
            self._ask("delete_snapshot", SnapshotId=self._snapshots.pop(0))
        made = self._ask("create_snapshot", VolumeId=id)
        if made is not None:
            self._snapshots.append(made["SnapshotId"])

    def _delete(self, id: str) -> None:
        if self._ask("delete_volume", VolumeId=id) is not None:
            del self._volumes[id]

    def _launch(self) -> str:
        where = {"AvailabilityZone": self._chance.choice(self._zones)}
        token = uuid.UUID(int=self._chance.getrandbits(128)).hex
        kind = {"ImageId": self._image, "InstanceType": "m1.tiny", "MinCount": 1, "MaxCount": 1}
        made = self._ask("run_instances", **kind, Placement=where, ClientToken=token)
        id = str(made["Instances"][0]["InstanceId"])
        self.wanted[id] = "running"
        self._zone_of[id] = where["AvailabilityZone"]
        return id

    def _stop(self, id: str) -> None:
        if self._ask("stop_instances", InstanceIds=[id]):
            self.wanted[id] = "stopped"

    def _start(self, id: str) -> None:
        if self._ask("start_instances", InstanceIds=[id]):
            self.wanted[id] = "running"

    def _reboot(self, id: str) -> None:
        self._ask("reboot_instances", InstanceIds=[id])

    def _terminate(self, id: str) -> None:
        self._ask("terminate_instances", InstanceIds=[id])
        self.wanted[id] = "terminated"

    def _associate(self, id: str) -> None:
        """An address of the user's comes to this instance, wherever it was."""
        if len(self._addresses) < 2:
            self._addresses.append(self._ask("allocate_address")["AllocationId"])
        allocation = self._chance.choice(self._addresses)
        self._ask("associate_address", AllocationId=allocation, InstanceId=id, AllowReassociation=True)

    def _ask(self, action: str, **parameters: Any) -> Any:
        """The answer; a request that got none, or was to come later, is repeated as it was.

        None: refused, since the instance or the volume was not in a state for it. What was done to an instance by a
        request whose answer was lost is not refused when it is repeated.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = getattr(self._ec2, action)(**parameters)
                self.done[action] += 1
                return answer
            except BotoCoreError:
                self.done["no answer"] += 1
                assert time.monotonic() < end, f"{action} is not answered"
            except ClientError as e:
                status = e.response["ResponseMetadata"]["HTTPStatusCode"]
                self.done[f"{status} {e.response['Error']['Code']}"] += 1
                if e.response["Error"]["Code"] in NOT_NOW:
                    return None
                if status < 500:
                    raise AssertionError(f"{e}; {self._reason_of(parameters.get('ClientToken', ''))}") from e
                assert time.monotonic() < end, f"{action} is always answered with {e}"
            time.sleep(self._chance.uniform(0.1, 0.5))

    def _reason_of(self, token: str) -> str:
        """Why what was launched with this token is as it is."""
        wanted = [{"Name": "client-token", "Values": [token]}]
        found = self._ec2.describe_instances(Filters=wanted)["Reservations"] if token else []
        return "; ".join(str(one.get("StateReason")) for each in found for one in each["Instances"])
