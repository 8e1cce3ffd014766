"""Which records a consumer has dead-lettered."""

from collections.abc import Collection
from types import TracebackType
from typing import Self

from aiokafka import TopicPartition

from shared.events.topics import dead_letter_topic
from shared.kafka.dead_letters.record import Origin, parse_dead_letter
from shared.kafka.topic_reader import TopicReader


class DeadLetterIndex:
    """The origins of all dead letters of one consumer, resolved or not. Every method raises BrokerUnavailable.

    The consumer has not handled what is at these origins, whatever became of the dead letter: a message that was
    redriven is on its topic once more, at another offset, and one that was discarded is not.
    """

    def __init__(self, servers: str, consumer: str) -> None:
        self._reader = TopicReader(servers, [dead_letter_topic(consumer)])
        self._next_offsets: dict[TopicPartition, int] = {}
        self._origins: set[Origin] = set()

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(error_type, error, traceback)

    async def read(self) -> Collection[Origin]:
        """All origins up to now. Only new dead letters are read from Kafka."""
        async for records in self._reader.read(self._reader.partitions, self._next_offsets):
            self._origins |= {letter.origin for record in records if (letter := parse_dead_letter(record))}
        return self._origins
