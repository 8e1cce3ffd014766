"""A service's connection to Kafka: what it hears, what it tells, and whether both work."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import structlog

from shared.errors import BrokerUnavailable
from shared.events import Event
from shared.events.topics import SUBJECTS, Topic, dead_letters
from shared.kafka.admin import missing
from shared.kafka.consumer import Batch, Consumer
from shared.kafka.dead_letters.topic import OpenLetters
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Producer
from shared.runtime.background import background, every, until_done

log = structlog.get_logger()

ASK_EVERY = 5.0
"""Seconds after which readiness knows that Kafka is away, or back."""
COUNT_EVERY = 60.0
"""Seconds between two counts of the dead letters that are open."""


class Kafka:
    """The one way to hear and to tell."""

    def __init__(
        self, servers: str, service: str, metrics: KafkaMetrics, clock: Callable[[], datetime], batch_size: int = 4000
    ) -> None:
        self._servers = servers
        self._service = service
        self._metrics = metrics
        self._clock = clock
        self._batch_size = batch_size
        self._producer = Producer(servers, f"attune-{service}")
        self._consumer: Consumer | None = None
        self._open_letters: OpenLetters | None = None
        self._needs = [topic for topic in SUBJECTS if topic.publisher == service]
        self._in_touch = False

    def hear(self, *topics: Topic, kinds: tuple[type[Event], ...], batch: Batch) -> None:
        """From the start on, give `batch` what is told of `kinds` on `topics`; it must be safe to repeat."""
        self._needs += [*topics, dead_letters(self._service)]
        self._metrics.may_set_aside(topic.name for topic in topics)
        self._open_letters = OpenLetters(self._servers, self._service)
        self._consumer = Consumer(
            self._servers,
            self._service,
            topics,
            kinds,
            batch,
            self._producer,
            self._metrics,
            self._clock,
            self._batch_size,
        )

    async def tell(self, events: Sequence[Event]) -> None:
        """Publish and wait for the acknowledgement. Raises BrokerUnavailable; safe to repeat."""
        await self._producer.tell(events)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected, or trying to be: a service whose broker is away still answers its users."""
        try:
            async with background(self._keep_in_touch()):
                yield
        finally:
            if self._open_letters is not None:
                await self._open_letters.stop()
            if self._consumer is not None:
                await self._consumer.stop()
            await self._producer.stop()

    def alive(self) -> bool:
        """False when the consumer has ended or is stuck, and only a restart can help."""
        return self._consumer is None or self._consumer.alive()

    def ready(self) -> bool:
        """Whether Kafka answers, its topics exist, and we are a member of the group."""
        return self._in_touch and (self._consumer is None or self._consumer.assigned())

    async def _keep_in_touch(self) -> None:
        await until_done("connect to Kafka", self._try_to_connect)
        log.info("connected to Kafka")
        self._in_touch = True
        async with background(every(COUNT_EVERY, "count open dead letters", self._count_open_letters)):
            await every(ASK_EVERY, "ask whether Kafka answers", self._ask)

    async def _ask(self) -> None:
        was_connected, self._in_touch = self._in_touch, await self._producer.reaches()
        self._metrics.connected.set(self._in_touch)
        if self._consumer is not None and not self._in_touch:
            self._consumer.excuse()
        if was_connected and not self._in_touch:
            log.warning("Kafka does not answer")

    async def _count_open_letters(self) -> None:
        if self._open_letters is not None and self._in_touch:
            self._metrics.open_letters(await self._open_letters.by_cause())

    async def _try_to_connect(self) -> None:
        if absent := await missing(self._servers, self._needs):
            raise BrokerUnavailable(f"topics missing: {', '.join(absent)}; create them: python -m deploy.jobs.topics")
        await self._producer.start()
        if self._consumer is not None:
            await self._consumer.start()
