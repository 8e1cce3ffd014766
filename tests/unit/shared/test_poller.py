"""The order in which a poll returns fetched records, and what it does when there are none."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.kafka.poller import Poller


class FakeConsumer:
    """A consumer with so many fetched records per partition, which it returns in the order of arrival."""

    def __init__(self, **counts: int) -> None:
        self._buffered = {TopicPartition(name[:-1], int(name[-1])): count for name, count in counts.items()}

    def assignment(self) -> set[TopicPartition]:
        return set(self._buffered)

    async def getmany(
        self, *topic_partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, Any]:
        records = {}
        for topic_partition in self._buffered:
            if (not topic_partitions or topic_partition in topic_partitions) and (
                count := min(max_records, self._buffered[topic_partition])
            ):
                records[topic_partition] = [topic_partition] * count
                self._buffered[topic_partition] -= count
                max_records -= count
        return records


class UndecodableConsumer:
    """A consumer whose first poll meets a record that cannot be decoded, and which has no records afterwards."""

    def __init__(self, partition_count: int) -> None:
        self._partitions = {TopicPartition("sessions", number) for number in range(partition_count)}
        self._has_raised = False

    def assignment(self) -> set[TopicPartition]:
        return self._partitions

    async def seek_to_committed(self) -> dict[TopicPartition, int]:
        return dict.fromkeys(self._partitions, 1)

    async def getmany(self, *_: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        if not self._has_raised:
            self._has_raised = True
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        if timeout_ms:  # aiokafka gives way to other tasks only if it waits
            await asyncio.sleep(timeout_ms / 1000)
        return {}


def poll_counts(poller: Poller, max_records: int) -> dict[str, int]:
    records_by_partition = asyncio.run(poller.poll(20, max_records))
    return {
        f"{topic_partition.topic}{topic_partition.partition}": len(records)
        for topic_partition, records in records_by_partition.items()
    }


def test_records_with_the_same_partition_number_come_together() -> None:
    poller = Poller(FakeConsumer(sessions0=3, sessions1=3, sessions2=3, feedback2=3, feedback1=3, feedback0=3))

    assert poll_counts(poller, 6) == {"sessions0": 3, "feedback0": 3}
    assert poll_counts(poller, 6) == {"sessions1": 3, "feedback1": 3}
    assert poll_counts(poller, 6) == {"sessions2": 3, "feedback2": 3}
    assert poll_counts(poller, 6) == {}


def test_a_partition_with_a_backlog_does_not_delay_the_others() -> None:
    poller = Poller(FakeConsumer(sessions0=100, feedback0=100, sessions1=2))

    assert poll_counts(poller, 10) == {"sessions0": 10}
    assert poll_counts(poller, 10) == {"sessions1": 2, "sessions0": 8}


def test_a_batch_is_filled_from_several_partition_numbers() -> None:
    poller = Poller(FakeConsumer(sessions0=1, sessions1=1, feedback0=1, sessions2=5))

    assert poll_counts(poller, 10) == {"sessions0": 1, "feedback0": 1, "sessions1": 1, "sessions2": 5}


@pytest.mark.parametrize("partition_count", [0, 1, 48])
async def test_a_poll_of_each_partition_gives_way_to_other_tasks(partition_count: int) -> None:
    """The consumer loop does nothing else between two polls: without this, the service would answer nobody."""
    poller, turns = Poller(UndecodableConsumer(partition_count)), list[str]()
    assert await poller.poll(40, 10) == {}
    asyncio.get_running_loop().call_soon(turns.append, "another task")

    assert await poller.poll(40, 10) == {}

    assert turns == ["another task"]
