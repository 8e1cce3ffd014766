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

from evaluation.events import events_of
from evaluation.generator import generate_ruptured
from evaluation.settings import load_settings
from services.alliance.commands import parse_arguments, run
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.rebuild.rebuild import CONSUMED_EVENTS, CONSUMED_TOPICS
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore, Versioned, from_document, to_document
from shared.events import AlertResolved, AllianceUpdated, Event
from shared.events.topics import ALLIANCE, FEEDBACK
from shared.kafka.producer import Message, Producer
from shared.kafka.topic_reader import TopicReader
from shared.mongo.client import OUT_OF_DISK_SPACE, Document, Mongo
from shared.rebuild.job import RebuildJob
from tests.support.builders import FIRST_SESSION_AT, RelationshipBuilder
from tests.support.kafka_reader import read_events, read_records
from tests.support.service_process import (
    PARTITIONS,
    ServiceRunner,
    count_tasks_by_phase,
    dedicated_kafka,
    wait_for_exit,
)
from tests.support.serving import wait_until
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

ORDINAL_WORLD = next(place for place in load_settings().worlds if place.name == "ordinal").reported
RELATIONSHIP_COUNT, WEEK_COUNT = 120, 16
FIRST_NEW_WEEK, END_NEW_WEEK = 20, 40
"""Weeks of facts that are told during a test; none of them lies in the future."""


@dataclass
class RecordedAlliance:
    """A Kafka with a history, and an alliance with a database of its own."""

    servers: str
    uri: str
    histories: dict[UUID, list[HistoryEvent]]
    database: str = field(default_factory=lambda: f"test_{uuid4().hex}")

    def __post_init__(self) -> None:
        self.mongo = Mongo(self.uri, self.database)
        process_runner = ServiceRunner("alliance", self.servers, self.uri, self.database)
        self.start, self.run_command, self.serve = (
            process_runner.start,
            process_runner.run_command,
            process_runner.serve,
        )
        self.commit_all = partial(process_runner.consume_everything, *CONSUMED_TOPICS, event_types=CONSUMED_EVENTS)
        self.store = MongoStore(self.mongo)

    async def handle(self, producer: Producer, *events: Event) -> None:
        """As the service does, and as it would tell."""
        metrics = Metrics(CollectorRegistry())
        await self.store.create_indexes()
        history_events = [event for event in events if not isinstance(event, AlertResolved)]
        await AllianceProjector(self.store, producer.publish, Policies(), metrics)(history_events)
        await DispositionRecorder(self.store, Policies(), metrics)(
            [event for event in events if isinstance(event, AlertResolved)]
        )

    async def contents(self) -> dict[str, list[Document]]:
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

    async def is_fold_of(self, histories: Mapping[UUID, Sequence[HistoryEvent]]) -> bool:
        results = {
            document["_id"]: from_document(document).result
            for document in await self.mongo["alliances"].find().to_list(None)
        }
        return all(results.get(r) == refold(events, DEFAULT_POLICY) for r, events in histories.items())


def history(count: int, weeks: int) -> dict[UUID, list[HistoryEvent]]:
    observations = generate_ruptured(ORDINAL_WORLD, count, weeks, seed=7).observations
    histories = (events_of(observations, row, uuid5(UUID(int=7), f"relationship {row}")) for row in range(count))
    return {events[0].relationship_id: events for events in histories}


def resolved_alerts(events: Sequence[HistoryEvent]) -> list[AlertResolved]:
    return [
        AlertResolved(
            id=uuid5(episode.episode_id, "resolved"),
            occurred_at=episode.raised_at,
            relationship_id=episode.relationship,
            alert_id=uuid5(episode.episode_id, "alert"),
            episode_id=episode.episode_id,
            clinician_id=UUID(int=1),
            useful=True,
        )
        for episode in replay_episodes(
            [event for event in events if event.occurred_at < FIRST_SESSION_AT + timedelta(weeks=FIRST_NEW_WEEK - 1)],
            DEFAULT_POLICY,
        )
        if episode.is_alert
    ]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of our own: a rebuild reads all there is."""
    with dedicated_kafka(tmp_path_factory.mktemp("kafka")) as servers:
        yield servers


@pytest.fixture(scope="module")
def histories(servers: str) -> dict[UUID, list[HistoryEvent]]:
    """What was told before the first test, alerts that were resolved among it, and messages nobody can read."""
    by_relationship = history(RELATIONSHIP_COUNT, WEEK_COUNT)

    async def publish() -> None:
        producer = Producer(servers, "test")
        await producer.start()
        try:
            await producer.publish(
                [event for events in by_relationship.values() for event in (*events, *resolved_alerts(events))]
            )
            await producer.send(
                [Message(FEEDBACK.name, str(r).encode(), b"not json") for r in list(by_relationship)[:9]]
            )
            await producer.send([Message(FEEDBACK.name, None, b"{}")])
        finally:
            await producer.stop()

    asyncio.run(publish())
    return by_relationship


@pytest.fixture
async def producer(servers: str) -> AsyncIterator[Producer]:
    producer = Producer(servers, "test")
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
async def empty_alliance(
    servers: str, mongodb_uri: str, histories: dict[UUID, list[HistoryEvent]]
) -> AsyncIterator[RecordedAlliance]:
    """The database is empty."""
    recorded = RecordedAlliance(servers, mongodb_uri, histories)
    yield recorded
    await recorded.mongo.close()


@pytest.fixture
async def projected_alliance(empty_alliance: RecordedAlliance, producer: Producer) -> RecordedAlliance:
    """The database is as the service left it."""
    await empty_alliance.handle(
        producer,
        *(event for events in empty_alliance.histories.values() for event in (*events, *resolved_alerts(events))),
    )
    return empty_alliance


async def damage(recorded: RecordedAlliance) -> dict[str, list[UUID]]:
    """Everything that can be wrong with a database, and where."""
    r = list(recorded.histories)
    alliances, stored_events = recorded.mongo["alliances"], recorded.mongo["facts"]
    await alliances.update_one({"_id": r[0]}, {"$set": {"state": "{"}})
    await alliances.update_one({"_id": r[1]}, {"$set": {"state": '{"sessions": 99}'}})
    await alliances.update_one({"_id": r[2]}, {"$set": {"concern": 7, "level": -1.0}})
    await alliances.update_one({"_id": r[3]}, {"$unset": {"v": ""}, "$set": {"state": "{}"}})
    await alliances.delete_one({"_id": r[4]})
    await stored_events.delete_many({"r": r[5]})
    await stored_events.delete_one({"_id": recorded.histories[r[6]][7].id})
    await stored_events.update_one({"_id": recorded.histories[r[7]][7].id}, {"$set": {"event": b"gone"}})
    await stored_events.update_one({"_id": recorded.histories[r[8]][7].id}, {"$set": {"r": r[9]}})
    await recorded.mongo["judgements"].delete_many({})
    return {"states": r[:5], "facts": r[5:10]}


async def test_a_damaged_view_is_afterwards_as_it_was_and_what_was_wrong_is_told_anew(
    projected_alliance: RecordedAlliance,
) -> None:
    before, versions = await projected_alliance.contents(), await projected_alliance.versions()
    damaged = await damage(projected_alliance)

    result = await projected_alliance.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await projected_alliance.contents() == before
    assert (result.count_of("states put right"), result.count_of("states put back")) == (4, 1)
    reported = result.differences
    assert reported[str(damaged["states"][0])] == "unreadable"
    assert reported[str(damaged["states"][2])] == "concern, level"
    assert result.count_of("facts put back") == len(projected_alliance.histories[damaged["facts"][0]]) + 2
    assert result.count_of("facts put right") == 1
    assert result.count_of("judgements put back") == len(before["judgements"])
    versions_after = await projected_alliance.versions()
    for r, version in versions.items():
        assert versions_after[r] == version + (r in damaged["states"])
    for r in damaged["states"]:
        assert versions_after[r] in [
            event.version
            for event in await read_events(projected_alliance.servers, ALLIANCE, r)
            if isinstance(event, AllianceUpdated)
        ]


async def test_rebuilding_what_is_as_it_ought_to_be_changes_and_tells_nothing(
    projected_alliance: RecordedAlliance,
) -> None:
    before, versions, published_before = (
        await projected_alliance.contents(),
        await projected_alliance.versions(),
        await count_published(projected_alliance),
    )

    result = await projected_alliance.run_command("rebuild")

    assert (result.exit_code, [line for line in result.stdout.splitlines() if " put " in line or ": " in line]) == (
        0,
        [],
    )
    assert (await projected_alliance.contents(), await projected_alliance.versions()) == (before, versions)
    assert await count_published(projected_alliance) == published_before
    lines = result.stderr.splitlines()
    assert lines[0].startswith("rebuild, read: [" + 30 * "." + "] 0 of ")
    assert lines[-1].startswith("rebuild, swap: [" + 30 * "#" + "] ")


async def test_an_empty_database_is_filled_again_and_versions_go_on_from_those_that_were_told(
    projected_alliance: RecordedAlliance, servers: str, mongodb_uri: str
) -> None:
    before, versions = await projected_alliance.contents(), await projected_alliance.versions()
    empty = RecordedAlliance(servers, mongodb_uri, projected_alliance.histories)

    result = await empty.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await empty.contents() == before
    versions_after = await empty.versions()
    assert [r for r in versions if versions_after[r] <= versions[r]] == []
    await empty.mongo.close()


async def test_killed_in_the_middle_of_either_stage_it_goes_on_when_it_is_started_again(
    empty_alliance: RecordedAlliance,
) -> None:
    """We hold a share at each stage, so that it comes no further however quick it is, until our lease has ended."""
    other_job = await join_rebuild(empty_alliance)
    assert await other_job.claim("read")
    running = await empty_alliance.start("rebuild")
    await wait_until(lambda: has_tasks_in(empty_alliance, "swap"), timeout_seconds=120)
    running.kill()
    assert (await wait_for_exit(running)).exit_code == -signal.SIGKILL
    assert await other_job.claim("swap")
    running = await empty_alliance.start("rebuild")
    await wait_until(lambda: has_tasks_in(empty_alliance, "done"), timeout_seconds=120)
    running.kill()
    assert (await wait_for_exit(running)).exit_code == -signal.SIGKILL
    assert await has_tasks_in(empty_alliance, "swap")

    result = await empty_alliance.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await empty_alliance.is_fold_of(empty_alliance.histories)
    assert await empty_alliance.mongo["alliances_rebuilt"].find_one() is None
    assert result.count_of("facts read") == sum(map(len, empty_alliance.histories.values()))
    assert (await empty_alliance.run_command("rebuild")).count_of("states put right") == 0


async def test_several_at_once_share_the_work_and_say_the_same_in_the_end(empty_alliance: RecordedAlliance) -> None:
    processes: list[Process] = []

    async def each_has_claimed_task() -> bool:
        owners = await empty_alliance.mongo["rebuild_shares"].distinct("owner")
        return len(owners) == len(processes)

    for _ in range(3):
        processes.append(await empty_alliance.start("rebuild"))
        await wait_until(each_has_claimed_task, timeout_seconds=120)
        processes[-1].send_signal(signal.SIGSTOP)  # or it would have done all before the next has begun
    for process in processes:
        process.send_signal(signal.SIGCONT)
    results = [await wait_for_exit(process) for process in processes]

    assert [result.exit_code for result in results] == [0, 0, 0], results
    assert await empty_alliance.is_fold_of(empty_alliance.histories)
    assert {result.count_of("states put back") for result in results} == {RELATIONSHIP_COUNT}
    assert {result.count_of("facts put back") for result in results} == {
        sum(map(len, empty_alliance.histories.values()))
    }


async def test_a_rebuild_misses_nothing_that_the_service_takes_in_meanwhile(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    """Of damaged relationships, too: the service writes on a wrong state, and the rebuild sets it right."""
    damaged = await damage(projected_alliance)
    builders = {
        r: RelationshipBuilder(r)
        for r in [*damaged["states"], *damaged["facts"], *list(projected_alliance.histories)[20:40]]
    }
    service = await projected_alliance.serve()
    rebuilding = await projected_alliance.start("rebuild")
    week = FIRST_NEW_WEEK
    while rebuilding.returncode is None:
        for r, builder in builders.items() if week < END_NEW_WEEK else ():
            new_events: list[HistoryEvent] = [builder.completed(week), builder.feedback(week, 3 + week % 7)]
            projected_alliance.histories[r] += new_events  # the tests after this one find them on the topics
            await producer.publish(new_events)
        week += 1
        await asyncio.sleep(0)
    assert (await wait_for_exit(rebuilding)).exit_code == 0
    assert week > FIRST_NEW_WEEK + 1

    await wait_until(lambda: projected_alliance.is_fold_of(projected_alliance.histories), timeout_seconds=120)
    verify_result = await projected_alliance.run_command("verify")
    service.terminate()
    await wait_for_exit(service)

    assert (verify_result.exit_code, verify_result.stdout) == (
        0,
        f"{RELATIONSHIP_COUNT} relationships compared, 0 different\n",
    )


async def test_verify_finds_what_is_wrong_and_nothing_else_and_changes_nothing(
    projected_alliance: RecordedAlliance,
) -> None:
    await projected_alliance.commit_all()
    damaged = await damage(projected_alliance)
    unexpected = Versioned(uuid4(), refold([RelationshipBuilder().started()], DEFAULT_POLICY), 1)
    await projected_alliance.mongo["alliances"].insert_one(to_document(unexpected))
    before = await projected_alliance.contents()

    result = await projected_alliance.run_command("verify")

    assert result.exit_code == 1
    reported = {UUID(relationship): differences for relationship, differences in result.differences.items()}
    r = damaged["states"]
    assert reported[r[0]].startswith("unreadable")
    assert reported[r[2]].startswith("concern, level")
    assert reported[r[4]].startswith("missing")
    assert "sessions" in reported[r[1]].split(", ")
    without_events, without_one_event, with_different_event, with_moved_event, with_unexpected_event = damaged["facts"]
    assert f"{len(projected_alliance.histories[without_events])} facts missing" in reported[without_events]
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
    assert f"{len(reported)} different" in result.stdout
    assert await projected_alliance.contents() == before
    assert "trust" not in result.stdout


async def test_a_state_under_another_policy_is_named_and_no_difference_until_it_is_rebuilt(
    projected_alliance: RecordedAlliance, tmp_path: Path
) -> None:
    await projected_alliance.commit_all()
    (tmp_path / "default.toml").write_text("concern = 0.4\n")

    verify_result = await projected_alliance.run_command("verify", POLICY_DIR=str(tmp_path))
    rebuild_result = await projected_alliance.run_command("rebuild", POLICY_DIR=str(tmp_path))
    second_verify = await projected_alliance.run_command("verify", POLICY_DIR=str(tmp_path))

    assert (verify_result.exit_code, rebuild_result.exit_code, second_verify.exit_code) == (0, 0, 0), (
        verify_result,
        rebuild_result,
        second_verify,
    )
    assert f"{RELATIONSHIP_COUNT} compared but for their state" in verify_result.stdout
    assert rebuild_result.count_of("states put right") >= RELATIONSHIP_COUNT
    assert "compared but for" not in second_verify.stdout


async def test_a_rebuild_is_not_ended_under_other_policies_than_it_was_begun_under(
    empty_alliance: RecordedAlliance, tmp_path: Path
) -> None:
    (tmp_path / "default.toml").write_text("concern = 0.4\n")
    other_job = await join_rebuild(empty_alliance)
    task = await other_job.claim("read")
    assert task

    restart_result = await empty_alliance.run_command("rebuild", "--afresh")
    other_policy_result = await empty_alliance.run_command("rebuild", POLICY_DIR=str(tmp_path))

    assert (restart_result.exit_code, other_policy_result.exit_code) == (1, 1)
    assert "somebody is at work" in restart_result.stderr
    assert "under other policies" in other_policy_result.stderr
    await other_job.complete_phase(task, "read", Counter())
    assert (await empty_alliance.run_command("rebuild", "--afresh", POLICY_DIR=str(tmp_path))).exit_code == 0
    assert not await empty_alliance.is_fold_of(empty_alliance.histories)


async def test_a_database_that_goes_away_in_the_middle_ends_it_with_a_line_and_it_can_be_started_again(
    servers: str, histories: dict[UUID, list[HistoryEvent]], tmp_path: Path
) -> None:
    ports = free_ports(1)
    with mongod.mongodb_server(tmp_path, *ports) as server:
        empty_alliance = RecordedAlliance(servers, server.address, histories)
        running = await empty_alliance.start("rebuild")

        async def has_swap_tasks() -> bool:
            return bool((await count_tasks_by_phase(empty_alliance.mongo))["swap"])

        await wait_until(has_swap_tasks, timeout_seconds=120)
        await empty_alliance.mongo.close()
    stopped_result = await wait_for_exit(running)
    assert stopped_result.exit_code == 1
    assert stopped_result.stderr.splitlines()[-1].startswith("rebuild: the database does not answer: ")

    with mongod.mongodb_server(tmp_path, *ports) as server:
        second_run = RecordedAlliance(servers, server.address, histories, empty_alliance.database)
        assert (await second_run.run_command("rebuild")).exit_code == 0
        assert await second_run.is_fold_of(histories)
        await second_run.mongo.close()


async def test_a_full_disk_ends_it_without_a_word_of_what_was_to_be_written_and_it_can_be_started_again(
    servers: str, histories: dict[UUID, list[HistoryEvent]], tmp_path: Path
) -> None:
    server = mongod.mongodb_server(tmp_path, *free_ports(1))
    server.command = [*server.command, "--setParameter", "enableTestCommands=1"]
    with server:
        empty_alliance = RecordedAlliance(servers, server.address, histories)
        fail_point = {
            "errorCode": OUT_OF_DISK_SPACE,
            "failCommands": ["insert"],
            "namespace": f"{empty_alliance.database}.facts",
        }
        with MongoClient[Document](server.address) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"skip": 3}, "data": fail_point})
            stopped_result = await empty_alliance.run_command("rebuild")
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        second_result = await empty_alliance.run_command("rebuild")
        assert await empty_alliance.is_fold_of(histories)
        await empty_alliance.mongo.close()

    assert (stopped_result.exit_code, stopped_result.stderr.splitlines()[-1]) == (
        1,
        "rebuild: the database does not answer: the disk of MongoDB is full",
    )
    assert second_result.exit_code == 0, second_result


async def test_a_partition_that_does_not_fit_into_memory_is_read_in_slices(
    empty_alliance: RecordedAlliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.rebuild.job.MOST_IN_MEMORY", 100)
    settings = Settings(
        kafka_bootstrap_servers=empty_alliance.servers,
        mongodb_uri=empty_alliance.uri,
        mongodb_database=empty_alliance.database,
    )

    exit_code = await asyncio.to_thread(run, parse_arguments(["rebuild"]), settings)

    assert exit_code == 0
    assert (await count_tasks_by_phase(empty_alliance.mongo))["done"] > 2 * PARTITIONS
    assert await empty_alliance.is_fold_of(empty_alliance.histories)


async def test_without_kafka_it_says_so(empty_alliance: RecordedAlliance) -> None:
    result = await empty_alliance.run_command("rebuild", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("rebuild: Kafka does not answer: ")


async def test_what_the_service_has_not_taken_in_yet_is_no_difference(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    await projected_alliance.commit_all()
    builder = RelationshipBuilder()
    await producer.publish([builder.started(), builder.completed(0)])

    result = await projected_alliance.run_command("verify")

    assert result.exit_code == 0, result
    assert "1 not compared: the service has not taken in all of their facts yet" in result.stdout


async def test_of_a_client_who_is_to_be_forgotten_nothing_is_put_back(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    builder = RelationshipBuilder()
    history_events: list[Event] = [builder.started(), builder.completed(0), builder.feedback(0), builder.completed(2)]
    await producer.publish([*history_events, builder.erased(1)])
    await projected_alliance.handle(producer, *history_events)

    result = await projected_alliance.run_command("rebuild")

    assert result.exit_code == 0
    stored_ids = [
        document["_id"]
        for document in await projected_alliance.mongo["facts"].find({"r": builder.relationship_id}).to_list(None)
    ]
    assert stored_ids == [builder.erased(1).id]
    assert (await projected_alliance.store.load([builder.relationship_id]))[builder.relationship_id].alliance.erasure_id
    assert (await projected_alliance.run_command("rebuild")).count_of("states put right") == 0


async def count_published(recorded: RecordedAlliance) -> int:
    return len(await read_records(recorded.servers, ALLIANCE))


async def join_rebuild(empty_alliance: RecordedAlliance) -> RebuildJob:
    """Somebody else in the same rebuild."""
    job = RebuildJob(empty_alliance.mongo)
    async with TopicReader(empty_alliance.servers, CONSUMED_TOPICS, CONSUMED_EVENTS) as topic_reader:
        await job.join(Policies().digest, await topic_reader.message_counts())
    return job


async def has_tasks_in(empty_alliance: RecordedAlliance, phase: str) -> bool:
    return bool((await count_tasks_by_phase(empty_alliance.mongo))[phase])
