"""Reading what lies on the topics, from the first message on and outside every consumer group.

All topics have the same number of partitions and the same keys, so whatever is told of one relationship lies on the
same partition number of each: who reads that number of all topics has read everything about it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from zlib import crc32

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from shared.errors import BrokerUnavailable, Unreadable
from shared.events import Event, by_name
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.consumer import AHEAD
from shared.kafka.readers import stop

WAIT_MS = 1_000
LOOK_EVERY = 0.5
"""Seconds between two looks at how far a group has come."""
AT_ONCE = 2_000
"""The most messages that are decoded before others get a turn."""

Fetched = dict[TopicPartition, list[ConsumerRecord]]
Positions = dict[str, int]
"""How far each topic was read: the next offset. What is missing was not read at all."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of one partition number, small enough to be held in memory: some of its keys, with all their messages."""

    partition: int
    number: int = 0
    of: int = 1

    def holds(self, key: bytes | None) -> bool:
        return self.of == 1 or crc32(key or b"") % self.of == self.number


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was told, and the bytes in which it was."""

    event: Event
    message: bytes


class History:
    """Everything that was ever told on some topics. Every method raises BrokerUnavailable."""

    def __init__(self, servers: str, topics: Sequence[Topic], kinds: tuple[type[Event], ...]) -> None:
        self._topics = [topic.name for topic in topics]
        self._kinds = by_name(kinds)
        self._servers = servers
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []

    async def __aenter__(self) -> Self:
        # A fetch that has come to the end of one topic holds up the next for so long: there is nothing to wait for.
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False, fetch_max_wait_ms=20)
        try:
            with _unavailable():
                await consumer.start()
                await consumer._client.force_metadata_update()  # of itself aiokafka asks only about assigned topics
            self._partitions = _partitions(consumer, self._topics)
        except BaseException:
            await stop(consumer)
            raise
        self._consumer = consumer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await stop(self._consumer)

    async def sizes(self) -> list[int]:
        """How many messages lie on each partition number, all topics together."""
        first, ends = await self._extent(self._partitions)
        sizes = [0] * (1 + max(p.partition for p in ends))
        for p, end in ends.items():
            sizes[p.partition] += end - first[p]
        return sizes

    async def ends(self, partition: int) -> Positions:
        """Where the next message of each topic will lie."""
        with _unavailable():
            ends = await self._reader.end_offsets(self._of(partition))
        return {p.topic: end for p, end in ends.items()}

    async def read(self, which: Slice, positions: Positions) -> AsyncIterator[list[Recorded]]:
        """What lies behind `positions` and before the ends as they are now; `positions` move on to there.

        What a consumer sets aside or skips is left out here as well.
        """
        partitions = self._of(which.partition)
        first, ends = await self._extent(partitions)
        at = {p: positions.get(p.topic, first[p]) for p in partitions}
        waiting = {p for p in partitions if at[p] < ends[p]}
        self._reader.assign(list(waiting))
        for p in waiting:
            self._reader.seek(p, at[p])
        while waiting:
            with _unavailable():
                fetched = await self._fetch(waiting, at)
                records = [r for p, found in fetched.items() for r in found if r.offset < ends[p]]
                through = {p for p in waiting if await self._reader.position(p) >= ends[p]}
            at.update({p: found[-1].offset + 1 for p, found in fetched.items()})
            self._reader.pause(*through)  # what is told from now on is not fetched meanwhile
            waiting -= through
            for some in range(0, len(records), AT_ONCE):
                yield list(self._readable(r for r in records[some : some + AT_ONCE] if which.holds(r.key)))
                await asyncio.sleep(0)
        positions.update({p.topic: max(end, at[p]) for p, end in ends.items()})

    async def _fetch(self, waiting: Collection[TopicPartition], at: dict[TopicPartition, int]) -> Fetched:
        """What comes next; `at` moves on behind a record that the client cannot read, as its consumers had to."""
        try:
            fetched: Fetched = await self._reader.getmany(*waiting, timeout_ms=WAIT_MS)
        except UnicodeDecodeError:  # a header's name: aiokafka drops what it has in hand of all partitions
            for p in waiting:
                self._reader.seek(p, at[p])
        else:
            return fetched
        fetched = {}
        for p in waiting:
            try:
                fetched |= await self._reader.getmany(p, timeout_ms=WAIT_MS, max_records=1)
            except UnicodeDecodeError:
                at[p] = await self._reader.position(p) + 1
                self._reader.seek(p, at[p])
        return fetched

    def _readable(self, records: Iterable[ConsumerRecord]) -> Iterator[Recorded]:
        for record in records:
            with suppress(Unreadable):
                event = decode(record.value, self._kinds)
                # As a consumer would have it that hears it at once.
                if (
                    event is not None
                    and event.occurred_at.timestamp() <= record.timestamp / 1000 + AHEAD.total_seconds()
                ):
                    yield Recorded(event, record.value)

    @property
    def _reader(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerUnavailable("not connected to Kafka yet")
        return self._consumer

    def _of(self, number: int) -> list[TopicPartition]:
        return [p for p in self._partitions if p.partition == number]

    async def _extent(self, partitions: Sequence[TopicPartition]) -> tuple[dict[TopicPartition, int], ...]:
        with _unavailable():
            return await self._reader.beginning_offsets(partitions), await self._reader.end_offsets(partitions)


async def has_taken_in(servers: str, group: str, partition: int, positions: Positions) -> bool:
    """Whether the consumers of `group` are done with everything before `positions`. Raises BrokerUnavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with _unavailable():
            await admin.start()
            found = await admin.list_consumer_group_offsets(group)
    except _NobodyYet:
        found = {}
    finally:
        await admin.close()
    done = {p.topic: kept.offset for p, kept in found.items() if p.partition == partition}
    return all(done.get(topic, 0) >= end for topic, end in positions.items())


async def until_taken_in(servers: str, group: str, partition: int, positions: Positions, within: float) -> bool:
    """Wait for it, at most so many seconds; whether it came true. Raises BrokerUnavailable."""
    give_up = time.monotonic() + within
    while not await has_taken_in(servers, group, partition, positions):
        if time.monotonic() > give_up:
            return False
        await asyncio.sleep(LOOK_EVERY)
    return True


def _partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    known = {topic: consumer.partitions_for_topic(topic) for topic in topics}
    if absent := sorted(topic for topic, partitions in known.items() if not partitions):
        raise BrokerUnavailable(f"topics missing: {', '.join(absent)}")
    return [TopicPartition(topic, p) for topic, partitions in known.items() for p in sorted(partitions or ())]


class _NobodyYet(BrokerUnavailable):
    """Kafka keeps nothing of groups yet: it is as if this one had done nothing."""


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except GroupCoordinatorNotAvailableError as error:
        raise _NobodyYet(str(error)) from error
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
