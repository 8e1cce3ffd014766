"""Publishing: keyed, in order within a key, and done only when the broker has acknowledged."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from shared.errors import BrokerUnavailable
from shared.events import Event
from shared.events.cloudevents import CONTENT_TYPE, encode
from shared.events.topics import Topic
from shared.kafka.errors import translate_errors

LINGER_MS = 5
"""How long a batch waits for more messages; this costs less latency than one round trip per event."""
MAX_BATCH_BYTES = 128 * 1024
REQUEST_TIMEOUT_MS = 15_000
METADATA_MAX_AGE_MS = 5_000
"""So soon a client finds a topic that was deleted and made again, or got more partitions; aiokafka asks for 5 min."""
MAX_REQUEST_BYTES = 100_000_000
"""Uncompressed; the settings of Kafka decide what it accepts."""

Header = tuple[str, bytes | None]


@dataclass(frozen=True)
class Message:
    """A raw Kafka message."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    partition: int | None = None
    """None if the key decides."""


class Producer:
    """Publishes to Kafka and waits for the acknowledgement."""

    def __init__(self, servers: str, client_id: str, *, allow_large: bool = False) -> None:
        """`allow_large` compresses, so that Kafka accepts messages that are too large otherwise."""
        self._servers = servers
        self._client_id = client_id
        self._large_message_options = (
            {"compression_type": "gzip", "max_request_size": MAX_REQUEST_BYTES} if allow_large else {}
        )
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect, if not connected yet. Raises BrokerUnavailable."""
        if self._producer is not None:
            return
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            client_id=self._client_id,
            acks="all",
            # An idempotent aiokafka producer never recovers from an outage longer than its timeout, because expired
            # batches leave a gap in its sequence numbers. Our consumers are idempotent instead.
            enable_idempotence=False,
            linger_ms=LINGER_MS,
            max_batch_size=MAX_BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            **self._large_message_options,
        )
        try:
            with translate_errors():
                await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Send pending messages, and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def has_topics(self, topics: Iterable[Topic]) -> bool:
        """Whether a broker answers now, and all `topics` exist."""
        if self._producer is None:
            return False
        try:
            with translate_errors():
                cluster = await self._producer.client.fetch_all_metadata()
        except BrokerUnavailable:
            return False
        return bool({topic.name for topic in topics} <= cluster.topics())

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish `events`, in order within a key; idempotent. Raises BrokerUnavailable: some may have arrived."""
        await self.send([event_message(event) for event in events])

    async def send(self, messages: Sequence[Message]) -> None:
        """Send messages to their topics and wait until each is acknowledged. Raises BrokerUnavailable."""
        if self._producer is None:
            raise BrokerUnavailable("not connected to Kafka yet")
        with translate_errors():
            deliveries = [
                await self._producer.send(
                    message.topic,
                    key=message.key,
                    value=message.value,
                    headers=message.headers,
                    partition=message.partition,
                )
                for message in messages
            ]
            await asyncio.gather(*deliveries)


def event_message(event: Event) -> Message:
    """The message with which an event is published."""
    return encoded_event_message(event.TOPIC, str(event.key), encode(event))


def encoded_event_message(topic: Topic, key: str, encoded_event: bytes) -> Message:
    """The message with which an encoded event is published, unchanged."""
    return Message(topic.name, key.encode(), encoded_event, headers=[("content-type", CONTENT_TYPE.encode())])
