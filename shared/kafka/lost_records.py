"""Records that are not on a topic any more, or soon may not be: then the topics do not say everything."""

from collections.abc import Iterator, Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import Topic
from shared.kafka.admin import describe_settings
from shared.kafka.errors import translate_errors
from shared.kafka.group_offsets import committed_offsets
from shared.kafka.topic_reader import TopicReader

EVERYTHING_IS_KEPT = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


async def list_lost_records(servers: str, topics: Sequence[Topic], consumer: str) -> list[str]:
    """Why `topics` may not say everything that `consumer` consumed, a line each. Raises BrokerUnavailable."""
    names = [topic.name for topic in topics]
    committed = await committed_offsets(servers, consumer)  # before the ends: a group is never ahead of them
    async with TopicReader(servers, topics) as reader:
        ranges = await reader.offset_ranges(reader.partitions)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with translate_errors():
            await admin.start()
            settings = await describe_settings(admin, names)
    finally:
        await admin.close()
    return [
        *(line for name in names for line in _list_deleted(name, ranges, settings[name])),
        *_list_ahead(consumer, committed, ranges),
    ]


def _list_deleted(topic: str, ranges: Mapping[TopicPartition, range], settings: Mapping[str, str]) -> Iterator[str]:
    if deleted := sum(existing.start for partition, existing in ranges.items() if partition.topic == topic):
        yield f"{deleted} records of {topic} were deleted"
    for name, value in EVERYTHING_IS_KEPT.items():
        if settings[name] != value:
            yield f"{topic} does not keep every record: {name} is {settings[name]}"


def _list_ahead(
    consumer: str, committed: Mapping[TopicPartition, int], ranges: Mapping[TopicPartition, range]
) -> Iterator[str]:
    for partition, existing in sorted(ranges.items()):
        if committed.get(partition, 0) > existing.stop:
            yield (
                f"{consumer} has consumed {partition.topic}/{partition.partition} up to {committed[partition]}, "
                f"but it ends at {existing.stop}: records were lost"
            )
