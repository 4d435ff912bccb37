"""Launches of real guests on three hosts of a laboratory, by RabbitMQ and a PostgreSQL that waits for its disk."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import Figure, median, percentile
from bench.guests import image_of, started, terminate
from bench.processor import cpu_seconds
from cumulet.demo.process import client
from cumulet.lab.lab import Laboratory
from cumulet.lib.private_host import SCRATCH_VARIABLE

HOSTS = 3
WARM = 6
"""Launches that are not counted: after them each host has the image and the VPC, as one in use has."""


def main(image: Path, rounds: int, result: Path) -> None:
    with _laboratory(image) as lab:
        ec2 = client(lab.environ())
        for _ in range(WARM):
            _launch(lab, ec2)
        before = _used(lab)
        found = [_launch(lab, ec2) for _ in range(rounds)]
        used = {part: 1000 * (each - before[part]) / rounds for part, each in _used(lab).items()}
    answers, starts = [answer for answer, _ in found], [start for _, start in found]
    name = f"{HOSTS} lab hosts, RabbitMQ, PostgreSQL: RunInstances"
    figures = [
        Figure(f"{name} answers, p50", median(answers), "ms", "", f"{rounds} launches, one after the other"),
        Figure(f"{name} to the hypervisor's start call, p50", median(starts), "ms", "< 150 ms"),
        Figure(f"{name} to the hypervisor's start call, p95", percentile(starts, 0.95), "ms"),
    ]
    note = "from the request to terminated"
    figures += [Figure(f"of which for one: {part}", each, "ms of processor", "", note) for part, each in used.items()]
    result.write_text(json.dumps([asdict(figure) for figure in figures]))


@contextmanager
def _laboratory(image: Path) -> Iterator[Laboratory]:
    lab = Laboratory(Path(os.environ[SCRATCH_VARIABLE]) / "lab", HOSTS, durable=True)
    try:
        lab.start()
        shutil.copytree(image, lab.controller.state / "tiny", dirs_exist_ok=True)
        lab.ask("image", "build-tiny")
        yield lab
    finally:
        lab.stop()


def _launch(lab: Laboratory, ec2: Any) -> tuple[float, float]:
    """Milliseconds to the answer, and to the start call; the guest is terminated."""
    image = image_of(ec2)
    begun = time.time()
    made = ec2.run_instances(ImageId=image, InstanceType="m1.tiny", MinCount=1, MaxCount=1)
    answer = time.time() - begun
    id = str(made["Instances"][0]["InstanceId"])
    ec2.get_waiter("instance_running").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    start = started(id, "".join(host.log.read_text() for host in lab.hosts.values())) - begun
    terminate(ec2, id)
    return answer * 1000, start * 1000


def _used(lab: Laboratory) -> dict[str, float]:
    """Seconds of processor that each part of the control plane has used so far."""
    parts = {"control plane": lab.controller.pid, "RabbitMQ": lab.rabbitmq.pid, "PostgreSQL": lab.postgres.pid}
    return {part: cpu_seconds([pid or 0]) for part, pid in parts.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
