"""Reading topics from any offset to their present end, outside every consumer group."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared.errors import BrokerUnavailable
from shared.events.topics import Topic
from shared.kafka.errors import translate_errors

POLL_TIMEOUT_MS = 1_000


class TopicReader:
    """All partitions of some topics. Every method raises BrokerUnavailable."""

    def __init__(self, servers: str, topics: Sequence[Topic]) -> None:
        self._servers = servers
        self._topics = [topic.name for topic in topics]
        self._consumer: AIOKafkaConsumer | None = None
        self.partitions: list[TopicPartition] = []
        """Of all topics, once connected."""
        self.undecodable: set[TopicPartition] = set()
        """Partitions with a record that the client cannot decode, among those that were read."""

    async def __aenter__(self) -> Self:
        # At the end of one topic a fetch waits so long before the next topic is fetched; there is nothing to wait for.
        # Records may be deleted while they are read; what follows them must not be passed over.
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            fetch_max_wait_ms=20,
            auto_offset_reset="earliest",
        )
        try:
            with translate_errors():
                await consumer.start()
                # The one private touch of aiokafka: of itself it asks only about topics that are assigned.
                await consumer._client.force_metadata_update()
            self.partitions = _list_partitions(consumer, self._topics)
        except BaseException:
            await _stop(consumer)
            raise
        self._consumer = consumer
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await _stop(self._consumer)

    async def offset_ranges(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, range]:
        """From the first offset that exists to the one that the next record will have."""
        with translate_errors():
            first = await self._connected.beginning_offsets(list(partitions))
            end = await self._connected.end_offsets(list(partitions))
        return {partition: range(first[partition], end[partition]) for partition in partitions}

    async def read(
        self, partitions: Collection[TopicPartition], offsets: dict[TopicPartition, int]
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """The records from `offsets`, else from the first one, up to the ends as they are now.

        Where records are deleted meanwhile, up to the ends as they are then: what must stay is appended again before it
        is deleted (dead_letters/retention.py). Once everything is read, `offsets` moves on to the ends.
        Markers of transactions are no records. A record that the client cannot decode is left out, as its consumers had
        to pass over it. An offset beyond the end is of a topic that was deleted and made again: it is read from the
        first record, as consumers do.
        """
        ranges = await self.offset_ranges(partitions)
        ranges = {p: range(_start_of(existing, offsets.get(p, 0)), existing.stop) for p, existing in ranges.items()}
        while ranges:
            async for records in self._read_ranges(ranges):
                yield records
            # What was appended meanwhile may have been fetched as well. It was not yielded: the next read begins there.
            offsets.update({partition: offset_range.stop for partition, offset_range in ranges.items()})
            ranges = await self._find_overtaken(ranges)

    async def _read_ranges(self, ranges: Mapping[TopicPartition, range]) -> AsyncIterator[list[ConsumerRecord]]:
        next_offsets = {partition: offset_range.start for partition, offset_range in ranges.items()}
        unfinished = {partition for partition, offset_range in ranges.items() if offset_range}
        self._connected.assign(list(unfinished))
        for partition in unfinished:
            self._connected.seek(partition, next_offsets[partition])
        while unfinished:
            with translate_errors():
                fetched = await self._fetch(unfinished, next_offsets)
                finished = {p for p in unfinished if await self._connected.position(p) >= ranges[p].stop}
            self._connected.pause(*finished)  # what is appended from now on is not fetched meanwhile
            unfinished -= finished
            records = [r for partition, found in fetched.items() for r in found if r.offset < ranges[partition].stop]
            next_offsets.update({partition: found[-1].offset + 1 for partition, found in fetched.items()})
            if records:
                yield records

    async def _find_overtaken(self, ranges: Mapping[TopicPartition, range]) -> dict[TopicPartition, range]:
        """What was appended behind `ranges`, where records in them were deleted meanwhile: it may be these again."""
        with translate_errors():
            first = await self._connected.beginning_offsets([p for p, offset_range in ranges.items() if offset_range])
            overtaken = [partition for partition, offset in first.items() if offset > ranges[partition].start]
            end = await self._connected.end_offsets(overtaken) if overtaken else {}
        return {p: range(ranges[p].stop, offset) for p, offset in end.items() if offset > ranges[p].stop}

    async def read_all(self) -> list[ConsumerRecord]:
        """Every record of every topic, in order within a partition."""
        return [record async for records in self.read(self.partitions, {}) for record in records]

    async def read_one(self, partition: TopicPartition, offset: int) -> ConsumerRecord | None:
        """The record at `offset`, or None where it no longer exists."""
        async for records in self.read([partition], {partition: offset}):
            return records[0] if records[0].offset == offset else None
        return None

    async def _fetch(
        self, partitions: Collection[TopicPartition], next_offsets: dict[TopicPartition, int]
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """The next records; `next_offsets` moves on past a record that the client cannot decode."""
        try:
            fetched: dict[TopicPartition, list[ConsumerRecord]] = await self._connected.getmany(
                *partitions, timeout_ms=POLL_TIMEOUT_MS
            )
        except UnicodeDecodeError:  # the name of a header: aiokafka drops what it has buffered of all partitions
            for partition in partitions:
                self._connected.seek(partition, next_offsets[partition])
        else:
            return fetched
        fetched = {}
        for partition in partitions:
            try:
                fetched |= await self._connected.getmany(partition, timeout_ms=POLL_TIMEOUT_MS, max_records=1)
            except UnicodeDecodeError:
                next_offsets[partition] = await self._connected.position(partition) + 1
                self._connected.seek(partition, next_offsets[partition])
                self.undecodable.add(partition)
        return fetched

    @property
    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise BrokerUnavailable("not connected to Kafka yet")
        return self._consumer


def _start_of(existing: range, offset: int) -> int:
    return offset if existing.start <= offset <= existing.stop else existing.start


def _list_partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    numbers = {topic: consumer.partitions_for_topic(topic) for topic in topics}
    if missing := sorted(topic for topic, found in numbers.items() if not found):
        raise BrokerUnavailable(f"topics do not exist: {', '.join(missing)}")
    return [TopicPartition(topic, number) for topic, found in numbers.items() for number in sorted(found or ())]


async def _stop(consumer: AIOKafkaConsumer) -> None:
    try:
        await consumer.stop()
    except asyncio.CancelledError:  # a consumer without a group raises the cancellation of its own task
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
