"""Looking at the dead letters of a consumer, and sending their messages back to where they came from."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from shared.errors import BrokerUnavailable
from shared.events.topics import dead_letters
from shared.kafka.admin import missing
from shared.kafka.dead_letters.record import Letter, Origin, letter_in, letters_in, sent_back, settled, settled_in
from shared.kafka.producer import Producer
from shared.kafka.readers import stop

WAIT_MS = 1_000
FETCH_WITHIN_MS = 10_000
END_SECONDS = 3.0


class Gone(Exception):
    """The message of a letter does not lie at its origin any more, and was too large for its letter."""


async def letters_of(servers: str, consumer: str) -> list[Letter]:
    """Every letter of `consumer`, the latest last. Raises BrokerUnavailable."""
    topic = dead_letters(consumer)
    if await missing(servers, [topic]):
        raise BrokerUnavailable(f"topic missing: {topic.name}; create it: python -m deploy.jobs.topics")
    async with _reading(servers, topic.name) as reader:
        return letters_in([record async for record in _up_to_now(reader)])


async def whole(servers: str, dead_letter: Letter) -> Letter:
    """The letter with its message, also where that was too large for it. Raises Gone and BrokerUnavailable."""
    if dead_letter.left_out is None:
        return dead_letter
    record = await _at(servers, dead_letter.origin)
    return replace(dead_letter, key=record.key, value=record.value, headers=list(record.headers))


async def redrive(
    servers: str, consumer: str, dead_letter: Letter, producer: Producer, clock: Callable[[], datetime]
) -> None:
    """Put the message back to where it came from, then note that. Raises Gone and BrokerUnavailable.

    Safe to repeat: everybody who hears that topic hears the message once more, and takes it once. Whoever dies in
    between leaves a letter that is open still.
    """
    await producer.send([sent_back(await whole(servers, dead_letter))])
    await producer.send([settled(dead_letter.origin, "redriven", consumer, clock())])


async def close(consumer: str, dead_letter: Letter, producer: Producer, clock: Callable[[], datetime]) -> None:
    """Note that nobody wants the message; the letter stays. Raises BrokerUnavailable; safe to repeat."""
    await producer.send([settled(dead_letter.origin, "closed", consumer, clock())])


class OpenLetters:
    """How many letters of `consumer` are open: reads what is new at each look, and keeps no message.

    A look goes on when whoever asked for it is cancelled: cut off while it connects, it would leave a connection open.
    """

    def __init__(self, servers: str, consumer: str) -> None:
        self._servers = servers
        self._topic = dead_letters(consumer).name
        self._read_up_to: dict[TopicPartition, int] = {}
        self._causes: dict[Origin, str] = {}
        self._settled: set[Origin] = set()
        self._looking: asyncio.Task[Counter[str]] | None = None

    async def by_cause(self) -> Counter[str]:
        """As things stand now. Raises BrokerUnavailable."""
        self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def stop(self) -> None:
        """Let a look that is under way come to its end, but not for long."""
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=END_SECONDS)
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> Counter[str]:
        async with _reading(self._servers, self._topic) as reader:
            for partition, offset in self._read_up_to.items():
                reader.seek(partition, offset)
            async for record in _up_to_now(reader):
                if dead_letter := letter_in(record):
                    self._causes[dead_letter.origin] = dead_letter.cause
                elif resolution := settled_in(record):
                    self._settled.add(resolution[0])
                self._read_up_to[TopicPartition(record.topic, record.partition)] = record.offset + 1
        return Counter(cause for origin, cause in self._causes.items() if origin not in self._settled)


async def _at(servers: str, origin: Origin) -> ConsumerRecord:
    """The record that lies there. Raises Gone and BrokerUnavailable."""
    partition = TopicPartition(origin.topic, origin.partition)
    async with _reading(servers) as reader:
        reader.assign([partition])
        reader.seek(partition, origin.offset)
        records = await reader.getmany(partition, timeout_ms=FETCH_WITHIN_MS, max_records=1)
    for record in records.get(partition, ()):
        if record.offset == origin.offset:
            return record
    raise Gone(f"{origin} does not lie there any more, and was too large for its letter")


async def _up_to_now(reader: AIOKafkaConsumer) -> AsyncIterator[ConsumerRecord]:
    end_offsets = await reader.end_offsets(reader.assignment())
    unfinished = set(end_offsets)
    while unfinished := {
        partition for partition in unfinished if await reader.position(partition) < end_offsets[partition]
    }:
        for records in (await reader.getmany(*unfinished, timeout_ms=WAIT_MS)).values():
            for record in records:
                yield record


@asynccontextmanager
async def _reading(servers: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """From the first message on, outside every consumer group."""
    reader = AIOKafkaConsumer(
        *topics, bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    with _unavailable():
        try:
            await reader.start()
            yield reader
        finally:
            await stop(reader)


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
