"""What consuming promises when things break, each on a real broker."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from shared.errors import StoreUnavailable
from shared.events import Event, SessionCompleted
from shared.events.cloudevents import encode
from shared.events.topics import SESSIONS, Topic, dead_letters
from shared.kafka import Kafka, consumer
from shared.kafka.consumer import UNREADABLE_IN_A_ROW
from shared.kafka.dead_letters.record import ERROR, LEFT_OUT, ORIGIN
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Message, Producer
from shared.runtime.backoff import backoff
from shared.runtime.clock import now
from tests.support.harness import Room, create_test_topics, sessions
from tests.support.kafka_reader import records
from tests.support.serving import until
from tests.system.support.poison import plant_unreadable
from tools.sandbox.servers import kafka
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports

SHORTEST_SESSION_MS = 6_000  # Kafka grants none that is shorter


async def test_a_batch_that_fails_is_tried_again_in_order_until_it_is_done(room: Room) -> None:
    events, tries = sessions(6), 0

    async def fails_at_first(batch: Sequence[Event]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise StoreUnavailable("away")
        await room.take(batch)

    await room.put(*map(encode, events))
    async with room.consumer(fails_at_first).running():
        await until(lambda: room.has_taken(*events))

    assert room.taken == [event.id for event in events]
    assert tries > 3


async def test_one_of_several_servers_is_enough_to_begin_with(room: Room) -> None:
    events = sessions(1)
    room.servers = f"127.0.0.1:{free_ports(1)[0]},{room.servers}"

    await room.put(*map(encode, events))
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events))


async def test_even_a_bug_loses_nothing(room: Room) -> None:
    events, broken, tries = sessions(3), True, 0

    async def has_a_bug(batch: Sequence[Event]) -> None:
        nonlocal tries
        tries += 1
        if broken:
            raise ZeroDivisionError
        await room.take(batch)

    async def tried_thrice() -> bool:
        return tries >= 3

    await room.put(*map(encode, events))
    async with room.consumer(has_a_bug).running():
        await until(tried_thrice)
    broken = False
    async with room.consumer(has_a_bug).running():  # the bug is mended, the service started again
        await until(lambda: room.has_taken(*events))


async def test_a_header_that_is_no_text_harms_nobody(room: Room) -> None:
    events = sessions(3)
    await room.put(encode(events[0]))
    await room.put(encode(events[1]), headers=[("trace", b"\xff\xfe\xfd")])
    await room.put(encode(events[2]))

    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events))


async def test_a_cancellation_that_nobody_asked_for_does_not_end_the_consumer(room: Room) -> None:
    events, has_cancelled = sessions(3), False

    async def strays_once(batch: Sequence[Event]) -> None:
        nonlocal has_cancelled
        if not has_cancelled:
            has_cancelled = True
            raise asyncio.CancelledError
        await room.take(batch)

    await room.put(*map(encode, events))
    client = room.consumer(strays_once)
    async with client.running():
        await until(lambda: room.has_taken(*events))
        assert client.alive()


async def test_the_unreadable_last_of_a_batch_is_set_aside_and_the_rest_is_taken(room: Room) -> None:
    events = sessions(5)
    await room.put(*map(encode, events), b"poison")

    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events))

    (dead_letter,) = await records(room.servers, dead_letters(room.group))
    headers = dict(dead_letter.headers)
    assert (dead_letter.key, dead_letter.value) == (b"one key", b"poison")
    assert headers[ERROR] == b"message: is not JSON"
    assert headers[ORIGIN].decode().endswith("/5")


async def test_a_message_as_large_as_kafka_takes_holds_nobody_up(room: Room) -> None:
    """With our headers its letter would be larger than Kafka takes; its bytes stay at the origin."""
    producer = AIOKafkaProducer(bootstrap_servers=room.servers, compression_type="gzip", max_request_size=4_000_000)
    await producer.start()
    await producer.send_and_wait(room.topic.name, b"x" * 3_000_000, key=b"large")
    await producer.send_and_wait(room.topic.name, b"y" * 1_048_400, key=b"nearly as large")
    await producer.stop()
    events = sessions(1)
    await room.put(*map(encode, events))

    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events))

    dead_letter_records = await records(room.servers, dead_letters(room.group))
    assert {record.key: record.value for record in dead_letter_records} == {b"large": None, b"nearly as large": None}
    for record in dead_letter_records:
        assert "SHA-256" in dict(record.headers)[LEFT_OUT].decode()


async def test_readiness_knows_that_kafka_is_away_and_back(tmp_path: Path) -> None:
    """Killed, not asked to end; nothing that was told before or after is missed."""
    with kafka.server(tmp_path, *free_ports(2)) as broker:
        create_topics(broker.address, 1)
        producer = Producer(broker.address, "test")
        await producer.start()
        harness = Room(broker.address, producer, SESSIONS, "alliance")
        first, second = sessions(2)
        client = harness.consumer(harness.take)
        async with client.running():
            await until(lambda: _is_ready(client))
            await harness.put(encode(first))
            await until(lambda: harness.has_taken(first))
            broker.kill()
            await until(lambda: _is_not_ready(client))
            assert client.alive()
            await asyncio.to_thread(broker.start)
            await until(lambda: _is_ready(client), within=60)
            await harness.put(encode(second))
            await until(lambda: harness.has_taken(first, second))
        await producer.stop()


async def test_when_nothing_can_be_read_consuming_stops_and_liveness_says_so(room: Room) -> None:
    await room.put(*[b"poison"] * (UNREADABLE_IN_A_ROW + 1))
    client = room.consumer(room.take, batch_size=50)

    async with client.running():
        await until(lambda: _is_dead(client))

    dead_letter_records = await records(room.servers, dead_letters(room.group))
    assert len(dead_letter_records) <= UNREADABLE_IN_A_ROW


async def test_who_leaves_finishes_and_commits_what_is_in_hand(room: Room) -> None:
    """Asked to end in the middle of a batch: the batch is finished, and the next one to come does not begin it."""
    events = sessions(4)
    has_started, may_finish = asyncio.Event(), asyncio.Event()

    async def slowly(batch: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await room.take(batch)

    await room.put(*map(encode, events))
    async with AsyncExitStack() as first:
        await first.enter_async_context(room.consumer(slowly).running())
        await has_started.wait()
        asyncio.get_running_loop().call_later(0.3, may_finish.set)  # while it is already leaving
    assert room.taken == [event.id for event in events]

    later = sessions(1)
    await room.put(encode(later[0]))
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*later))
    assert len(room.taken) == len(events) + 1


async def test_a_partition_changes_hands_only_when_its_batch_is_done(room: Room) -> None:
    """A second member joins in the middle of a batch: it hears nothing of that batch, since it was committed first."""
    events = sessions(4)
    has_started, may_finish = asyncio.Event(), asyncio.Event()

    async def slowly(batch: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await room.take(batch)

    await room.put(*map(encode, events))
    async with AsyncExitStack() as members:
        await members.enter_async_context(room.consumer(slowly).running())
        await has_started.wait()
        second = room.consumer(room.take)
        await members.enter_async_context(second.running())
        asyncio.get_running_loop().call_later(4, may_finish.set)  # after a heartbeat: the first one knows of the second
        await until(lambda: _is_ready(second))
        await until(lambda: room.has_taken(*events))
    assert sorted(room.taken) == sorted(event.id for event in events)


async def test_without_topics_it_waits_and_takes_part_once_they_are_there(kafka_servers: str) -> None:
    group = f"test-{uuid4().hex}"
    topic = Topic(f"test.{group}", "test")
    producer = Producer(kafka_servers, "test")
    await producer.start()
    harness = Room(kafka_servers, producer, topic, group)
    client = harness.consumer(harness.take)
    async with client.running():
        assert client.alive()
        assert not client.ready()
        await create_test_topics(kafka_servers, topic, dead_letters(group), partitions=1)
        await until(lambda: _is_ready(client))
        (event,) = sessions(1)
        await harness.put(encode(event))
        await until(lambda: harness.has_taken(event))
    await producer.stop()


async def test_a_handler_may_take_longer_than_the_session(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats go on beside it: the batch is taken once, and committed."""
    monkeypatch.setattr(consumer, "SESSION_TIMEOUT_MS", SHORTEST_SESSION_MS)
    monkeypatch.setattr(consumer, "HEARTBEAT_MS", 1_000)
    events = sessions(3)

    async def takes_long(batch: Sequence[Event]) -> None:
        await asyncio.sleep(SHORTEST_SESSION_MS / 1000 + 2)
        await room.take(batch)

    await room.put(*map(encode, events))
    async with room.consumer(takes_long).running():
        await until(lambda: room.has_taken(*events))
    later = sessions(1)
    await room.put(encode(later[0]))
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*later))

    assert room.taken == [event.id for event in (*events, *later)]


async def test_who_blocks_the_whole_process_for_longer_than_the_session_goes_on_afterwards(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that sleeps, or whose machine does: the group went on without it, and it comes back by itself."""
    monkeypatch.setattr(consumer, "SESSION_TIMEOUT_MS", SHORTEST_SESSION_MS)
    monkeypatch.setattr(consumer, "HEARTBEAT_MS", 1_000)
    events, has_blocked = sessions(4), False

    async def sleeps_once(batch: Sequence[Event]) -> None:
        nonlocal has_blocked
        if not has_blocked:
            has_blocked = True
            time.sleep(SHORTEST_SESSION_MS / 1000 + 2)  # noqa: ASYNC251 - blocking is what this is about
        await room.take(batch)

    await room.put(*map(encode, events[:3]))
    client = room.consumer(sleeps_once)
    async with client.running():
        await until(lambda: room.has_taken(*events[:3]))
        await room.put(encode(events[3]))
        await until(lambda: room.has_taken(*events))
        await until(lambda: _is_ready(client))


async def test_a_batch_that_hangs_for_far_too_long_turns_liveness_red(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "MOST_BETWEEN_POLLS_MS", 2_000)
    may_finish, events = asyncio.Event(), sessions(1)

    async def hangs_for_good(_: Sequence[Event]) -> None:
        await may_finish.wait()

    client = room.consumer(hangs_for_good)
    async with client.running():
        await until(lambda: _is_ready(client))
        assert client.alive()
        await room.put(encode(events[0]))
        await until(lambda: _is_dead(client))
        may_finish.set()


async def test_a_batch_that_waits_for_the_database_leaves_liveness_green(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is away: only what hangs without a word is dead. An idle consumer lives as well."""
    monkeypatch.setattr(consumer, "MOST_BETWEEN_POLLS_MS", 2_000)
    monkeypatch.setattr(consumer, "backoff", partial(backoff, 0.2))
    back_at, (event,) = time.monotonic() + 5, sessions(1)

    async def is_away(batch: Sequence[Event]) -> None:
        if time.monotonic() < back_at:
            raise StoreUnavailable("away")
        await room.take(batch)

    client = room.consumer(is_away)

    async def lives_until(condition: Callable[[], bool]) -> bool:
        assert client.alive()
        return condition()

    await room.put(encode(event))
    async with client.running():
        await until(lambda: lives_until(lambda: bool(room.taken)))
        idle_since = time.monotonic()
        await until(lambda: lives_until(lambda: time.monotonic() > idle_since + 3))


async def test_what_cannot_be_committed_is_an_error_and_comes_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes longer than the group waits loses its partitions to another member, and says so."""
    monkeypatch.setattr(consumer, "MOST_BETWEEN_POLLS_MS", 2_000)
    monkeypatch.setattr(consumer, "HEARTBEAT_MS", 500)
    events, has_started, may_finish = sessions(3), asyncio.Event(), asyncio.Event()

    async def takes_too_long(batch: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await room.take(batch)

    await room.put(*map(encode, events))
    async with AsyncExitStack() as members:
        slow_member = room.consumer(takes_too_long)
        slow_registry = room.registry
        await members.enter_async_context(slow_member.running())
        await has_started.wait()
        await members.enter_async_context(room.consumer(room.take).running())
        await until(lambda: room.has_taken(*events))
        may_finish.set()

        async def failed_to_commit() -> bool:
            labels = {"error": "CommitFailedError"}
            return (slow_registry.get_sample_value("attune_batch_retries_total", labels) or 0) >= 1

        await until(failed_to_commit)
        await until(lambda: _is(slow_member.alive() and slow_member.ready()))
        later = [sessions(1)[0] for _ in range(4)]
        await room.producer.send(
            [Message(room.topic.name, None, encode(event), partition=n % 2) for n, event in enumerate(later)]
        )
        await until(lambda: room.has_taken(*later))


async def test_who_is_not_done_in_time_is_ended_and_its_batch_comes_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "DRAIN_SECONDS", 1.0)
    events, has_started = sessions(3), asyncio.Event()

    async def never_ends(_: Sequence[Event]) -> None:
        has_started.set()
        await asyncio.Event().wait()

    await room.put(*map(encode, events))
    async with asyncio.timeout(20):
        async with room.consumer(never_ends).running():
            await has_started.wait()
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events))


async def test_tries_do_not_storm(room: Room) -> None:
    """Also not when the batch was given back and is tried from the beginning."""
    tries, started_at = 0, 0.0

    async def is_away(_: Sequence[Event]) -> None:
        nonlocal tries, started_at
        tries, started_at = tries + 1, started_at or time.monotonic()
        raise StoreUnavailable("away")

    await room.put(encode(sessions(1)[0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumer, "TRIES_SECONDS", 0.5)
        async with room.consumer(is_away).running():
            await until(lambda: _is(started_at and time.monotonic() > started_at + 3))
    assert 4 < tries < 60


async def test_a_batch_is_no_larger_than_asked_for_and_in_order(room: Room) -> None:
    events, sizes = [event for _ in range(10) for event in sessions(5)], []

    async def take(batch: Sequence[Event]) -> None:
        sizes.append(len(batch))
        await room.take(batch)

    await room.put(*map(encode, events))
    async with room.consumer(take, batch_size=7).running():
        await until(lambda: room.has_taken(*events))

    assert max(sizes) <= 7
    assert room.taken == [event.id for event in events]


async def test_events_of_one_key_are_told_in_order_on_one_partition(room: Room) -> None:
    keys = [f"key {n}".encode() for n in range(20)]
    sent = [(key, f"{n}".encode()) for n in range(30) for key in keys]

    await room.producer.send([Message(room.topic.name, key, value) for key, value in sent])

    all_records = await records(room.servers, room.topic)
    for key in keys:
        key_records = [record for record in all_records if record.key == key]
        assert len({record.partition for record in key_records}) == 1
        assert [record.value for record in key_records] == [value for k, value in sent if k == key]
    assert {record.partition for record in all_records} == {0, 1}, "keys are spread"


async def test_more_members_than_partitions_wait_their_turn_and_take_over(room: Room) -> None:
    first, second, spare = (room.consumer(room.take) for _ in range(3))
    async with AsyncExitStack() as members:
        for member in (second, spare):
            await members.enter_async_context(member.running())
        async with first.running():
            for member in (first, second, spare):
                await until(lambda member=member: _is_ready(member))  # type: ignore[misc]
        events = sessions(4)
        await room.producer.send(
            [Message(room.topic.name, None, encode(event), partition=n % 2) for n, event in enumerate(events)]
        )
        await until(lambda: room.has_taken(*events))
        assert second.alive()
        assert spare.alive()


async def test_one_member_has_the_same_partitions_of_all_topics(kafka_servers: str) -> None:
    """So that what is told of one relationship is heard by one member, whatever topic it is told on."""
    group = f"test-{uuid4().hex}"
    topics = [Topic(f"test.{group}.{n}", "test") for n in range(3)]
    await create_test_topics(kafka_servers, *topics, dead_letters(group), partitions=4)

    async def take(_: Sequence[Event]) -> None:
        pass

    members = [Kafka(kafka_servers, group, KafkaMetrics(CollectorRegistry()), now) for _ in range(2)]
    async with AsyncExitStack() as running:
        for member in members:
            member.hear(*topics, kinds=(SessionCompleted,), batch=take)
            await running.enter_async_context(member.running())

        async def shared_out() -> bool:
            return [len(_partitions(member)) for member in members] == [6, 6]

        await until(shared_out)
        for member in members:
            numbers = {topic.name: {p for t, p in _partitions(member) if t == topic.name} for topic in topics}
            assert len({frozenset(of_topic) for of_topic in numbers.values()}) == 1


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_whatever_a_sender_compresses_with_can_be_read(room: Room, codec: str) -> None:
    events = sessions(3)
    async with AIOKafkaProducer(bootstrap_servers=room.servers, compression_type=codec) as producer:
        for event in events:
            await producer.send_and_wait(room.topic.name, encode(event), key=b"one key")

    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events))


async def test_what_the_library_itself_cannot_read_stops_consuming_and_loses_nothing_else(room: Room) -> None:
    """A header whose name is no UTF-8: the record cannot be had at all, so that nobody could set it aside."""
    before, on_other_partition, after = sessions(3), sessions(4), sessions(2)
    has_started, may_finish = asyncio.Event(), asyncio.Event()

    async def take_slowly(events: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await room.take(events)

    await _put(room, 0, *on_other_partition[:1])
    client = room.consumer(take_slowly, batch_size=100)
    with capture_logs() as log_entries:
        async with client.running():
            await has_started.wait()
            # aiokafka has the next of partition 0 in hand when it comes upon the record
            await _put(room, 0, *on_other_partition[1:])
            await until(lambda: _is_fetched(client, room, 0))
            await _put(room, 1, *before)
            await plant_unreadable(room.servers, room.topic.name, 1)
            await _put(room, 1, *after)
            await until(lambda: _is_fetched(client, room, 1))
            may_finish.set()
            await until(lambda: _is_dead(client))

    assert await room.has_taken(*on_other_partition, *before)
    assert not await room.has_taken(after[0])
    assert [line["reason"] for line in log_entries if line["event"] == "consuming stopped"] == [
        f"the client cannot read the record at {room.topic.name}/1/3"
    ]

    await _move(room, 1, to=4)
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*after))
    assert len(room.taken) == len(set(room.taken)) == 9


async def test_what_a_process_that_was_killed_had_in_hand_is_taken_by_the_next(room: Room) -> None:
    events = sessions(3)
    await room.put(*map(encode, events))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.hanging_consumer", room.servers, room.topic.name, room.group),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert b"in hand" in await asyncio.wait_for(process.stdout.readuntil(b"in hand"), 30)
    finally:
        process.kill()
        await process.wait()

    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events), within=60)  # once the session of the killed one has ended


def _partitions(member: Kafka) -> set[tuple[str, int]]:
    subscribed = member._consumer._subscriber if member._consumer else None
    return set(subscribed.consumer.assignment()) if subscribed and subscribed.consumer else set()


async def _put(room: Room, partition: int, *events: Event) -> None:
    await room.producer.send([Message(room.topic.name, b"a key", encode(e), partition=partition) for e in events])


async def _is_fetched(client: Kafka, room: Room, partition: int) -> bool:
    assert client._consumer
    return TopicPartition(room.topic.name, partition) in client._consumer._subscriber.consumer._fetcher._records


async def _move(room: Room, partition: int, to: int) -> None:
    """As `kafka-consumer-groups --reset-offsets` does, while the group has no member."""
    topic_partition = TopicPartition(room.topic.name, partition)
    admin = AIOKafkaConsumer(bootstrap_servers=room.servers, group_id=room.group, enable_auto_commit=False)
    async with admin:
        admin.assign([topic_partition])
        await admin.commit({topic_partition: to})


async def _is(value: object) -> bool:
    return bool(value)


async def _is_dead(client: Kafka) -> bool:
    return not client.alive()


async def _is_not_ready(client: Kafka) -> bool:
    return not client.ready()


async def _is_ready(client: Kafka) -> bool:
    return client.ready()
