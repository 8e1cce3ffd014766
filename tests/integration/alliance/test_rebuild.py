"""Rebuilding and verifying as operators do it: processes on a recorded history, ended and started again at will."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import pytest
from prometheus_client import CollectorRegistry
from pymongo import MongoClient

from evaluation.events import facts_of
from evaluation.generator import ruptured
from evaluation.settings import load
from services.alliance.commands import arguments, run
from services.alliance.domain.fold import read_again
from services.alliance.domain.policy.policy import DEFAULT, Policies
from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.replay import replay
from services.alliance.handlers.dispositions import Judge
from services.alliance.handlers.projector import Hear
from services.alliance.metrics import Metrics
from services.alliance.rebuild.rebuild import HEARD, KINDS_HEARD
from services.alliance.settings import Settings
from services.alliance.store.mongo import Kept, MongoStore, as_document, as_kept
from shared.events import AlertResolved, AllianceUpdated, Event
from shared.events.topics import ALLIANCE, FEEDBACK
from shared.kafka.producer import Message, Producer
from shared.kafka.topic_reader import History
from shared.mongo.client import OUT_OF_DISK_SPACE, Document, Mongo
from shared.rebuild.job import Work
from tests.support.builders import BEGINNING, Told
from tests.support.kafka_reader import records, told
from tests.support.service_process import PARTITIONS, Place, ended, kafka_of_our_own, shares
from tests.support.serving import until
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

ORDINARY = next(place for place in load().places if place.name == "ordinal").reported
COUNT, WEEKS = 120, 16
FIRST_NEW, LAST_NEW = 20, 40
"""Weeks of facts that are told during a test; none of them lies in the future."""


@dataclass
class Recorded:
    """A Kafka with a history, and an alliance with a database of its own."""

    servers: str
    uri: str
    facts: dict[UUID, list[Fact]]
    database: str = field(default_factory=lambda: f"test_{uuid4().hex}")

    def __post_init__(self) -> None:
        self.mongo = Mongo(self.uri, self.database)
        process_runner = Place("alliance", self.servers, self.uri, self.database)
        self.start, self.command, self.serve = process_runner.start, process_runner.command, process_runner.serve
        self.take_in_everything = partial(process_runner.take_in_everything, *HEARD, kinds=KINDS_HEARD)
        self.store = MongoStore(self.mongo)

    async def hear(self, producer: Producer, *events: Event) -> None:
        """As the service does, and as it would tell."""
        metrics = Metrics(CollectorRegistry())
        await self.store.prepare()
        history_events = [event for event in events if not isinstance(event, AlertResolved)]
        await Hear(self.store, producer.tell, Policies(), metrics)(history_events)
        await Judge(self.store, Policies(), metrics)([event for event in events if isinstance(event, AlertResolved)])

    async def everything(self) -> dict[str, list[Document]]:
        """What is in the view; without the versions, which count writes."""
        return {
            name: [
                {key: value for key, value in document.items() if key != "v"}
                for document in await self.mongo[name].find().sort("_id", 1).to_list(None)
            ]
            for name in ("facts", "alliances", "judgements")
        }

    async def versions(self) -> dict[UUID, int]:
        return {
            document["_id"]: document["v"]
            for document in await self.mongo["alliances"].find({}, {"v": 1}).to_list(None)
        }

    async def is_the_fold_of(self, facts: Mapping[UUID, Sequence[Fact]]) -> bool:
        results = {
            document["_id"]: as_kept(document).read for document in await self.mongo["alliances"].find().to_list(None)
        }
        return all(results.get(r) == read_again(events, DEFAULT) for r, events in facts.items())


def history(count: int, weeks: int) -> dict[UUID, list[Fact]]:
    observations = ruptured(ORDINARY, count, weeks, seed=7).seen
    histories = (facts_of(observations, row, uuid5(UUID(int=7), f"relationship {row}")) for row in range(count))
    return {events[0].relationship_id: events for events in histories}


def resolved(facts: Sequence[Fact]) -> list[AlertResolved]:
    return [
        AlertResolved(
            id=uuid5(episode.episode, "resolved"),
            occurred_at=episode.at,
            relationship_id=episode.relationship,
            alert_id=uuid5(episode.episode, "alert"),
            episode_id=episode.episode,
            clinician_id=UUID(int=1),
            useful=True,
        )
        for episode in replay(
            [event for event in facts if event.occurred_at < BEGINNING + timedelta(weeks=FIRST_NEW - 1)], DEFAULT
        )
        if episode.interrupts
    ]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of our own: a rebuild reads all there is."""
    with kafka_of_our_own(tmp_path_factory.mktemp("kafka")) as servers:
        yield servers


@pytest.fixture(scope="module")
def facts(servers: str) -> dict[UUID, list[Fact]]:
    """What was told before the first test, alerts that were resolved among it, and messages nobody can read."""
    by_relationship = history(COUNT, WEEKS)

    async def tell() -> None:
        producer = Producer(servers, "test")
        await producer.start()
        try:
            await producer.tell(
                [event for events in by_relationship.values() for event in (*events, *resolved(events))]
            )
            await producer.send(
                [Message(FEEDBACK.name, str(r).encode(), b"not json") for r in list(by_relationship)[:9]]
            )
            await producer.send([Message(FEEDBACK.name, None, b"{}")])
        finally:
            await producer.stop()

    asyncio.run(tell())
    return by_relationship


@pytest.fixture
async def producer(servers: str) -> AsyncIterator[Producer]:
    producer = Producer(servers, "test")
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
async def lost(servers: str, mongodb_uri: str, facts: dict[UUID, list[Fact]]) -> AsyncIterator[Recorded]:
    """The database is empty."""
    recorded = Recorded(servers, mongodb_uri, facts)
    yield recorded
    await recorded.mongo.close()


@pytest.fixture
async def heard(lost: Recorded, producer: Producer) -> Recorded:
    """The database is as the service left it."""
    await lost.hear(producer, *(event for events in lost.facts.values() for event in (*events, *resolved(events))))
    return lost


async def damage(recorded: Recorded) -> dict[str, list[UUID]]:
    """Everything that can be wrong with a database, and where."""
    r = list(recorded.facts)
    alliances, stored_events = recorded.mongo["alliances"], recorded.mongo["facts"]
    await alliances.update_one({"_id": r[0]}, {"$set": {"state": "{"}})
    await alliances.update_one({"_id": r[1]}, {"$set": {"state": '{"sessions": 99}'}})
    await alliances.update_one({"_id": r[2]}, {"$set": {"concern": 7, "level": -1.0}})
    await alliances.update_one({"_id": r[3]}, {"$unset": {"v": ""}, "$set": {"state": "{}"}})
    await alliances.delete_one({"_id": r[4]})
    await stored_events.delete_many({"r": r[5]})
    await stored_events.delete_one({"_id": recorded.facts[r[6]][7].id})
    await stored_events.update_one({"_id": recorded.facts[r[7]][7].id}, {"$set": {"event": b"gone"}})
    await stored_events.update_one({"_id": recorded.facts[r[8]][7].id}, {"$set": {"r": r[9]}})
    await recorded.mongo["judgements"].delete_many({})
    return {"states": r[:5], "facts": r[5:10]}


async def test_a_damaged_view_is_afterwards_as_it_was_and_what_was_wrong_is_told_anew(heard: Recorded) -> None:
    before, versions = await heard.everything(), await heard.versions()
    damaged = await damage(heard)

    result = await heard.command("rebuild")

    assert result.code == 0, result
    assert await heard.everything() == before
    assert (result.counted("states put right"), result.counted("states put back")) == (4, 1)
    reported = result.named
    assert reported[str(damaged["states"][0])] == "unreadable"
    assert reported[str(damaged["states"][2])] == "concern, level"
    assert result.counted("facts put back") == len(heard.facts[damaged["facts"][0]]) + 2
    assert result.counted("facts put right") == 1
    assert result.counted("judgements put back") == len(before["judgements"])
    versions_after = await heard.versions()
    for r, version in versions.items():
        assert versions_after[r] == version + (r in damaged["states"])
    for r in damaged["states"]:
        assert versions_after[r] in [
            event.version for event in await told(heard.servers, ALLIANCE, r) if isinstance(event, AllianceUpdated)
        ]


async def test_rebuilding_what_is_as_it_ought_to_be_changes_and_tells_nothing(heard: Recorded) -> None:
    before, versions, published_before = await heard.everything(), await heard.versions(), await told_in_all(heard)

    result = await heard.command("rebuild")

    assert (result.code, [line for line in result.out.splitlines() if " put " in line or ": " in line]) == (0, [])
    assert (await heard.everything(), await heard.versions()) == (before, versions)
    assert await told_in_all(heard) == published_before
    lines = result.err.splitlines()
    assert lines[0].startswith("rebuild, read: [" + 30 * "." + "] 0 of ")
    assert lines[-1].startswith("rebuild, swap: [" + 30 * "#" + "] ")


async def test_an_empty_database_is_filled_again_and_versions_go_on_from_those_that_were_told(
    heard: Recorded, servers: str, mongodb_uri: str
) -> None:
    before, versions = await heard.everything(), await heard.versions()
    empty = Recorded(servers, mongodb_uri, heard.facts)

    result = await empty.command("rebuild")

    assert result.code == 0, result
    assert await empty.everything() == before
    versions_after = await empty.versions()
    assert [r for r in versions if versions_after[r] <= versions[r]] == []
    await empty.mongo.close()


async def test_killed_in_the_middle_of_either_stage_it_goes_on_when_it_is_started_again(lost: Recorded) -> None:
    """We hold a share at each stage, so that it comes no further however quick it is, until our lease has ended."""
    other_job = await taking_part(lost)
    assert await other_job.claim("read")
    running = await lost.start("rebuild")
    await until(lambda: some_are(lost, "swap"), within=120)
    running.kill()
    assert (await ended(running)).code == -signal.SIGKILL
    assert await other_job.claim("swap")
    running = await lost.start("rebuild")
    await until(lambda: some_are(lost, "done"), within=120)
    running.kill()
    assert (await ended(running)).code == -signal.SIGKILL
    assert await some_are(lost, "swap")

    result = await lost.command("rebuild")

    assert result.code == 0, result
    assert await lost.is_the_fold_of(lost.facts)
    assert await lost.mongo["alliances_rebuilt"].find_one() is None
    assert result.counted("facts read") == sum(map(len, lost.facts.values()))
    assert (await lost.command("rebuild")).counted("states put right") == 0


async def test_several_at_once_share_the_work_and_say_the_same_in_the_end(lost: Recorded) -> None:
    processes: list[Process] = []

    async def each_holds_a_share() -> bool:
        owners = await lost.mongo["rebuild_shares"].distinct("owner")
        return len(owners) == len(processes)

    for _ in range(3):
        processes.append(await lost.start("rebuild"))
        await until(each_holds_a_share, within=120)
        processes[-1].send_signal(signal.SIGSTOP)  # or it would have done all before the next has begun
    for process in processes:
        process.send_signal(signal.SIGCONT)
    results = [await ended(process) for process in processes]

    assert [result.code for result in results] == [0, 0, 0], results
    assert await lost.is_the_fold_of(lost.facts)
    assert {result.counted("states put back") for result in results} == {COUNT}
    assert {result.counted("facts put back") for result in results} == {sum(map(len, lost.facts.values()))}


async def test_a_rebuild_misses_nothing_that_the_service_takes_in_meanwhile(
    heard: Recorded, producer: Producer
) -> None:
    """Of damaged relationships, too: the service writes on a wrong state, and the rebuild sets it right."""
    damaged = await damage(heard)
    builders = {r: Told(r) for r in [*damaged["states"], *damaged["facts"], *list(heard.facts)[20:40]]}
    service = await heard.serve()
    rebuilding = await heard.start("rebuild")
    week = FIRST_NEW
    while rebuilding.returncode is None:
        for r, builder in builders.items() if week < LAST_NEW else ():
            new_events: list[Fact] = [builder.held(week), builder.felt(week, 3 + week % 7)]
            heard.facts[r] += new_events  # the tests after this one find them on the topics
            await producer.tell(new_events)
        week += 1
        await asyncio.sleep(0)
    assert (await ended(rebuilding)).code == 0
    assert week > FIRST_NEW + 1

    await until(lambda: heard.is_the_fold_of(heard.facts), within=120)
    verify_result = await heard.command("verify")
    service.terminate()
    await ended(service)

    assert (verify_result.code, verify_result.out) == (0, f"{COUNT} relationships compared, 0 different\n")


async def test_verify_finds_what_is_wrong_and_nothing_else_and_changes_nothing(heard: Recorded) -> None:
    await heard.take_in_everything()
    damaged = await damage(heard)
    unexpected = Kept(uuid4(), read_again([Told().started()], DEFAULT), 1)
    await heard.mongo["alliances"].insert_one(as_document(unexpected))
    before = await heard.everything()

    result = await heard.command("verify")

    assert result.code == 1
    reported = {UUID(relationship): differences for relationship, differences in result.named.items()}
    r = damaged["states"]
    assert reported[r[0]].startswith("unreadable")
    assert reported[r[2]].startswith("concern, level")
    assert reported[r[4]].startswith("missing")
    assert "sessions" in reported[r[1]].split(", ")
    without_events, without_one_event, with_different_event, with_moved_event, with_unexpected_event = damaged["facts"]
    assert f"{len(heard.facts[without_events])} facts missing" in reported[without_events]
    assert "1 facts missing" in reported[without_one_event]
    assert "1 facts missing" in reported[with_moved_event]
    assert "1 facts otherwise" in reported[with_different_event]
    assert "1 facts not on the topics" in reported[with_unexpected_event]
    assert reported[unexpected.relationship] == "not on the topics"
    other_differences = {
        relationship: differences
        for relationship, differences in reported.items()
        if relationship not in {*r, *damaged["facts"], unexpected.relationship}
    }
    assert {differences.split(" ", 1)[1] for differences in other_differences.values()} == {"judgements missing"}
    assert f"{len(reported)} different" in result.out
    assert await heard.everything() == before
    assert "trust" not in result.out


async def test_a_state_under_another_policy_is_named_and_no_difference_until_it_is_rebuilt(
    heard: Recorded, tmp_path: Path
) -> None:
    await heard.take_in_everything()
    (tmp_path / "default.toml").write_text("concern = 0.4\n")

    verify_result = await heard.command("verify", POLICY_DIR=str(tmp_path))
    rebuild_result = await heard.command("rebuild", POLICY_DIR=str(tmp_path))
    second_verify = await heard.command("verify", POLICY_DIR=str(tmp_path))

    assert (verify_result.code, rebuild_result.code, second_verify.code) == (0, 0, 0), (
        verify_result,
        rebuild_result,
        second_verify,
    )
    assert f"{COUNT} compared but for their state" in verify_result.out
    assert rebuild_result.counted("states put right") >= COUNT
    assert "compared but for" not in second_verify.out


async def test_a_rebuild_is_not_ended_under_other_policies_than_it_was_begun_under(
    lost: Recorded, tmp_path: Path
) -> None:
    (tmp_path / "default.toml").write_text("concern = 0.4\n")
    other_job = await taking_part(lost)
    task = await other_job.claim("read")
    assert task

    restart_result = await lost.command("rebuild", "--afresh")
    other_policy_result = await lost.command("rebuild", POLICY_DIR=str(tmp_path))

    assert (restart_result.code, other_policy_result.code) == (1, 1)
    assert "somebody is at work" in restart_result.err
    assert "under other policies" in other_policy_result.err
    await other_job.through(task, "read", Counter())
    assert (await lost.command("rebuild", "--afresh", POLICY_DIR=str(tmp_path))).code == 0
    assert not await lost.is_the_fold_of(lost.facts)


async def test_a_database_that_goes_away_in_the_middle_ends_it_with_a_line_and_it_can_be_started_again(
    servers: str, facts: dict[UUID, list[Fact]], tmp_path: Path
) -> None:
    ports = free_ports(1)
    with mongod.server(tmp_path, *ports) as server:
        empty_alliance = Recorded(servers, server.address, facts)
        running = await empty_alliance.start("rebuild")

        async def under_way() -> bool:
            return bool((await shares(empty_alliance.mongo))["swap"])

        await until(under_way, within=120)
        await empty_alliance.mongo.close()
    stopped_result = await ended(running)
    assert stopped_result.code == 1
    assert stopped_result.err.splitlines()[-1].startswith("rebuild: the database does not answer: ")

    with mongod.server(tmp_path, *ports) as server:
        second_run = Recorded(servers, server.address, facts, empty_alliance.database)
        assert (await second_run.command("rebuild")).code == 0
        assert await second_run.is_the_fold_of(facts)
        await second_run.mongo.close()


async def test_a_full_disk_ends_it_without_a_word_of_what_was_to_be_written_and_it_can_be_started_again(
    servers: str, facts: dict[UUID, list[Fact]], tmp_path: Path
) -> None:
    server = mongod.server(tmp_path, *free_ports(1))
    server.command = [*server.command, "--setParameter", "enableTestCommands=1"]
    with server:
        empty_alliance = Recorded(servers, server.address, facts)
        fail_point = {
            "errorCode": OUT_OF_DISK_SPACE,
            "failCommands": ["insert"],
            "namespace": f"{empty_alliance.database}.facts",
        }
        with MongoClient[Document](server.address) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"skip": 3}, "data": fail_point})
            stopped_result = await empty_alliance.command("rebuild")
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        second_result = await empty_alliance.command("rebuild")
        assert await empty_alliance.is_the_fold_of(facts)
        await empty_alliance.mongo.close()

    assert (stopped_result.code, stopped_result.err.splitlines()[-1]) == (
        1,
        "rebuild: the database does not answer: the disk of MongoDB is full",
    )
    assert second_result.code == 0, second_result


async def test_a_partition_that_does_not_fit_into_memory_is_read_in_slices(
    lost: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.rebuild.job.MOST_IN_MEMORY", 100)
    settings = Settings(kafka_bootstrap_servers=lost.servers, mongodb_uri=lost.uri, mongodb_database=lost.database)

    exit_code = await asyncio.to_thread(run, arguments(["rebuild"]), settings)

    assert exit_code == 0
    assert (await shares(lost.mongo))["done"] > 2 * PARTITIONS
    assert await lost.is_the_fold_of(lost.facts)


async def test_without_kafka_it_says_so(lost: Recorded) -> None:
    result = await lost.command("rebuild", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1].startswith("rebuild: Kafka does not answer: ")


async def test_what_the_service_has_not_taken_in_yet_is_no_difference(heard: Recorded, producer: Producer) -> None:
    await heard.take_in_everything()
    builder = Told()
    await producer.tell([builder.started(), builder.held(0)])

    result = await heard.command("verify")

    assert result.code == 0, result
    assert "1 not compared: the service has not taken in all of their facts yet" in result.out


async def test_of_a_client_who_is_to_be_forgotten_nothing_is_put_back(heard: Recorded, producer: Producer) -> None:
    builder = Told()
    history_events: list[Event] = [builder.started(), builder.held(0), builder.felt(0), builder.held(2)]
    await producer.tell([*history_events, builder.erased(1)])
    await heard.hear(producer, *history_events)

    result = await heard.command("rebuild")

    assert result.code == 0
    stored_ids = [
        document["_id"] for document in await heard.mongo["facts"].find({"r": builder.relationship}).to_list(None)
    ]
    assert stored_ids == [builder.erased(1).id]
    assert (await heard.store.recall([builder.relationship]))[builder.relationship].alliance.erasure
    assert (await heard.command("rebuild")).counted("states put right") == 0


async def told_in_all(recorded: Recorded) -> int:
    return len(await records(recorded.servers, ALLIANCE))


async def taking_part(lost: Recorded) -> Work:
    """Somebody else in the same rebuild."""
    job = Work(lost.mongo)
    async with History(lost.servers, HEARD, KINDS_HEARD) as topic_reader:
        await job.join(Policies().digest, await topic_reader.sizes())
    return job


async def some_are(lost: Recorded, stage: str) -> bool:
    return bool((await shares(lost.mongo))[stage])
