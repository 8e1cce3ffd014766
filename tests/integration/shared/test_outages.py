"""Outages of Kafka and MongoDB: no event is lost or reordered, and services still stop when asked to."""

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import httpx2
import pytest

from shared.errors import BrokerUnavailable
from shared.events import Event
from shared.events.topics import SESSIONS
from shared.kafka import Kafka, producer
from shared.kafka.producer import Producer
from tests.support.builders import RelationshipBuilder
from tests.support.harness import ConsumerHarness, is_true
from tests.support.serving import ServiceClient, port_settings, process_client, wait_until
from tools.sandbox.servers import kafka
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer

BROKER_START_TIMEOUT_SECONDS = 90.0
"""The time for a broker to come back on a busy machine."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalServer]:
    """A Kafka that a test may kill; it is not started yet."""
    server = kafka.kafka_server(tmp_path / "kafka", *free_ports(2), java_options=kafka.FAST_START)
    yield server
    server.stop()


class RetryingPublisher:
    """Publishes events of a few relationships, one by one in each, and retries those not acknowledged."""

    def __init__(self, client: Kafka) -> None:
        self._client = client
        self.acknowledged: defaultdict[UUID, list[UUID]] = defaultdict(list)
        self.failures = 0

    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    async def run(self) -> None:
        relationships = [RelationshipBuilder() for _ in range(5)]
        while True:
            events = [relationship.completed(0).model_copy(update={"id": uuid4()}) for relationship in relationships]
            await asyncio.gather(*(self._publish_until_acknowledged(event) for event in events))

    async def _publish_until_acknowledged(self, event: Event) -> None:
        while True:
            try:
                await self._client.publish([event])
            except BrokerUnavailable:
                self.failures += 1
                await asyncio.sleep(0.1)  # Kafka does not announce that a broker is available again
            else:
                self.acknowledged[event.key].append(event.id)
                return


async def wait_until_true(condition: Callable[[], bool]) -> None:
    """Wait as long as a broker may take to come back."""
    await wait_until(lambda: is_true(condition()), timeout_seconds=BROKER_START_TIMEOUT_SECONDS)


@pytest.mark.parametrize("failure", ["stopped", "killed"])
async def test_no_event_is_lost_or_reordered_by_an_outage_longer_than_the_request_timeout(
    broker: LocalServer, monkeypatch: pytest.MonkeyPatch, failure: Literal["stopped", "killed"]
) -> None:
    """Kafka is unavailable at the start, becomes available, and fails during publishing and consuming."""
    monkeypatch.setattr(producer, "REQUEST_TIMEOUT_MS", 3_000)
    handled: defaultdict[UUID, list[UUID]] = defaultdict(list)

    async def handle_batch(events: Sequence[Event]) -> None:
        for event in events:
            if event.id not in handled[event.key]:
                handled[event.key].append(event.id)

    harness = ConsumerHarness(broker.address, Producer(broker.address, "test"), SESSIONS, "alliance")
    client = harness.consumer(handle_batch, batch_size=100)
    publisher = RetryingPublisher(client)
    async with client.run():
        assert (client.is_alive(), client.is_ready()) == (True, False)
        await asyncio.to_thread(broker.start)
        create_topics(broker.address, 3)
        await wait_until_true(client.is_ready)
        publish_task = asyncio.create_task(publisher.run())
        await wait_until_true(lambda: sum(map(len, handled.values())) > 50)
        await asyncio.to_thread(broker.kill if failure == "killed" else broker.stop)
        await wait_until_true(lambda: publisher.failures >= 5)
        assert client.is_alive()
        await asyncio.to_thread(broker.start)
        so_far = publisher.count()
        await wait_until_true(lambda: publisher.count() > so_far + 50)
        publish_task.cancel()
        await wait_until_true(lambda: all(set(ids) <= set(handled[key]) for key, ids in publisher.acknowledged.items()))
        assert client.is_alive()

    for key, ids in publisher.acknowledged.items():
        assert handled[key][: len(ids)] == ids


@dataclass(frozen=True)
class ServiceProcess:
    """A service in a separate process."""

    process: asyncio.subprocess.Process
    http: ServiceClient
    log: Path

    def log_lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    async def has_logged(self, text: str) -> bool:
        assert self.process.returncode is None
        return any(text in line for line in self.log_lines())

    async def responds(self, path: str, status: int) -> bool:
        try:
            return (await self.http.get_ops(path)).status_code == status
        except httpx2.ConnectError:
            return False

    async def stop(self) -> float:
        """Send SIGTERM; return the seconds until the process ended."""
        asked_at = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        await self.process.wait()
        return time.monotonic() - asked_at


@asynccontextmanager
async def run_service(name: str, log: Path, **settings: str) -> AsyncIterator[ServiceProcess]:
    environment = os.environ | settings | port_settings() | {"MONGODB_DATABASE": f"test_{uuid4().hex}"}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"services.{name}", env=environment, stdout=out, stderr=out
        )
    try:
        async with process_client(environment) as http:
            yield ServiceProcess(process, http, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_service_without_kafka_logs_few_lines_and_stops_on_sigterm(
    broker: LocalServer, mongodb_uri: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(broker.start)
    create_topics(broker.address, 3)
    settings = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "MONGODB_URI": mongodb_uri}
    async with run_service("notify", tmp_path / "log", **settings) as process:
        await wait_until(lambda: process.responds("/health/ready", 200), timeout_seconds=BROKER_START_TIMEOUT_SECONDS)
        before = len(process.log_lines())
        await asyncio.to_thread(broker.stop)
        await wait_until(
            lambda: process.has_logged("Kafka is unavailable"), timeout_seconds=BROKER_START_TIMEOUT_SECONDS
        )
        deadline = time.monotonic() + 8
        await wait_until_true(lambda: time.monotonic() > deadline)
        assert await process.responds("/health/live", 200)
        log_lines = process.log_lines()[before:]
        assert len(log_lines) < 30, log_lines[:30]
        assert await process.stop() < 20
    assert process.process.returncode == 0


async def test_a_service_without_its_database_stops_on_sigterm_while_its_batch_is_retried(
    kafka_servers: str, tmp_path: Path
) -> None:
    """It stops within the grace period of its container, and is alive until then."""
    sender = Producer(kafka_servers, "test")
    await sender.start()
    await sender.publish([RelationshipBuilder().completed(0)])
    await sender.stop()
    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka_servers, "MONGODB_URI": "mongodb://127.0.0.1:1"}
    async with run_service("alliance", tmp_path / "log", **settings) as process:
        await wait_until(
            lambda: process.has_logged("Batch failed, retrying"), timeout_seconds=BROKER_START_TIMEOUT_SECONDS
        )
        assert await process.responds("/health/live", 200)
        assert await process.stop() < 30
    assert process.process.returncode == 0
