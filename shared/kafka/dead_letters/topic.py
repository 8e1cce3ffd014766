"""Reading, redriving and discarding the dead letters of a consumer."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from aiokafka import ConsumerRecord, TopicPartition

from shared.errors import BrokerUnavailable
from shared.events.topics import Topic, dead_letter_topic
from shared.kafka.admin import missing_topics
from shared.kafka.dead_letters.record import (
    Origin,
    StoredDeadLetter,
    collect_dead_letters,
    parse_dead_letter,
    parse_resolution,
    redrive_message,
    resolution_message,
)
from shared.kafka.producer import Producer
from shared.kafka.topic_reader import TopicReader


class MessageNotFound(Exception):
    """A message exists neither at its origin nor in its dead letter."""


async def dead_letters_of(servers: str, consumer: str) -> list[StoredDeadLetter]:
    """All dead letters of `consumer`, the latest last. Raises BrokerUnavailable."""
    topic = dead_letter_topic(consumer)
    if await missing_topics(servers, [topic]):
        raise BrokerUnavailable(f"topic does not exist: {topic.name}; create it with `python -m deploy.jobs.topics`")
    async with TopicReader(servers, [topic]) as reader:
        return collect_dead_letters(await reader.read_all())


async def fetch_complete(servers: str, dead_letter: StoredDeadLetter) -> StoredDeadLetter:
    """The dead letter with its message, fetched from the origin if the dead letter does not contain it.

    Raises MessageNotFound and BrokerUnavailable.
    """
    if dead_letter.omitted is None:
        return dead_letter
    record = await _fetch_record(servers, dead_letter.origin)
    if not dead_letter.is_message(record.value):
        raise MessageNotFound(
            f"message {dead_letter.origin} is not at its origin, where there is another one: was the topic deleted and "
            "made again?"
        )
    return replace(dead_letter, key=record.key, value=record.value, headers=list(record.headers))


async def redrive(
    servers: str, consumer: str, dead_letter: StoredDeadLetter, producer: Producer, clock: Callable[[], datetime]
) -> None:
    """Publish the message to its original topic, then record that. Raises MessageNotFound and BrokerUnavailable.

    Idempotent: all consumers of that topic receive the message again and ignore an event that they know. After a crash
    between the two steps, the dead letter is still open.
    """
    await producer.send([redrive_message(await fetch_complete(servers, dead_letter))])
    await producer.send([resolution_message(dead_letter.origin, "redriven", consumer, clock())])


async def discard(
    consumer: str, dead_letter: StoredDeadLetter, producer: Producer, clock: Callable[[], datetime]
) -> None:
    """Resolve the dead letter without redriving it; its record stays. Idempotent. Raises BrokerUnavailable."""
    await producer.send([resolution_message(dead_letter.origin, "closed", consumer, clock())])


class OpenDeadLetters:
    """Counts the open dead letters of `consumer`. Each count reads only new records, and keeps no message in memory."""

    def __init__(self, servers: str, consumer: str) -> None:
        self._servers = servers
        self._topic = dead_letter_topic(consumer)
        self._next_offsets: dict[TopicPartition, int] = {}
        self._causes: dict[Origin, str] = {}
        self._resolved: set[Origin] = set()

    async def count_by_cause(self) -> Counter[str]:
        """The number of open dead letters by cause. Raises BrokerUnavailable."""
        async with TopicReader(self._servers, [self._topic]) as reader:
            async for records in reader.read(reader.partitions, self._next_offsets):
                for record in records:
                    self._count_record(record)
        return Counter(cause for origin, cause in self._causes.items() if origin not in self._resolved)

    def _count_record(self, record: ConsumerRecord) -> None:
        if dead_letter := parse_dead_letter(record):
            self._causes[dead_letter.origin] = dead_letter.cause
        elif resolution := parse_resolution(record):
            self._resolved.add(resolution[0])


async def _fetch_record(servers: str, origin: Origin) -> ConsumerRecord:
    """The record at `origin`. Raises MessageNotFound and BrokerUnavailable."""
    async with TopicReader(servers, [Topic(origin.topic, "")]) as reader:
        record = await reader.read_one(TopicPartition(origin.topic, origin.partition), origin.offset)
    if record is None:
        raise MessageNotFound(
            f"message {origin} no longer exists at its origin, and its dead letter does not contain it: it was too "
            "large, or was resolved long ago"
        )
    return record
