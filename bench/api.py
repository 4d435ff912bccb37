"""The API on fake drivers: latency, throughput, start and footprint, with moto's server in the same run."""

from __future__ import annotations

import time
from typing import Any

from bench.endpoints import Endpoint, fake_cumulet, moto
from bench.figures import Figure, median, percentile
from bench.processor import cpu_seconds, pss_mib

MANY = 1000


def measure(rounds: int) -> list[Figure]:
    with fake_cumulet() as plain:
        figures = [Figure("start to the first answer", plain.seconds_to_answer, "s", "< 2 s", "cumulet up, SQLite")]
        figures += _footprint(plain)
        figures += _launches(plain, rounds)
    with fake_cumulet("--test") as tested:
        note = "cumulet up --drivers fake --test"
        figures.append(Figure("start of a test's cloud", tested.seconds_to_answer, "s", "< 1.5 s", note))
        figures += _many(tested, rounds)
        with moto() as peer:
            figures += _against_moto(tested, peer, rounds)
    return figures


def _launches(cloud: Endpoint, rounds: int) -> list[Figure]:
    ec2, image = cloud.client(), _image(cloud.client())
    answers, running = [], []
    for _ in range(rounds * 10):
        begun = time.monotonic()
        made = ec2.run_instances(ImageId=image, InstanceType="m1.tiny", MinCount=1, MaxCount=1)["Instances"][0]
        answers.append((time.monotonic() - begun) * 1000)
        _wait_for(ec2, [made["InstanceId"]], "running", pause=0.002)
        running.append((time.monotonic() - begun) * 1000)
        ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    note = f"{len(answers)} launches, client's time included"
    return [
        Figure("RunInstances answers, p95", percentile(answers, 0.95), "ms", "< 30 ms", note),
        Figure("RunInstances to running on fakes, p50", median(running), "ms", "< 50 ms", note),
    ]


def _many(cloud: Endpoint, rounds: int) -> list[Figure]:
    ec2, image = cloud.client(), _image(cloud.client())
    rates = []
    for _ in range(rounds):
        begun = time.monotonic()
        made = ec2.run_instances(ImageId=image, InstanceType="t2.nano", MinCount=100, MaxCount=100)["Instances"]
        ids = [one["InstanceId"] for one in made]
        _wait_for(ec2, ids, "running", pause=0.2)  # looking at a hundred is work for the same processor
        rates.append(100 / (time.monotonic() - begun))
        ec2.terminate_instances(InstanceIds=ids)
        _wait_for(ec2, ids, "terminated")
    return [Figure("100 launches to running", median(rates), "/s", ">= 100/s", f"median of {rounds}, one request each")]


def _against_moto(cloud: Endpoint, peer: Endpoint, rounds: int) -> list[Figure]:
    times: dict[str, list[float]] = {"cumulet": [], "moto": []}
    clients = {"cumulet": cloud.client(), "moto": peer.client()}
    wanted = {name: _have_many(ec2) for name, ec2 in clients.items()}
    for _ in range(rounds):
        for name, ec2 in clients.items():
            times[name].append(_raw_describe(ec2, wanted[name]))
    ratio = median([theirs / ours for ours, theirs in zip(times["cumulet"], times["moto"], strict=True)])
    name = f"DescribeInstances, {MANY} instances"
    return [
        Figure(name, median(times["cumulet"]), "s", "", "server's time: the answer is read, not parsed"),
        Figure(f"{name}: moto", median(times["moto"]), "s", "", "the same run, in turns"),
        Figure(f"{name}: moto / cumulet", ratio, "x", ">= 8 x", f"median of {rounds} ratios"),
        Figure("first answer: moto", peer.seconds_to_answer, "s"),
    ]


def _have_many(ec2: Any) -> int:
    image = _image(ec2)
    for _ in range(MANY // 100):
        made = ec2.run_instances(ImageId=image, InstanceType="t2.nano", MinCount=100, MaxCount=100)
        _wait_for(ec2, [one["InstanceId"] for one in made["Instances"]], "running")
    return MANY


def _raw_describe(ec2: Any, least: int) -> float:
    """Seconds from the signed request to the last byte of the answer."""
    import requests
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    body = "Action=DescribeInstances&Version=2016-11-15"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", ec2.meta.endpoint_url + "/", data=body, headers=headers)
    credentials = ec2._request_signer._credentials
    SigV4Auth(credentials, "ec2", ec2.meta.region_name).add_auth(request)
    begun = time.monotonic()
    answer = requests.post(request.url, data=body, headers=dict(request.headers.items()), timeout=120)
    seconds = time.monotonic() - begun
    if answer.status_code != 200 or answer.text.count("<instanceId>") < least:
        raise RuntimeError(f"DescribeInstances answered {answer.status_code}: {answer.text[:200]}")
    return seconds


def _footprint(cloud: Endpoint) -> list[Figure]:
    time.sleep(2)
    before = cpu_seconds([cloud.pid])
    time.sleep(10)
    share = (cpu_seconds([cloud.pid]) - before) / 10 * 100
    return [
        Figure("idle, fake drivers: memory (PSS)", pss_mib(cloud.pid), "MiB", "< 150 MB"),
        Figure("idle, fake drivers: CPU", share, "% of a core", "< 1 %", "over 10 s"),
    ]


def _image(ec2: Any) -> str:
    images = ec2.describe_images(Filters=[{"Name": "state", "Values": ["available"]}])["Images"]
    return str(images[0]["ImageId"])


def _wait_for(ec2: Any, ids: list[str], state: str, pause: float = 0.02) -> None:
    for _ in range(3000):
        status = ec2.describe_instance_status(InstanceIds=ids, IncludeAllInstances=True)["InstanceStatuses"]
        if all(one["InstanceState"]["Name"] == state for one in status):
            return
        time.sleep(pause)
    raise RuntimeError(f"the instances are not {state}")
