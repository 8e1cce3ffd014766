"""What consuming promises when things break, each on a real broker."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import kafka
from deploy.local.ports import free_ports
from shared.errors import StoreUnavailable
from shared.events import Event
from shared.events.cloudevents import encode
from shared.kafka import Kafka
from shared.kafka.consumer import UNREADABLE_IN_A_ROW
from shared.kafka.dead_letters import ERROR, LEFT_OUT, ORIGIN
from shared.kafka.producer import Producer
from shared.kafka.topics import TopicSettings
from shared.kafka.topics import create as create_topics
from shared.topics import SESSIONS, Topic, dead_letters
from tests.integration.kafka_reader import records
from tests.integration.shared.room import Room, sessions
from tests.running import until


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
    events, strayed = sessions(3), False

    async def strays_once(batch: Sequence[Event]) -> None:
        nonlocal strayed
        if not strayed:
            strayed = True
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

    (letter,) = await records(room.servers, dead_letters(room.group))
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"one key", b"poison")
    assert headers[ERROR] == b"message: is not JSON"
    assert headers[ORIGIN].decode().endswith("/5")


async def test_a_message_as_large_as_kafka_takes_holds_nobody_up(room: Room) -> None:
    """With our headers its letter would be larger than Kafka takes; its bytes stay at the origin."""
    large = AIOKafkaProducer(bootstrap_servers=room.servers, compression_type="gzip", max_request_size=4_000_000)
    await large.start()
    await large.send_and_wait(room.topic.name, b"x" * 3_000_000, key=b"large")
    await large.send_and_wait(room.topic.name, b"y" * 1_048_400, key=b"nearly as large")
    await large.stop()
    events = sessions(1)
    await room.put(*map(encode, events))

    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(*events))

    letters = await records(room.servers, dead_letters(room.group))
    assert {letter.key: letter.value for letter in letters} == {b"large": None, b"nearly as large": None}
    for letter in letters:
        assert "SHA-256" in dict(letter.headers)[LEFT_OUT].decode()


async def test_readiness_knows_that_kafka_is_away_and_back(tmp_path: Path) -> None:
    """Killed, not asked to end; nothing that was told before or after is missed."""
    with kafka.server(tmp_path, *free_ports(2)) as broker:
        await create_topics(TopicSettings(kafka_bootstrap_servers=broker.address, kafka_partitions=1))
        producer = Producer(broker.address, "test")
        await producer.start()
        here = Room(broker.address, producer, SESSIONS, "alliance")
        first, second = sessions(2)
        client = here.consumer(here.take)
        async with client.running():
            await until(lambda: _is_ready(client))
            await here.put(encode(first))
            await until(lambda: here.has_taken(first))
            broker.kill()
            await until(lambda: _is_not_ready(client))
            assert client.alive()
            await asyncio.to_thread(broker.start)
            await until(lambda: _is_ready(client), within=60)
            await here.put(encode(second))
            await until(lambda: here.has_taken(first, second))
        await producer.stop()


async def test_when_nothing_can_be_read_consuming_stops_and_liveness_says_so(room: Room) -> None:
    await room.put(*[b"poison"] * (UNREADABLE_IN_A_ROW + 1))
    client = room.consumer(room.take, batch_size=50)

    async with client.running():
        await until(lambda: _is_dead(client))

    letters = await records(room.servers, dead_letters(room.group))
    assert len(letters) <= UNREADABLE_IN_A_ROW


async def test_who_leaves_finishes_and_commits_what_is_in_hand(room: Room) -> None:
    """Asked to end in the middle of a batch: the batch is finished, and the next one to come does not begin it."""
    events = sessions(4)
    begun, may_finish = asyncio.Event(), asyncio.Event()

    async def slowly(batch: Sequence[Event]) -> None:
        begun.set()
        await may_finish.wait()
        await room.take(batch)

    await room.put(*map(encode, events))
    async with AsyncExitStack() as first:
        await first.enter_async_context(room.consumer(slowly).running())
        await begun.wait()
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
    begun, may_finish = asyncio.Event(), asyncio.Event()

    async def slowly(batch: Sequence[Event]) -> None:
        begun.set()
        await may_finish.wait()
        await room.take(batch)

    await room.put(*map(encode, events))
    async with AsyncExitStack() as members:
        await members.enter_async_context(room.consumer(slowly).running())
        await begun.wait()
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
    room = Room(kafka_servers, producer, topic, group)
    client = room.consumer(room.take)
    async with client.running():
        assert client.alive()
        assert not client.ready()
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
        await admin.start()
        await admin.create_topics([NewTopic(t.name, 1, 1) for t in (topic, dead_letters(group))])
        await admin.close()
        await until(lambda: _is_ready(client))
        (event,) = sessions(1)
        await room.put(encode(event))
        await until(lambda: room.has_taken(event))
    await producer.stop()


async def _is_dead(client: Kafka) -> bool:
    return not client.alive()


async def _is_not_ready(client: Kafka) -> bool:
    return not client.ready()


async def _is_ready(client: Kafka) -> bool:
    return client.ready()
