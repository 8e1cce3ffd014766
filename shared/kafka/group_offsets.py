"""How far a consumer group is, seen from outside the group. Every function raises BrokerUnavailable."""

import asyncio
import time

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import Topic
from shared.kafka.errors import NoConsumerGroups, translate_errors
from shared.kafka.topic_reader import TopicReader

CATCH_UP_CHECK_INTERVAL_SECONDS = 0.5
"""The interval between two checks of the committed offsets of a group."""

Offsets = dict[str, int]
"""The next offset to read, by topic. A topic that is missing was not read at all."""


async def committed_offsets(servers: str, group: str) -> dict[TopicPartition, int]:
    """What `group` has committed; a partition on which it has committed nothing is missing."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with translate_errors():
            await admin.start()
            committed = await admin.list_consumer_group_offsets(group)
    except NoConsumerGroups:
        return {}
    finally:
        await admin.close()
    return {partition: metadata.offset for partition, metadata in committed.items() if metadata.offset >= 0}


async def has_caught_up(servers: str, group: str, partition: int, offsets: Offsets) -> bool:
    """Whether `group` has committed every record before `offsets`."""
    committed = await committed_offsets(servers, group)
    ends = {TopicPartition(topic, partition): end for topic, end in offsets.items()}
    behind = {p: committed.get(p, 0) for p, end in ends.items() if committed.get(p, 0) < end}
    return not behind or not await _has_records(servers, behind, ends)


async def wait_until_caught_up(
    servers: str, group: str, partition: int, offsets: Offsets, timeout_seconds: float
) -> bool:
    """Wait until `group` has caught up; False after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not await has_caught_up(servers, group, partition, offsets):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(CATCH_UP_CHECK_INTERVAL_SECONDS)
    return True


async def _has_records(servers: str, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]) -> bool:
    """Whether there is a record between the offsets, and not only the markers of transactions: nobody commits these."""
    async with TopicReader(servers, [Topic(partition.topic, "") for partition in starts]) as reader:
        async for records in reader.read(list(starts), dict(starts)):
            if any(r.offset < ends[TopicPartition(r.topic, r.partition)] for r in records):
                return True
        return bool(reader.undecodable)
