"""Polling: returns the same partition number of all topics together, and loses no record to one that is unreadable.

aiokafka raises UnicodeDecodeError in the middle of a poll when a record has a header whose name is not UTF-8. By then
it has dropped what it had buffered of other partitions and moved their positions: polling again and committing would
lose those records silently. So the poller rewinds to the committed offsets and polls each partition by itself, until
the record is the next one on its partition.
"""

import asyncio
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError


class UnreadableRecord(Exception):
    """The next record of a partition cannot be decoded by the client; the message names its location."""


class Poller:
    """Polls for a consumer that commits a batch before it polls the next."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._has_met_unreadable = False
        """From then on each partition is polled by itself. Never reset: the record stays on its topic, and so either
        this consumer reaches it and stops, or its partition moves to another member of the group."""
        self._record_by_record: set[TopicPartition] = set()
        """Partitions on which a poll of many records would meet the unreadable one."""
        self._must_rewind = False
        self._first_number = 0
        """The partition number with which the next poll begins: the first one that the last full batch left out."""

    async def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        """The next records, if any. Raises KafkaError, and UnreadableRecord after all records before it."""
        if self._must_rewind:
            await self._rewind_to_committed()
        if self._has_met_unreadable:
            return await self._poll_one_partition(timeout_ms, max_records)
        try:
            records = await self._poll_buffered(max_records)
            if not records:
                records = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except KafkaError:
            self._must_rewind = True
            raise
        except UnicodeDecodeError:
            self._has_met_unreadable = self._must_rewind = True
            return {}
        return records

    async def _poll_buffered(self, max_records: int) -> dict[TopicPartition, Any]:
        """Records that were fetched already, partition number by partition number.

        The same number of every topic holds the same keys, so related events arrive in one batch. aiokafka alone would
        return all of one topic before the next, and each key would be loaded and saved again for every topic.
        """
        numbers = sorted({topic_partition.partition for topic_partition in self._consumer.assignment()})
        numbers = [n for n in numbers if n >= self._first_number] + [n for n in numbers if n < self._first_number]
        records: dict[TopicPartition, Any] = {}
        for number in numbers:
            remaining = max_records - sum(map(len, records.values()))
            if not remaining:
                self._first_number = number
                break
            topic_partitions = [
                topic_partition
                for topic_partition in self._consumer.assignment()
                if topic_partition.partition == number
            ]
            records |= await self._consumer.getmany(*topic_partitions, timeout_ms=0, max_records=remaining)
        return records

    async def _rewind_to_committed(self) -> None:
        if self._consumer.assignment():
            committed = await self._consumer.seek_to_committed()
            if never_committed := [partition for partition, offset in committed.items() if not offset]:
                await self._consumer.seek_to_beginning(*never_committed)
        self._must_rewind = False

    async def _poll_one_partition(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        """Records of the first partition that has any. No position moves past a record that cannot be decoded.

        It waits by itself if there are none: a share of the timeout for each of many partitions would be rounded down
        to 0, and then `getmany` gives way to no other task.
        """
        for partition in sorted(self._consumer.assignment()):
            limit = 1 if partition in self._record_by_record else max_records
            try:
                records: dict[TopicPartition, Any] = await self._consumer.getmany(
                    partition, timeout_ms=0, max_records=limit
                )
            except UnicodeDecodeError:
                if partition in self._record_by_record:
                    location = f"{partition.topic}/{partition.partition}/{await self._consumer.position(partition)}"
                    raise UnreadableRecord(f"record {location} cannot be decoded by the client") from None
                self._record_by_record.add(partition)
                continue
            if records:
                return records
        await asyncio.sleep(timeout_ms / 1000)
        return {}
