"""Polling: topics in step, and up to a record that the client cannot read at all.

That is one with a header whose name is no UTF-8. aiokafka notices in the middle of a poll. What it has in hand of other
partitions by then it drops, with their positions behind it: who polls again, and commits, has lost that without a word.
So we go back to what is committed, and poll each partition by itself until the record is the next one.
"""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError


class UnreadableRecord(Exception):
    """The record that is next on a partition cannot be read by the client; its text says where it lies."""


class SteppedPoller:
    """The polls of a consumer that commits what it has done before it polls again."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._getmany = consumer.getmany
        self._is_stepping = False
        self._must_rewind = False
        self._record_by_record: set[TopicPartition] = set()
        self._next_number = 0
        """The partition number that is first in turn."""

    async def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        """What came, if anything. Raises KafkaError, and CannotBeHad when all that lies before the record was taken."""
        if self._must_rewind:
            await self._rewind_to_committed()
        if self._is_stepping:
            return await self._poll_one_partition(timeout_ms, max_records)
        try:
            records = await self._poll_buffered(max_records)
            if not records:  # wait for whatever comes
                records = await self._getmany(timeout_ms=timeout_ms, max_records=max_records)
        except KafkaError:
            self._must_rewind = True
            raise
        except UnicodeDecodeError:
            self._is_stepping = self._must_rewind = True
            return {}
        return records

    async def _poll_buffered(self, max_records: int) -> dict[TopicPartition, Any]:
        """What is here already, partition number by partition number.

        The same number of every topic holds the same keys: facts that belong together come in one batch, instead of
        all of one topic before the next, which has each key read and written again for every topic.
        """
        numbers = sorted({topic_partition.partition for topic_partition in self._consumer.assignment()})
        numbers = [n for n in numbers if n >= self._next_number] + [n for n in numbers if n < self._next_number]
        records: dict[TopicPartition, Any] = {}
        for number in numbers:
            remaining = max_records - sum(map(len, records.values()))
            if not remaining:
                self._next_number = number
                break
            topic_partitions = [
                topic_partition
                for topic_partition in self._consumer.assignment()
                if topic_partition.partition == number
            ]
            records |= await self._getmany(*topic_partitions, timeout_ms=0, max_records=remaining)
        return records

    async def _rewind_to_committed(self) -> None:
        if self._consumer.assignment():
            committed = await self._consumer.seek_to_committed()
            if never_committed := [partition for partition, offset in committed.items() if not offset]:
                await self._consumer.seek_to_beginning(*never_committed)
        self._must_rewind = False

    async def _poll_one_partition(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        """Of the first that has something; its position stays where it was when it cannot be read."""
        partitions = sorted(self._consumer.assignment())
        for partition in partitions:
            limit = 1 if partition in self._record_by_record else max_records
            try:
                records: dict[TopicPartition, Any] = await self._getmany(
                    partition, timeout_ms=timeout_ms // len(partitions), max_records=limit
                )
            except UnicodeDecodeError:
                if partition in self._record_by_record:
                    location = f"{partition.topic}/{partition.partition}/{await self._consumer.position(partition)}"
                    raise UnreadableRecord(f"the client cannot read the record at {location}") from None
                self._record_by_record.add(partition)
                continue
            if records:
                return records
        return {}
