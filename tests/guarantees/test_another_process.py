"""A service runs in as many processes as its operator likes: they share the work, come and go, and nothing is lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from shared import deployment
from shared.testing.product import Product, wait_until
from tests.guarantees.conftest import Crowd, Wish
from tests.guarantees.judging import everything_holds

TAKEOVER_SECONDS = 3.0
TAKEOVERS = 6


@contextmanager
def another(product: Product, service: str, *words: str) -> Iterator[tuple[psutil.Process, str]]:
    """One more process of a service, beside the one that the product has; with where it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = deployment.of_service(product.told, service) | {f"IACS_{service.upper()}_API_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-m", "services.cli", "serve", service, *words],
        env={**os.environ, **told},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def shares_of(product: Product, service: str) -> list[int]:
    """Return how many partitions each member of a service's group has; none while Kafka cannot tell."""

    async def ask() -> list[int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=product.kafka_servers)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([f"iacs.{service}"])
        except KafkaError:
            return []
        finally:
            await admin.close()
        members = answer.groups[0][5]
        return [_partition_count(member[4]) for member in members]

    return sorted(asyncio.run(ask()))


def _partition_count(assignment: bytes) -> int:
    if not assignment:  # It has joined, and has not been told yet.
        return 0
    return sum(len(numbers) for _, numbers in ConsumerProtocolMemberAssignment.decode(assignment).assignment)


def test_workers_that_come_and_go_share_the_partitions_and_lose_nothing(product: Product, crowd: Crowd) -> None:
    before: dict[str, int] = {}

    def one_has_some(service: str) -> bool:
        shares = shares_of(product, service)
        before[service] = sum(shares)
        return len(shares) == 1 and shares[0] > 0

    def three_share(service: str) -> bool:
        shares = shares_of(product, service)
        return len(shares) == 3 and min(shares) > 0 and sum(shares) == before[service]

    def one_has_all(service: str) -> bool:  # While they change hands, who is left has what was its share of three.
        return shares_of(product, service) == [before[service]]

    services = ("approval", "directory")
    wait_until(lambda: all(map(one_has_some, services)), "one worker of each has all")
    wishes = [crowd.file() for _ in range(12)]
    with ExitStack() as running:
        second = [running.enter_context(another(product, service, "--worker")) for service in services]
        third = [running.enter_context(another(product, service, "--worker")) for service in services]
        wait_until(lambda: all(map(three_share, services)), "three workers of each share all")
        crowd.all_at_once(wishes[:4])
        for process, _ in second:
            process.send_signal(signal.SIGKILL)
        crowd.all_at_once(wishes[4:8])
        for process, _ in third:
            process.send_signal(signal.SIGTERM)
        crowd.all_at_once(wishes[8:])
    wait_until(lambda: all(map(one_has_all, services)), "the worker that is left of each has all")
    product.wait_quiet()

    everything_holds(product)
    assert {crowd.state(wish) for wish in wishes} == {"granted"}


def test_when_the_process_that_sends_is_killed_another_sends_within_three_seconds(
    product: Product, crowd: Crowd
) -> None:
    took: list[float] = []
    while not took or (took[-1] > TAKEOVER_SECONDS and len(took) < TAKEOVERS):
        wish = crowd.file()
        crowd.prove(wish)
        took.append(_seconds_until_another_sends(product, crowd, wish))
        product.wait_ready()
        product.wait_quiet()

        everything_holds(product)
        assert crowd.state(wish) == "granted"
    assert min(took) < TAKEOVER_SECONDS, took  # The others may have waited for whatever else the machine does.


def _seconds_until_another_sends(product: Product, crowd: Crowd, wish: Wish) -> float:
    headers = {"authorization": f"Bearer {crowd.administrator.token}"}
    sent = "SELECT count(*) AS n FROM outbox WHERE subject = $1 AND type LIKE '%approved%' AND sent_at IS NOT NULL"
    with another(product, "approval") as (_, origin), httpx.Client(base_url=origin, timeout=20) as http:
        url = f"/approval/v1/requests/{wish.request_id}"

        def is_read() -> bool:
            try:
                return http.get(url, headers=headers).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(is_read, "the second process answers")
        read = http.get(url, headers=headers)
        product.kill("approval")
        killed_at = time.monotonic()
        asked = {**headers, "if-match": read.headers["etag"], "idempotency-key": wish.request_id}
        answer = http.post(f"{url}/decisions", json={"verdict": "approve"}, headers=asked)
        assert answer.status_code == 201, answer.text
        wait_until(lambda: product.rows("approval", sent, wish.request_id)[0]["n"] == 1, "it is sent")
        return time.monotonic() - killed_at
