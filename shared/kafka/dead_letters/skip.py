"""Moving a consumer past a range of messages, which are dead-lettered unhandled, so that none is lost."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.errors import Skipped
from shared.events.topics import Topic
from shared.kafka.dead_letters.record import DeadLetter, dead_letter_message
from shared.kafka.errors import translate_errors
from shared.kafka.group_offsets import committed_offsets
from shared.kafka.producer import Producer
from shared.kafka.topic_reader import TopicReader


class CannotSkip(Exception):
    """The range is not what the consumer would handle next, or the consumer still runs. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Skip:
    """What to skip: the offsets `first` to `last`, both included, of one partition."""

    partition: TopicPartition
    first: int
    last: int

    @classmethod
    def parse(cls, partition: str, offsets: str) -> Self:
        """From topic/partition and from-to. Raises ValueError."""
        topic, number = partition.split("/")
        first, last = map(int, offsets.split("-"))
        if first > last:
            raise ValueError("the first offset is behind the last")
        return cls(TopicPartition(topic, int(number)), first, last)

    def __str__(self) -> str:
        return f"{self.partition.topic}/{self.partition.partition} {self.first}-{self.last}"


async def skip(servers: str, consumer: str, skipped: Skip, producer: Producer, clock: Callable[[], datetime]) -> int:
    """Dead-letter what `consumer` has not committed in the range, then commit behind it; return how many.

    A record that the client cannot decode is passed over: it stays on its topic only. Idempotent: after a crash, the
    same command goes on. Raises CannotSkip and BrokerUnavailable.
    """
    if await _count_members(servers, consumer):
        raise CannotSkip(f"{consumer} is running: stop all its processes first")
    partition = skipped.partition
    async with TopicReader(servers, [Topic(partition.topic, "")]) as reader:
        if partition not in reader.partitions:
            raise CannotSkip(f"{partition.topic} has no partition {partition.partition}")
        existing = (await reader.offset_ranges([partition]))[partition]
        next_offset = (await committed_offsets(servers, consumer)).get(partition, existing.start)
        _check_range(skipped, next_offset, existing.stop)
        count = 0
        async for records in reader.read([partition], {partition: next_offset}):
            in_range = [record for record in records if record.offset <= skipped.last]
            dead_letters = [DeadLetter(record, Skipped()) for record in in_range]
            await producer.send([dead_letter_message(dead_letter, consumer, clock()) for dead_letter in dead_letters])
            count += len(in_range)
            if len(in_range) < len(records):
                break
    await _commit(servers, consumer, partition, skipped.last + 1)
    return count


def _check_range(skipped: Skip, next_offset: int, end_offset: int) -> None:
    if next_offset < skipped.first:
        raise CannotSkip(f"the next message is {next_offset}: what is before {skipped.first} would be skipped as well")
    if next_offset > skipped.last:
        raise CannotSkip(f"the next message is {next_offset}: nothing up to {skipped.last} is left to skip")
    if skipped.last >= end_offset:
        raise CannotSkip(f"the last message is {end_offset - 1}")


async def _count_members(servers: str, consumer: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with translate_errors():
            await admin.start()
            (response,) = await admin.describe_consumer_groups([consumer])
    finally:
        await admin.close()
    (group,) = response.to_object()["groups"]
    return len(group["members"])


async def _commit(servers: str, consumer: str, partition: TopicPartition, offset: int) -> None:
    with translate_errors():
        async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=consumer, enable_auto_commit=False) as member:
            member.assign([partition])
            await member.commit({partition: offset})
