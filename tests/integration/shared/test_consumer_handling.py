"""An event that cannot be handled affects no other event, and a bug in a release moves no topic to the dead letters."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from structlog.testing import capture_logs

from shared.errors import StoreUnavailable
from shared.events import Event
from shared.events.cloudevents import encode
from shared.events.topics import dead_letter_topic
from shared.kafka.dead_letters.record import CAUSE_HEADER, ERROR_HEADER
from shared.kafka.limits import HANDLING_FAILURE_PERIOD, MAX_HANDLING_FAILURES
from shared.kafka.producer import Message
from shared.kafka.subscriber import ConsumerTimings
from shared.runtime.clock import now
from tests.support.harness import ConsumerHarness, completed_sessions, is_ready, is_true
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until


class FaultyHandler:
    """Fails whenever a batch contains one of some events, as a bug would."""

    def __init__(self, harness: ConsumerHarness, faulty: Collection[Event]) -> None:
        self.faulty_ids: set[UUID] = {event.id for event in faulty}
        self.error: Exception = OverflowError("rated 3 of 10")
        self.calls = 0
        self._harness = harness

    async def handle_batch(self, events: Sequence[Event]) -> None:
        self.calls += 1
        if self.faulty_ids & {event.id for event in events}:
            raise self.error
        await self._harness.handle_batch(events)


async def test_an_event_that_cannot_be_handled_is_dead_lettered_alone(harness: ConsumerHarness) -> None:
    events = completed_sessions(40)
    handler = FaultyHandler(harness, [events[7], events[30]])

    await harness.produce(*map(encode, events))
    client = harness.consumer(handler.handle_batch, batch_size=100)
    async with client.run():
        await wait_until(lambda: harness.has_handled(*(e for e in events if e.id not in handler.faulty_ids)))
        await wait_until(lambda: harness.has_dead_lettered(2))
        assert client.is_ready()

    dead_letters = await read_records(harness.servers, dead_letter_topic(harness.group))
    assert [dead_letter.value for dead_letter in dead_letters] == [encode(events[7]), encode(events[30])]
    for dead_letter in dead_letters:
        headers = dict(dead_letter.headers)
        assert headers[CAUSE_HEADER] == b"handling"
        assert headers[ERROR_HEADER] == b"handling failed: OverflowError", "the text of an error may contain an answer"
    assert handler.calls < len(events), "the events are found by halving"


async def test_a_transient_error_never_dead_letters(harness: ConsumerHarness) -> None:
    events = completed_sessions(5)
    handler = FaultyHandler(harness, events[2:3])
    handler.error = StoreUnavailable("away")

    async def has_tried_often() -> bool:
        return handler.calls >= 6

    await harness.produce(*map(encode, events))
    async with harness.consumer(handler.handle_batch).run():
        await wait_until(has_tried_often)
        handler.faulty_ids.clear()
        await wait_until(lambda: harness.has_handled(*events))

    assert await harness.has_dead_lettered(0)


async def test_beyond_twenty_events_the_partition_stands_still_and_the_others_go_on(harness: ConsumerHarness) -> None:
    harness.timings = ConsumerTimings(stalled_retry_seconds=0.2)
    later = timedelta(0)
    events, others = completed_sessions(MAX_HANDLING_FAILURES + 10), completed_sessions(5)
    handler = FaultyHandler(harness, events)
    client = harness.consumer(handler.handle_batch, batch_size=100, clock=lambda: now() + later)

    await _produce(harness, 0, b"poison", *map(encode, events))
    with capture_logs() as log_entries:
        async with client.run():
            await wait_until(lambda: is_true(harness.stalled_partitions() == 1))
            assert client.is_alive()
            assert not client.is_ready()
            await _produce(harness, 1, *map(encode, others))
            await wait_until(lambda: harness.has_handled(*others))
            later = 2 * HANDLING_FAILURE_PERIOD
            calls = handler.calls

            async def has_tried_again() -> bool:
                return handler.calls > calls + 10

            await wait_until(has_tried_again)
            assert await harness.has_dead_lettered(MAX_HANDLING_FAILURES + 1), "it is not moved there slowly either"
            assert not client.is_ready()

            handler.faulty_ids.clear()
            await wait_until(lambda: harness.has_handled(*events[MAX_HANDLING_FAILURES:]))
            await wait_until(lambda: is_ready(client))
    assert len([line for line in log_entries if line["event"] == "Partition stalled"]) == 1
    assert not await harness.has_handled(events[0])
    assert harness.stalled_partitions() == 0


async def _produce(harness: ConsumerHarness, partition: int, *values: bytes) -> None:
    await harness.producer.send([Message(harness.topic.name, b"a key", value, partition=partition) for value in values])
