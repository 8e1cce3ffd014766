"""What people can do about messages that nobody could read: see them, and send them back once the cause is fixed."""

import asyncio
import json
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.errors import Cause
from shared.events.cloudevents import encode
from shared.events.topics import HEARD_BY, dead_letters
from shared.kafka import client
from shared.kafka.dead_letters import commands, topic
from shared.kafka.dead_letters.record import REDRIVEN_FROM
from shared.kafka.producer import Message
from shared.runtime.commands import arguments
from tests.support.harness import Room, sessions
from tests.support.kafka_reader import records
from tests.support.serving import until

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbooks" / "dead-letters.md"
LONG_BEFORE = timedelta(days=3650)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)
        return found


Ask = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture(autouse=True)
def counts_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "COUNT_EVERY", 0.2)


@pytest.fixture
def ask(room: Room, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs `dead-letters` with the letters of the room."""

    async def ask(*given: str, servers: str = room.servers) -> Ended:
        args = arguments("test", commands.offer, given=["dead-letters", *given])
        capsys.readouterr()  # what was said before is not the command's
        code: int = await asyncio.to_thread(commands.run, args, servers, room.group)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return ask


async def are_set_aside(room: Room, count: int) -> None:
    """Let the consumer of the room set aside until it has set aside so many."""

    async def done() -> bool:
        return len(await topic.letters_of(room.servers, room.group)) == count

    async with room.consumer(room.take).running():
        await until(done)


def origin(room: Room, offset: int, partition: int) -> str:
    return f"{room.topic.name}/{partition}/{offset}"


async def partition_of(room: Room) -> int:
    """Where everything that was put in the room lies."""
    found: set[int] = {record.partition for record in await records(room.servers, room.topic)}
    (partition,) = found
    return partition


async def test_where_nothing_was_set_aside_the_list_says_so(ask: Ask) -> None:
    assert await ask() == Ended(0, "no dead letters\n", "")
    assert await ask("list", "--json") == Ended(0, "[]\n", "")
    assert await ask("redrive", "--all") == Ended(0, "nothing to do\n", "")


async def test_the_list_says_of_each_where_it_came_from_why_and_since_when_the_latest_last(
    room: Room, ask: Ask
) -> None:
    invalid = encode(sessions(1)[0]).replace(b'"minutes":', b'"hours":')
    await room.put(b"{not json", invalid)
    await are_set_aside(room, 2)
    await room.put(b"\x1b[31mred")
    await are_set_aside(room, 3)
    partition = await partition_of(room)

    listed = await ask()

    lines = listed.out.splitlines()
    assert [line.split()[:2] for line in lines[:1]] == [["AGE", "CAUSE"]]
    assert [line.split()[2] for line in lines[1:4]] == ["not_json", "schema", "not_json"]
    assert [origin(room, offset, partition) in line for offset, line in enumerate(lines[1:4])] == [True] * 3
    assert lines[4] == "3 dead letters: 2 not_json, 1 schema"
    first, second, third = (await ask("list", "--json")).letters
    assert (first["cause"], first["why"], first["bytes"]) == ("not_json", "message: is not JSON", 9)
    assert (second["cause"], second["why"]) == ("schema", "minutes: Field required")
    assert first["set_aside_at"] <= second["set_aside_at"] < third["set_aside_at"]
    assert 0 <= third["age_seconds"] < 60
    assert (third["settled"], third["back_from"]) == (None, None)


async def test_a_letter_is_shown_to_the_byte_and_harmlessly(room: Room, ask: Ask) -> None:
    await room.put("\x1b]0;grüß\\gott\n\0".encode() + b"\xff", headers=[("trace", b"\xfe"), ("nothing", None)])
    await are_set_aside(room, 1)

    result = await ask("show", origin(room, 0, await partition_of(room)))

    assert result.code == 0
    assert "may hold what people said" in result.err
    *_, key, trace, nothing, size, message = result.out.splitlines()
    assert key.split() == ["key", "one", "key"]
    assert trace.split() == ["header", "trace:", r"\xfe"]
    assert nothing.split() == ["header", "nothing:", "none"]
    assert size.split() == ["message", "18", "bytes"]
    assert message == r"\x1b]0;grüß\\gott\n\x00\xff"


async def test_what_is_redriven_once_its_cause_is_fixed_is_taken_and_open_no_more(room: Room, ask: Ask) -> None:
    """Here the clock of the consumer was wrong, so that what it heard had yet to happen."""
    (event,) = sessions(1)
    await room.put(encode(event), headers=[("trace", b"\xff\xfe"), ("nothing", None)])
    async with room.consumer(room.take, clock=lambda: event.occurred_at - LONG_BEFORE).running():
        await until(lambda: _are_open(room, future=1))
    assert room.taken == []

    redriven = await ask("redrive", "--all")

    origin_text = origin(room, 0, await partition_of(room))
    assert redriven == Ended(0, f"redriven {origin_text}\n1 done\n", "")
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(event))
        await until(lambda: _are_open(room))
    assert (await ask()).out == "no dead letters\n"
    (dead_letter,) = (await ask("list", "--all", "--json")).letters
    assert (dead_letter["origin"], dead_letter["settled"]) == (origin_text, "redriven")
    original, copy = await records(room.servers, room.topic)
    assert (copy.key, copy.value, copy.partition) == (original.key, original.value, original.partition)
    assert copy.headers == (*original.headers, (REDRIVEN_FROM, origin_text.encode()))


async def test_what_was_redriven_is_redriven_again_only_when_that_is_asked_for(room: Room, ask: Ask) -> None:
    await room.put(b"poison")
    await are_set_aside(room, 1)
    origin_text = origin(room, 0, await partition_of(room))
    await ask("redrive", origin_text)

    repeated = await ask("redrive", origin_text)
    assert repeated.code == 0
    assert repeated.out.startswith(f"{origin_text} is settled: redriven at ")
    assert repeated.out.endswith("\nnothing to do\n")
    assert await ask("redrive", "--all") == Ended(0, "nothing to do\n", "")
    assert len(await records(room.servers, room.topic)) == 2

    assert (await ask("redrive", "--again", origin_text)).out == f"redriven {origin_text}\n1 done\n"
    assert len(await records(room.servers, room.topic)) == 3


async def test_what_still_cannot_be_read_comes_back_and_names_where_it_lay_first(room: Room, ask: Ask) -> None:
    await room.put(b"poison")
    await are_set_aside(room, 1)
    partition = await partition_of(room)

    for offset in (0, 1):
        assert (await ask("redrive", origin(room, offset, partition))).code == 0
        await are_set_aside(room, offset + 2)
        (open_dead_letter,) = (await ask("list", "--json")).letters
        assert (open_dead_letter["origin"], open_dead_letter["back_from"]) == (
            origin(room, offset + 1, partition),
            origin(room, 0, partition),
        )

    assert f"(back from {origin(room, 0, partition)})" in (await ask()).out


async def test_who_dies_between_sending_and_noting_it_leaves_a_letter_that_is_redriven_again(
    room: Room, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event,) = sessions(1)
    await room.put(encode(event))
    async with room.consumer(room.take, clock=lambda: event.occurred_at - LONG_BEFORE).running():
        await until(lambda: _are_open(room, future=1))

    def dies(*_: object) -> Message:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(topic, "settled", dies)
        assert (await ask("redrive", "--all")).code == 130
    assert len((await ask("list", "--json")).letters) == 1
    assert (await ask("redrive", "--all")).code == 0

    later = sessions(1)
    await room.put(encode(later[0]))
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(event, *later))
    assert set(room.taken) == {event.id, later[0].id}, "told twice under one id, which every consumer takes once"
    assert (await ask()).out == "no dead letters\n"


async def test_what_nobody_wants_is_closed_and_open_no_more(room: Room, ask: Ask) -> None:
    await room.put(b"a stranger's", b"{}")
    await are_set_aside(room, 2)
    partition = await partition_of(room)

    assert await ask("close", origin(room, 0, partition)) == Ended(
        0, f"closed {origin(room, 0, partition)}\n1 done\n", ""
    )

    (open_dead_letter,) = (await ask("list", "--json")).letters
    assert open_dead_letter["origin"] == origin(room, 1, partition)
    assert "closed 0 s ago" in (await ask("list", "--all")).out
    assert len(await records(room.servers, room.topic)) == 2, "nothing was sent"
    assert (await ask("redrive", "--again", origin(room, 0, partition))).code == 0, "one may think better of it"


async def test_of_all_those_of_one_cause_can_be_redriven(room: Room, ask: Ask) -> None:
    await room.put(b"{not json", b"{}", b"[]")
    await are_set_aside(room, 3)
    partition = await partition_of(room)

    redriven = await ask("redrive", "--all", "--cause", "no_event")

    assert redriven.out.splitlines() == [f"redriven {origin(room, offset, partition)}" for offset in (1, 2)] + [
        "2 done"
    ]
    assert [dead_letter["cause"] for dead_letter in (await ask("list", "--json")).letters] == ["not_json"]


async def test_what_was_too_large_for_its_letter_is_fetched_from_where_it_lies(room: Room, ask: Ask) -> None:
    value, headers = b"x" * 3_000_000, [("trace", b"\xff"), ("nothing", None)]
    async with AIOKafkaProducer(
        bootstrap_servers=room.servers, compression_type="gzip", max_request_size=4_000_000
    ) as large:
        await large.send_and_wait(room.topic.name, value, key=b"large", headers=headers)
    await are_set_aside(room, 1)
    origin_text = origin(room, 0, await partition_of(room))

    (listed,) = (await ask("list", "--json")).letters
    assert (listed["origin"], listed["cause"]) == (origin_text, "too_large")
    assert listed["bytes"] > len(value)
    assert (await ask("show", origin_text)).out.endswith(value.decode() + "\n")
    assert (await ask("redrive", origin_text)).out == f"redriven {origin_text}\n1 done\n"

    original, copy = await records(room.servers, room.topic)
    assert (copy.key, copy.value, copy.headers[:2]) == (b"large", value, original.headers)


async def test_what_was_too_large_and_lies_there_no_more_is_said_and_the_rest_goes_on(room: Room, ask: Ask) -> None:
    async with AIOKafkaProducer(bootstrap_servers=room.servers, compression_type="gzip") as large:
        await large.send_and_wait(room.topic.name, b"x" * 1_000_000, key=b"one key")
    await room.put(b"poison")
    await are_set_aside(room, 2)
    partition = await partition_of(room)
    admin = AIOKafkaAdminClient(bootstrap_servers=room.servers)
    await admin.start()
    await admin.delete_records({TopicPartition(room.topic.name, partition): RecordsToDelete(before_offset=1)})
    await admin.close()

    redriven = await ask("redrive", "--all")

    assert (redriven.code, redriven.out) == (1, f"redriven {origin(room, 1, partition)}\n1 done\n")
    assert redriven.err == (
        f"dead-letters: {origin(room, 0, partition)} does not lie there any more, and was too large for its letter\n"
    )


async def test_a_message_without_key_and_value_holds_nobody_up(room: Room, ask: Ask) -> None:
    """aiokafka refuses to send one, so its letter has to have something in it."""
    (event,) = sessions(1)
    async with AIOKafkaProducer(bootstrap_servers=room.servers) as producer:
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await producer.send_batch(batch, room.topic.name, partition=0)
    await room.producer.send([Message(room.topic.name, None, b"x" * 1_000_000, partition=0)])
    await room.producer.send([Message(room.topic.name, None, encode(event), partition=0)])
    async with room.consumer(room.take).running():
        await until(lambda: room.has_taken(event))
        await until(lambda: _are_open(room, empty=1, too_large=1))

    assert (await ask("redrive", "--all")).code == 0


async def test_what_is_no_letter_of_ours_does_no_harm(room: Room, ask: Ask) -> None:
    topic_name = dead_letters(room.group).name
    await room.producer.send(
        [
            Message(topic_name, None, b""),
            Message(topic_name, b"key", b"value", [("attune-origin", b"nowhere"), ("attune-set-aside-at", b"never")]),
            Message(topic_name, b"\xff", b"value", [("attune-settled", b"redriven"), ("attune-settled-at", b"never")]),
        ]
    )
    await room.put(b"poison")
    await are_set_aside(room, 1)

    assert len((await ask("list", "--json")).letters) == 1


@pytest.mark.parametrize(
    "given",
    [
        ["show", "clinic.feedback"],
        ["show", "clinic.feedback/0/last"],
        ["redrive"],
        ["redrive", "--all", "clinic.feedback/0/1"],
        ["redrive", "--cause", "schema", "clinic.feedback/0/1"],
    ],
)
async def test_what_is_asked_wrongly_is_refused(ask: Ask, given: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        await ask(*given)
    assert raised.value.code == 2


async def test_an_origin_from_which_nothing_was_set_aside_is_said_and_nothing_is_sent(room: Room, ask: Ask) -> None:
    await room.put(b"poison")
    await are_set_aside(room, 1)
    known = origin(room, 0, await partition_of(room))

    for argv in (["show", "clinic.x/0/1"], ["redrive", known, "clinic.x/0/1"]):
        assert await ask(*argv) == Ended(1, "", f"dead-letters: {room.group} set nothing aside from clinic.x/0/1\n")
    assert len(await records(room.servers, room.topic)) == 1


@pytest.mark.parametrize("given", [["list"], ["show", "clinic.x/0/1"], ["redrive", "--all"]])
async def test_when_kafka_does_not_answer_one_line_says_so(ask: Ask, given: list[str]) -> None:
    result = await ask(*given, servers="127.0.0.1:1")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("dead-letters: Kafka at 127.0.0.1:1: ")
    assert result.err.count("\n") == 1


async def test_without_its_topic_one_line_says_what_to_do(
    kafka_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = arguments("test", commands.offer, given=["dead-letters"])

    assert await asyncio.to_thread(commands.run, args, kafka_servers, "nobody") == 1

    assert "create it: python -m deploy.jobs.topics" in capsys.readouterr().err


async def test_metrics_say_what_was_set_aside_and_how_much_of_it_is_open(room: Room, ask: Ask) -> None:
    await room.put(b"{not json", b"{}")

    async with room.consumer(room.take).running():
        assert _counted(room, "no_event") == 0, "from the start on, so that the first one is seen as a rise"
        await until(lambda: _are_open(room, not_json=1, no_event=1))
        assert (_counted(room, "not_json"), _counted(room, "no_event"), _counted(room, "schema")) == (1, 1, 0)
    await ask("redrive", origin(room, 0, await partition_of(room)))
    async with room.consumer(room.take).running():  # another process, which counts from the beginning
        await until(lambda: _are_open(room, not_json=1, no_event=1))  # it is back, and cannot be read still
        assert (_counted(room, "not_json"), _counted(room, "no_event")) == (1, 0)


async def test_every_command_in_the_runbook_does_what_it_says(room: Room, ask: Ask) -> None:
    runbook = RUNBOOK.read_text(encoding="utf-8")
    commands_in_runbook = re.findall(r"python -m services\.\w+ dead-letters(.*)$", runbook, re.MULTILINE)
    assert len(commands_in_runbook) >= 5
    await room.put(b"{}")
    await are_set_aside(room, 1)
    origin_text = origin(room, 0, await partition_of(room))

    for arguments_text in commands_in_runbook:
        assert (await ask(*shlex.split(arguments_text.replace("ORIGIN", origin_text)))).code == 0
    assert all(f"`{cause}`" in runbook for cause in get_args(Cause))


@pytest.mark.parametrize("service", HEARD_BY)
async def test_every_service_that_hears_offers_it(service: str, kafka_servers: str) -> None:
    result = await _process(service, kafka_servers, "dead-letters", "list", "--json")

    assert (result.code, result.err) == (0, "")
    assert isinstance(result.letters, list)


@pytest.mark.parametrize("service", [*HEARD_BY, "intake"])
async def test_a_command_that_there_is_not_is_refused(service: str) -> None:
    result = await _process(service, "127.0.0.1:1", "dead-leters")

    assert (result.code, result.out) == (2, "")
    assert "invalid choice: 'dead-leters'" in result.err


async def _process(service: str, servers: str, *given: str) -> Ended:
    environment = {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "MONGODB_URI": "mongodb://127.0.0.1:1",  # nobody: it is not needed
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", *given, env=environment, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def _counted(room: Room, cause: str) -> float | None:
    labels = {"topic": room.topic.name, "cause": cause}
    return room.registry.get_sample_value("attune_dead_letters_total", labels)


async def _are_open(room: Room, **by_cause: int) -> bool:
    """As the latest consumer's metrics have it."""
    causes = get_args(Cause)
    counts = {c: room.registry.get_sample_value("attune_dead_letters_open", {"cause": c}) for c in causes}
    return counts == {c: by_cause.get(c, 0) for c in counts}
