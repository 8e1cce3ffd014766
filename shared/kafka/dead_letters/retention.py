"""Removing the messages of dead letters that were resolved long ago.

The rest of such a dead letter stays forever: `verify` and `rebuild` have to know which messages the consumer has not
handled. Kafka deletes only from the beginning of a partition, so what stays is appended once more before everything up
to the last message to remove is deleted. If the process is killed between the two, or several do it at once, some
records are there twice: that changes nothing for their readers, and the next removal appends each only once.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.events.topics import dead_letter_topic
from shared.kafka.dead_letters.record import (
    Origin,
    emptied_message,
    parse_dead_letter,
    parse_resolution,
    repeated_message,
)
from shared.kafka.errors import translate_errors
from shared.kafka.producer import Message, Producer
from shared.kafka.topic_reader import TopicReader


async def remove_messages(servers: str, consumer: str, resolved_before: datetime, producer: Producer) -> int:
    """Remove the messages of the dead letters of `consumer` that were resolved before; return of how many.

    Raises BrokerUnavailable; repeating it is safe.
    """
    async with TopicReader(servers, [dead_letter_topic(consumer)]) as reader:
        overview = _Overview()
        async for records in reader.read(reader.partitions, {}):
            overview.add(records)
        past = {origin for origin, resolved_at in overview.resolved_at.items() if resolved_at < resolved_before}
        # What the client cannot decode cannot be appended once more.
        removable = [
            stored for stored in overview.stored if stored.origin in past and stored.partition not in reader.undecodable
        ]
        ends: dict[TopicPartition, int] = {}
        for stored in removable:
            ends[stored.partition] = max(stored.offset + 1, ends.get(stored.partition, 0))
        for partition, end in ends.items():
            retained = _Retained(consumer, past, overview.resolved_at)
            async for records in reader.read([partition], {}):
                await producer.send(retained.messages(record for record in records if record.offset < end))
                if records[-1].offset + 1 >= end:
                    break
    if ends:
        await _delete_records(servers, ends)
    return len({stored.origin for stored in removable})


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where on its topic there is a dead letter with its message."""

    origin: Origin
    partition: TopicPartition
    offset: int


@dataclass(slots=True)
class _Overview:
    """What is on a dead-letter topic, without the messages."""

    stored: list[_Stored] = field(default_factory=list)
    resolved_at: dict[Origin, datetime] = field(default_factory=dict)
    """When each was resolved last."""

    def add(self, records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            if dead_letter := parse_dead_letter(record):
                if dead_letter.omitted is None:
                    partition = TopicPartition(record.topic, record.partition)
                    self.stored.append(_Stored(dead_letter.origin, partition, record.offset))
            elif parsed := parse_resolution(record):
                origin, resolution = parsed
                latest = self.resolved_at.get(origin, resolution.resolved_at)
                self.resolved_at[origin] = max(resolution.resolved_at, latest)


@dataclass(slots=True)
class _Retained:
    """What stays of the records of one partition; each dead letter and each resolution once."""

    consumer: str
    past: Collection[Origin]
    resolved_at: Mapping[Origin, datetime]
    _dead_letters: set[Origin] = field(default_factory=set)
    _resolutions: set[Origin] = field(default_factory=set)

    def messages(self, records: Iterable[ConsumerRecord]) -> list[Message]:
        return [message for record in records if (message := self._message(record)) is not None]

    def _message(self, record: ConsumerRecord) -> Message | None:
        if dead_letter := parse_dead_letter(record):
            origin = dead_letter.origin
            if origin in self._dead_letters:
                return None
            self._dead_letters.add(origin)
            if origin in self.past and dead_letter.omitted is None:
                return emptied_message(dead_letter, self.consumer, record.partition)
        elif parsed := parse_resolution(record):
            origin, resolution = parsed
            if origin in self._resolutions or resolution.resolved_at < self.resolved_at[origin]:
                return None
            self._resolutions.add(origin)
        return repeated_message(record)


async def _delete_records(servers: str, ends: Mapping[TopicPartition, int]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with translate_errors():
            await admin.start()
            await admin.delete_records({partition: RecordsToDelete(end) for partition, end in ends.items()})
    finally:
        await admin.close()
