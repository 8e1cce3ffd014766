"""A service's connection to Kafka: what it consumes and publishes, and whether both work."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog

from shared.errors import BrokerUnavailable
from shared.events import Event, EventT
from shared.events.topics import EVENT_TOPICS, Topic, dead_letter_topic
from shared.kafka.admin import missing_topics
from shared.kafka.broker import Subscription
from shared.kafka.consumer import BatchHandler, Consumer
from shared.kafka.dead_letters.retention import remove_messages
from shared.kafka.dead_letters.topic import OpenDeadLetters
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Message, Producer, event_message
from shared.kafka.subscriber import ConsumerTimings
from shared.runtime.background import ShieldedWork, repeat_every, retry_until_done, run_in_background
from shared.runtime.settings import KafkaOptions

log = structlog.get_logger()

CONNECTION_CHECK_INTERVAL_SECONDS = 2.0
"""So soon readiness knows that Kafka or a topic is away, or back."""
DEAD_LETTER_COUNT_INTERVAL_SECONDS = 60.0
DEAD_LETTER_RETENTION_INTERVAL_SECONDS = 86_400.0


class Kafka:
    """The one way to consume and to publish."""

    def __init__(
        self,
        options: KafkaOptions,
        service: str,
        metrics: KafkaMetrics,
        clock: Callable[[], datetime],
        timings: ConsumerTimings | None = None,
    ) -> None:
        self._options = options
        self._service = service
        self._metrics = metrics
        self._clock = clock
        self._timings = timings or ConsumerTimings()
        self._producer = Producer(options.servers, f"attune-{service}")
        self.consumer: Consumer[Any] | None = None
        self._open_dead_letters: OpenDeadLetters | None = None
        self._dead_letter_work = ShieldedWork()
        self._required_topics = [topic for topic in EVENT_TOPICS if topic.publisher == service]
        self._is_connected = False

    def subscribe(self, *topics: Topic, event_types: tuple[type[EventT], ...], handler: BatchHandler[EventT]) -> None:
        """Call `handler`, which must be idempotent, with the events of `event_types` on `topics`. Once per service."""
        if self.consumer is not None:
            raise RuntimeError(f"{self._service} has subscribed already: a service is one consumer group")
        self._required_topics += [*topics, dead_letter_topic(self._service)]
        self._metrics.init_topics(topic.name for topic in topics)
        self._open_dead_letters = OpenDeadLetters(self._options.servers, self._service)
        subscription = Subscription(
            self._options.servers, self._service, topics, event_types, self._options.batch_size, self._timings
        )
        self.consumer = Consumer(subscription, handler, self._producer, self._metrics, self._clock)

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish and wait for the acknowledgement. Idempotent. Raises BrokerUnavailable."""
        await self.send([event_message(event) for event in events])

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages and wait for the acknowledgement. Raises BrokerUnavailable: some may have arrived."""
        await self._producer.send(messages)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Stay connected, or try to be: a service whose broker is away still answers its users."""
        try:
            async with run_in_background(self._monitor_connection()):
                yield
        finally:
            await self._dead_letter_work.stop()
            if self.consumer is not None:
                await self.consumer.stop()
            await self._producer.stop()

    def is_alive(self) -> bool:
        """False when the consumer has ended or hangs, and only a restart can help."""
        return self.consumer is None or self.consumer.is_alive()

    def is_ready(self) -> bool:
        """Whether Kafka answers, its topics exist, and this process takes part in the group and handles its events."""
        return self._is_connected and (self.consumer is None or self.consumer.is_consuming())

    async def _monitor_connection(self) -> None:
        await retry_until_done("connect to Kafka", self._connect)
        log.info("Kafka connected")
        self._is_connected = True
        async with run_in_background(
            repeat_every(DEAD_LETTER_COUNT_INTERVAL_SECONDS, "count open dead letters", self._count_open_dead_letters),
            repeat_every(
                DEAD_LETTER_RETENTION_INTERVAL_SECONDS, "remove resolved dead letters", self._remove_resolved_messages
            ),
        ):
            await repeat_every(CONNECTION_CHECK_INTERVAL_SECONDS, "check the Kafka connection", self._check_connection)

    async def _check_connection(self) -> None:
        was_connected = self._is_connected
        self._is_connected = await self._producer.has_topics(self._required_topics)
        self._metrics.connected.set(self._is_connected)
        if self.consumer is not None and not self._is_connected:
            self.consumer.report_progress()
        if was_connected and not self._is_connected:
            log.warning("Kafka is unavailable, or a topic was deleted")

    async def _count_open_dead_letters(self) -> None:
        if self._open_dead_letters is not None and self._is_connected:
            self._metrics.set_open_dead_letters(
                await self._dead_letter_work.run(self._open_dead_letters.count_by_cause())
            )

    async def _remove_resolved_messages(self) -> None:
        if self.consumer is not None:
            resolved_before = self._clock() - self._options.dead_letter_retention
            removal = remove_messages(self._options.servers, self._service, resolved_before, self._producer)
            removed = await self._dead_letter_work.run(removal)
            if removed:
                log.info("Removed the messages of dead letters resolved long ago", dead_letters=removed)

    async def _connect(self) -> None:
        if missing := await missing_topics(self._options.servers, self._required_topics):
            raise BrokerUnavailable(
                f"topics do not exist: {', '.join(missing)}; create them with `python -m deploy.jobs.topics`"
            )
        await self._producer.start()
        if self.consumer is not None:
            await self.consumer.start()
