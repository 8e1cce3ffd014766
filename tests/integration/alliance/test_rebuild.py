"""Rebuild and verify as operators run them: processes on a recorded history, stopped and restarted at any time."""

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
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.rebuild import VIEW_SOURCE, view_factory
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore, from_document, to_document
from services.alliance.store.protocol import Versioned
from shared.events import AlertResolved, AllianceUpdated
from shared.events.cloudevents import encode
from shared.events.topics import ALLIANCE, FEEDBACK
from shared.kafka.producer import Message, Producer
from shared.mongo.client import OUT_OF_DISK_SPACE, Document, Mongo
from shared.rebuild import commands
from shared.runtime.commands import parse_arguments
from tests.support.builders import FIRST_SESSION_AT, RelationshipBuilder
from tests.support.kafka_reader import read_events, read_records
from tests.support.service_process import (
    PARTITIONS,
    ServiceRunner,
    count_tasks_by_phase,
    dedicated_kafka,
    has_tasks_in,
    insert_staged_rebuild,
    join_rebuild,
    wait_for_exit,
)
from tests.support.serving import wait_until
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

ORDINAL_WORLD = next(place for place in load_settings().worlds if place.name == "ordinal").reported
RELATIONSHIP_COUNT, WEEK_COUNT = 120, 16
FIRST_NEW_WEEK, END_NEW_WEEK = 20, 40
"""Weeks of events that are published during a test; none of them is in the future."""


@dataclass
class RecordedAlliance:
    """A Kafka with a history, and an alliance service with its own database."""

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
        self.commit_all = process_runner.consume_everything
        self.kill_rebuild_in_each_phase = partial(process_runner.kill_rebuild_in_each_phase, self.mongo)
        self.join_rebuild = partial(join_rebuild, self.servers, self.mongo, VIEW_SOURCE, Policies().digest)
        self.store = MongoStore(self.mongo)

    async def handle(self, producer: Producer, *events: HistoryEvent | AlertResolved) -> None:
        """Handle the events and publish the derived ones, as the service does."""
        metrics = Metrics(CollectorRegistry())
        await self.store.create_indexes()
        history_events = [event for event in events if not isinstance(event, AlertResolved)]
        await AllianceProjector(self.store, producer.publish, Policies(), metrics).handle_batch(history_events)
        await DispositionRecorder(self.store, Policies(), metrics).handle_batch(
            [event for event in events if isinstance(event, AlertResolved)]
        )

    async def contents(self) -> dict[str, list[Document]]:
        """The documents of the view, without the versions, which count writes."""
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
    """A dedicated Kafka: a rebuild reads all topics."""
    with dedicated_kafka(tmp_path_factory.mktemp("kafka")) as servers:
        yield servers


@pytest.fixture(scope="module")
def histories(servers: str) -> dict[UUID, list[HistoryEvent]]:
    """Events published before the first test, among them resolved alerts, and messages that cannot be decoded."""
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
    """The database contains the history, as the service projects it."""
    await empty_alliance.handle(
        producer,
        *(event for events in empty_alliance.histories.values() for event in (*events, *resolved_alerts(events))),
    )
    return empty_alliance


async def damage(recorded: RecordedAlliance) -> dict[str, list[UUID]]:
    """Cause every kind of damage to the database, and return where."""
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
    return {"states": r[:5], "events": r[5:10]}


async def test_a_rebuild_repairs_a_damaged_view_and_publishes_the_corrected_states(
    projected_alliance: RecordedAlliance,
) -> None:
    before, versions = await projected_alliance.contents(), await projected_alliance.versions()
    damaged = await damage(projected_alliance)

    result = await projected_alliance.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await projected_alliance.contents() == before
    assert (result.count_of("relationships corrected"), result.count_of("relationships restored")) == (4, 1)
    reported = result.differences
    assert reported[str(damaged["states"][0])] == "unreadable"
    assert reported[str(damaged["states"][2])] == "concern, level"
    assert result.count_of("events restored") == len(projected_alliance.histories[damaged["events"][0]]) + 2
    assert result.count_of("events corrected") == 1
    assert result.count_of("dispositions restored") == len(before["judgements"])
    versions_after = await projected_alliance.versions()
    for r, version in versions.items():
        assert versions_after[r] == version + (r in damaged["states"])
    for r in damaged["states"]:
        assert versions_after[r] in [
            event.version
            for event in await read_events(projected_alliance.servers, ALLIANCE, r)
            if isinstance(event, AllianceUpdated)
        ]


async def test_a_rebuild_of_a_correct_view_changes_and_publishes_nothing(
    projected_alliance: RecordedAlliance,
) -> None:
    before, versions, published_before = (
        await projected_alliance.contents(),
        await projected_alliance.versions(),
        await count_published(projected_alliance),
    )

    result = await projected_alliance.run_command("rebuild")

    repairs = [
        line for line in result.stdout.splitlines() if line.endswith((" restored", " corrected")) or ": " in line
    ]
    assert (result.exit_code, repairs) == (0, [])
    assert (await projected_alliance.contents(), await projected_alliance.versions()) == (before, versions)
    assert await count_published(projected_alliance) == published_before
    lines = result.stderr.splitlines()
    assert lines[0].startswith("rebuild, read: [" + 30 * "." + "] 0 of ")
    assert lines[-1].startswith("rebuild, swap: [" + 30 * "#" + "] ")


async def test_a_rebuild_fills_an_empty_database_with_versions_above_the_published_ones(
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


async def test_a_rebuild_that_is_killed_in_either_phase_continues_when_it_is_restarted(
    empty_alliance: RecordedAlliance,
) -> None:
    await empty_alliance.kill_rebuild_in_each_phase(await empty_alliance.join_rebuild())

    result = await empty_alliance.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await empty_alliance.is_fold_of(empty_alliance.histories)
    assert await empty_alliance.mongo["alliances_rebuilt"].find_one() is None
    assert result.count_of("events read") == sum(map(len, empty_alliance.histories.values()))
    assert (await empty_alliance.run_command("rebuild")).count_of("relationships corrected") == 0


async def test_a_rebuild_swaps_in_what_an_earlier_version_has_staged(projected_alliance: RecordedAlliance) -> None:
    r = next(iter(projected_alliance.histories))
    state = await projected_alliance.mongo["alliances"].find_one({"_id": r})
    assert state
    published = await count_published(projected_alliance)
    news = [await stored_update(projected_alliance, r, version=state["v"] + 1)]
    staged = {"_id": r, "over": state["v"], "differs": ["concern"], "news": news}
    staged["document"] = {**state, "v": state["v"] + 1, "concern": 2}
    await insert_staged_rebuild(projected_alliance.mongo, Policies().digest, "alliances_rebuilt", staged)

    result = await projected_alliance.run_command("rebuild")

    assert (result.exit_code, result.differences) == (0, {str(r): "concern"})
    assert await projected_alliance.mongo["alliances"].find_one({"_id": r}) == staged["document"]
    assert await count_published(projected_alliance) == published + 1


async def test_several_rebuild_processes_share_the_work_and_print_the_same_totals(
    empty_alliance: RecordedAlliance,
) -> None:
    processes: list[Process] = []

    async def each_has_claimed_task() -> bool:
        owners = await empty_alliance.mongo["rebuild_shares"].distinct("owner")
        return len(owners) == len(processes)

    for _ in range(3):
        processes.append(await empty_alliance.start("rebuild"))
        await wait_until(each_has_claimed_task, timeout_seconds=120)
        processes[-1].send_signal(signal.SIGSTOP)  # or it would finish before the next one starts
    for process in processes:
        process.send_signal(signal.SIGCONT)
    results = [await wait_for_exit(process) for process in processes]

    assert [result.exit_code for result in results] == [0, 0, 0], results
    assert await empty_alliance.is_fold_of(empty_alliance.histories)
    assert {result.count_of("relationships restored") for result in results} == {RELATIONSHIP_COUNT}
    assert {result.count_of("events restored") for result in results} == {
        sum(map(len, empty_alliance.histories.values()))
    }


async def test_a_rebuild_misses_no_event_that_the_service_handles_meanwhile(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    """The same for damaged relationships: the service updates a wrong state, and the rebuild corrects it."""
    damaged = await damage(projected_alliance)
    builders = {
        r: RelationshipBuilder(r)
        for r in [*damaged["states"], *damaged["events"], *list(projected_alliance.histories)[20:40]]
    }
    service = await projected_alliance.serve()
    rebuilding = await projected_alliance.start("rebuild")
    week = FIRST_NEW_WEEK
    while rebuilding.returncode is None:
        for r, builder in builders.items() if week < END_NEW_WEEK else ():
            new_events: list[HistoryEvent] = [builder.completed(week), builder.feedback(week, 3 + week % 7)]
            projected_alliance.histories[r] += new_events  # later tests find them on the topics
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


async def test_verify_reports_exactly_the_differences_and_changes_nothing(
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
    without_events, without_one_event, with_different_event, with_moved_event, with_unexpected_event = damaged["events"]
    assert f"{len(projected_alliance.histories[without_events])} events missing" in reported[without_events]
    assert "1 events missing" in reported[without_one_event]
    assert "1 events missing" in reported[with_moved_event]
    assert "1 events different" in reported[with_different_event]
    assert "1 events not on the topics" in reported[with_unexpected_event]
    assert reported[unexpected.relationship] == "not on the topics"
    other_differences = {
        relationship: differences
        for relationship, differences in reported.items()
        if relationship not in {*r, *damaged["events"], unexpected.relationship}
    }
    assert {differences.split(" ", 1)[1] for differences in other_differences.values()} == {"dispositions missing"}
    assert f"{len(reported)} different" in result.stdout
    assert await projected_alliance.contents() == before
    assert "trust" not in result.stdout


async def test_a_state_under_another_policy_is_reported_but_no_difference_until_it_is_rebuilt(
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
    assert f"{RELATIONSHIP_COUNT} compared without their state" in verify_result.stdout
    assert rebuild_result.count_of("relationships corrected") >= RELATIONSHIP_COUNT
    assert "compared without" not in second_verify.stdout


async def test_a_rebuild_is_not_continued_with_other_policies(empty_alliance: RecordedAlliance, tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text("concern = 0.4\n")
    other_job = await empty_alliance.join_rebuild()
    task = await other_job.claim("read")
    assert task

    restart_result = await empty_alliance.run_command("rebuild", "--restart")
    other_policy_result = await empty_alliance.run_command("rebuild", POLICY_DIR=str(tmp_path))

    assert (restart_result.exit_code, other_policy_result.exit_code) == (1, 1)
    assert "another process holds the lease" in restart_result.stderr
    assert "with other policies" in other_policy_result.stderr
    await other_job.complete_phase(task, "read", Counter())
    assert (await empty_alliance.run_command("rebuild", "--restart", POLICY_DIR=str(tmp_path))).exit_code == 0
    assert not await empty_alliance.is_fold_of(empty_alliance.histories)


async def test_a_rebuild_without_a_database_exits_with_one_line_and_can_be_restarted(
    servers: str, histories: dict[UUID, list[HistoryEvent]], tmp_path: Path
) -> None:
    ports = free_ports(1)
    with mongod.mongodb_server(tmp_path, *ports) as server:
        empty_alliance = RecordedAlliance(servers, server.address, histories)
        running = await empty_alliance.start("rebuild")

        await wait_until(lambda: has_tasks_in(empty_alliance.mongo, "swap"), timeout_seconds=120)
        await empty_alliance.mongo.close()
    stopped_result = await wait_for_exit(running)
    assert stopped_result.exit_code == 1
    assert stopped_result.stderr.splitlines()[-1].startswith("rebuild: MongoDB is unavailable: ")

    with mongod.mongodb_server(tmp_path, *ports) as server:
        second_run = RecordedAlliance(servers, server.address, histories, empty_alliance.database)
        assert (await second_run.run_command("rebuild")).exit_code == 0
        assert await second_run.is_fold_of(histories)
        await second_run.mongo.close()


async def test_a_rebuild_on_a_full_disk_exits_without_printing_content_and_can_be_restarted(
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
        "rebuild: MongoDB is unavailable: MongoDB has no disk space left",
    )
    assert second_result.exit_code == 0, second_result


async def test_a_partition_that_does_not_fit_into_memory_is_read_in_slices(
    empty_alliance: RecordedAlliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.rebuild.history.MAX_SLICE_MESSAGES", 100)
    settings = Settings(
        kafka_bootstrap_servers=empty_alliance.servers,
        mongodb_uri=empty_alliance.uri,
        mongodb_database=empty_alliance.database,
    )

    args = parse_arguments("alliance", commands.add_commands, argv=["rebuild"])

    exit_code = await asyncio.to_thread(commands.run, args, settings, VIEW_SOURCE, view_factory(settings, Policies()))

    assert exit_code == 0
    assert (await count_tasks_by_phase(empty_alliance.mongo))["done"] > 2 * PARTITIONS
    assert await empty_alliance.is_fold_of(empty_alliance.histories)


async def test_a_rebuild_reports_that_kafka_is_unavailable(empty_alliance: RecordedAlliance) -> None:
    result = await empty_alliance.run_command("rebuild", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("rebuild: Kafka is unavailable: ")


async def test_an_event_that_the_service_has_not_handled_yet_is_no_difference(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    await projected_alliance.commit_all()
    builder = RelationshipBuilder()
    await producer.publish([builder.started(), builder.completed(0)])

    result = await projected_alliance.run_command("verify")

    assert result.exit_code == 0, result
    assert "1 not compared: the service has not caught up with their events" in result.stdout


async def test_a_rebuild_restores_nothing_of_an_erased_client(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    builder = RelationshipBuilder()
    history_events: list[HistoryEvent] = [
        builder.started(),
        builder.completed(0),
        builder.feedback(0),
        builder.completed(2),
    ]
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
    assert (await projected_alliance.run_command("rebuild")).count_of("relationships corrected") == 0


async def stored_update(recorded: RecordedAlliance, r: UUID, version: int) -> bytes:
    """The latest published update of a relationship, as an event of another version."""
    updates = [
        event for event in await read_events(recorded.servers, ALLIANCE, r) if isinstance(event, AllianceUpdated)
    ]
    return encode(updates[-1].model_copy(update={"id": uuid4(), "version": version}))


async def count_published(recorded: RecordedAlliance) -> int:
    return len(await read_records(recorded.servers, ALLIANCE))
