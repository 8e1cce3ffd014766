"""Publishing: keyed, in order within a key, and acknowledged by the broker before it counts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shared.errors import BrokerUnavailable
from shared.events import Event
from shared.events.cloudevents import CONTENT_TYPE, encode

LINGER_MS = 5
"""Milliseconds a batch waits for company; costs less latency than a round trip of its own for each event."""
MAX_BATCH_BYTES = 128 * 1024
REQUEST_TIMEOUT_MS = 15_000
MAX_REQUEST_BYTES = 100_000_000
"""Uncompressed; what Kafka takes is said by its own settings."""


Header = tuple[str, bytes | None]


@dataclass(frozen=True)
class Message:
    """What is put on a topic, to the byte."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    partition: int | None = None
    """None where the key decides."""


class Producer:
    """Tells Kafka, and says whether Kafka heard."""

    def __init__(self, servers: str, client_id: str, *, allow_large: bool = False) -> None:
        """`large` also sends what fits into a message of Kafka's only when it is compressed."""
        self._servers = servers
        self._client_id = client_id
        self._large_message_options = (
            {"compression_type": "gzip", "max_request_size": MAX_REQUEST_BYTES} if allow_large else {}
        )
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect, unless that was done. Raises BrokerUnavailable."""
        if self._producer is not None:
            return
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            client_id=self._client_id,
            acks="all",
            # An idempotent aiokafka producer never recovers from an outage longer than its time-out, because
            # expired batches leave a gap in its sequence numbers; our consumers are idempotent instead.
            enable_idempotence=False,
            linger_ms=LINGER_MS,
            max_batch_size=MAX_BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            **self._large_message_options,
        )
        try:
            await producer.start()
        except BaseException as error:
            await producer.stop()
            if isinstance(error, KafkaError | OSError):
                raise BrokerUnavailable(str(error)) from error
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Send what is waiting, and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def is_reachable(self) -> bool:
        """Whether a broker answers now."""
        return self._producer is not None and bool(await self._producer.client.force_metadata_update())

    async def publish(self, events: Sequence[Event]) -> None:
        """Publish `events`, in order within a key; safe to repeat. Raises BrokerUnavailable: some may have arrived."""
        await self.send([_to_message(event) for event in events])

    async def send(self, messages: Sequence[Message]) -> None:
        """Put messages on their topics and wait until every one is acknowledged. Raises BrokerUnavailable."""
        if self._producer is None:
            raise BrokerUnavailable("not connected to Kafka yet")
        try:
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
        except MessageSizeTooLargeError:
            raise  # waiting does not make it smaller: this is a mistake of ours, and its place must be seen
        except (KafkaError, OSError) as error:
            raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error


def _to_message(event: Event) -> Message:
    return Message(
        topic=event.TOPIC.name,
        key=str(event.key).encode(),
        value=encode(event),
        headers=[("content-type", CONTENT_TYPE.encode())],
    )
