"""Rebuild and verify of sessions as operators run them: the projection of relationships, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID, uuid4, uuid5

import pytest

from services.sessions.handlers import handle_batch
from services.sessions.rebuild import VIEW_SOURCE
from services.sessions.store.mongo import CLINICS, RELATIONSHIPS, SESSIONS
from shared.events import Event
from shared.events.topics import EVENT_TOPICS, INTAKE
from shared.kafka.producer import Message, Producer
from shared.mongo.client import Document
from tests.integration.sessions.damaged_clinics import CLINIC_IDS, clinic_event, clinic_events, damage_clinics
from tests.support.builders import RelationshipBuilder
from tests.support.harness import started_producer
from tests.support.kafka_reader import read_records
from tests.support.service_process import ServiceRunner, join_rebuild, wait_for_exit
from tests.support.sessions_process import SessionsProcess

pytestmark = pytest.mark.integration

RELATIONSHIP_COUNT = 60
SUCCESSOR = 11
"""The row of a relationship that followed another one."""
COMPARED = f"{RELATIONSHIP_COUNT + len(CLINIC_IDS)} relationships and clinics"


def create_builder(row: int) -> RelationshipBuilder:
    return RelationshipBuilder(uuid5(UUID(int=5), f"relationship {row}"))


def relationship_events(row: int) -> list[Event]:
    """In turn: a relationship that began, with consent, with consent withdrawn, that ended, and of an erased client."""
    builder = create_builder(row)
    courses: list[list[Event]] = [
        [],
        [builder.consent_changed(0, given=True)],
        [builder.consent_changed(1, given=False), builder.consent_changed(0, given=True)],
        [builder.consent_changed(0, given=True), builder.ended(9)],
        [builder.consent_changed(0, given=True), builder.erased(5)],
    ]
    predecessor_id = create_builder(0).relationship_id if row == SUCCESSOR else None
    return [builder.started().model_copy(update={"predecessor_id": predecessor_id}), *courses[row % len(courses)]]


@pytest.fixture(scope="module")
def servers(empty_kafka: str) -> str:
    return empty_kafka


@pytest.fixture(scope="module")
def events(servers: str) -> list[Event]:
    """The events on the topics, beside a message that cannot be decoded."""
    events = [event for row in range(RELATIONSHIP_COUNT) for event in relationship_events(row)]
    events += clinic_events()

    async def publish() -> None:
        producer = Producer(servers, "test")
        await producer.start()
        try:
            await producer.publish(events)
            await producer.send([Message(INTAKE.name, str(create_builder(0).relationship_id).encode(), b"not json")])
        finally:
            await producer.stop()

    asyncio.run(publish())
    return events


@pytest.fixture
async def producer(servers: str) -> AsyncIterator[Producer]:
    async with started_producer(servers) as producer:
        yield producer


class RecordedSessions:
    """A sessions service with its own database."""

    def __init__(self, servers: str, uri: str) -> None:
        self.servers = servers
        database = f"test_{uuid4().hex}"
        process = SessionsProcess(uri, database)
        self.mongo, self.store = process.mongo, process.store
        self.runner = ServiceRunner("sessions", servers, uri, database)
        self.join_rebuild = partial(join_rebuild, servers, self.mongo, VIEW_SOURCE)

    async def contents(self) -> dict[str, list[Document]]:
        """All documents, without versions and write ids."""
        return {
            name: [
                {key: value for key, value in document.items() if key not in ("v", "written")}
                for document in await self.mongo[name].find().sort("_id", 1).to_list(None)
            ]
            for name in (RELATIONSHIPS, SESSIONS, CLINICS)
        }

    async def count_published(self) -> list[int]:
        return [len(await read_records(self.servers, topic)) for topic in EVENT_TOPICS]

    async def add_session(self, relationship_id: UUID) -> None:
        await self.mongo[SESSIONS].insert_one({"_id": uuid4(), "relationship_id": relationship_id, "v": 1})


@pytest.fixture
async def recorded(servers: str, mongodb_uri: str, events: list[Event]) -> AsyncIterator[RecordedSessions]:
    """The database is as the service left it."""
    recorded = RecordedSessions(servers, mongodb_uri)
    await handle_batch(events, recorded.store)
    await recorded.add_session(create_builder(0).relationship_id)
    yield recorded
    await recorded.mongo.close()


async def damage(recorded: RecordedSessions) -> dict[str, str]:
    """Damage the projections in every way; return the expected differences by relationship or clinic."""
    relationships, ids = recorded.mongo[RELATIONSHIPS], [create_builder(row).relationship_id for row in range(10)]
    await relationships.delete_one({"_id": ids[0]})
    await relationships.update_one({"_id": ids[1]}, {"$set": {"consent": False}, "$unset": {"case_code": ""}})
    await relationships.update_one({"_id": ids[2]}, {"$set": {"consent": "perhaps"}})
    await relationships.update_one({"_id": ids[3]}, {"$set": {"ended_at": None}, "$unset": {"v": ""}})
    await relationships.update_one({"_id": ids[4]}, {"$set": {"erased_at": None, "case_code": "AB-12"}})
    await relationships.update_one({"_id": ids[5]}, {"$set": {"v": "two"}})
    await relationships.update_one({"_id": ids[6]}, {"$set": {"v": 0}})
    await recorded.add_session(ids[9])  # of an erased client
    names = await damage_clinics(recorded.mongo[CLINICS]) | {
        ids[0]: "missing",
        ids[1]: "case_code, consent",
        ids[2]: "unreadable",
        ids[3]: "ended_at, version",
        ids[4]: "case_code, erased_at",
        ids[5]: "version",
        ids[6]: "version",
        ids[9]: "sessions not erased",
    }
    return {str(relationship_id): name for relationship_id, name in names.items()}


async def test_a_rebuild_restores_a_damaged_projection_and_publishes_nothing(recorded: RecordedSessions) -> None:
    before, published = await recorded.contents(), await recorded.count_published()
    expected = await damage(recorded)

    result = await recorded.runner.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await recorded.contents() == before
    assert (result.count_of("relationships corrected"), result.count_of("relationships restored")) == (7, 1)
    assert result.count_of("clinics corrected") == len(CLINIC_IDS)
    of_relationships = {id: names for id, names in expected.items() if UUID(id) not in CLINIC_IDS}
    assert result.differences == {id: names for id, names in of_relationships.items() if names != "missing"}
    assert await recorded.count_published() == published
    second_result = await recorded.runner.run_command("rebuild")
    assert (second_result.exit_code, second_result.differences) == (0, {})


async def test_a_rebuild_restores_a_lost_projection_and_keeps_the_sessions(recorded: RecordedSessions) -> None:
    before = await recorded.contents()
    await recorded.mongo[RELATIONSHIPS].drop()

    result = await recorded.runner.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await recorded.contents() == before
    assert result.count_of("relationships restored") == RELATIONSHIP_COUNT


async def test_a_rebuild_of_a_correct_projection_writes_nothing(recorded: RecordedSessions) -> None:
    before = await recorded.mongo[RELATIONSHIPS].find().sort("_id", 1).to_list(None)

    result = await recorded.runner.run_command("rebuild")

    count, unread = result.stdout.splitlines()
    assert (result.exit_code, count) == (0, f"{RELATIONSHIP_COUNT} relationships read")
    assert unread.startswith("1 records cannot be decoded, and sessions has not dead-lettered them")
    assert await recorded.mongo[RELATIONSHIPS].find().sort("_id", 1).to_list(None) == before


async def test_a_field_that_an_older_version_did_not_store_differs_only_if_it_has_a_value(
    recorded: RecordedSessions,
) -> None:
    before = await recorded.contents()
    await recorded.mongo[RELATIONSHIPS].update_many({}, {"$unset": {"predecessor_id": ""}})

    first, second = [await recorded.runner.run_command("rebuild") for _ in range(2)]

    assert (first.exit_code, first.differences) == (
        0,
        {str(create_builder(SUCCESSOR).relationship_id): "predecessor_id"},
    )
    assert (second.exit_code, second.differences) == (0, {})
    (restored,) = [one for one in (await recorded.contents())[RELATIONSHIPS] if "predecessor_id" in one]
    assert restored in before[RELATIONSHIPS]


async def test_a_rebuild_continues_after_a_kill_and_several_processes_share_the_work(
    recorded: RecordedSessions,
) -> None:
    before = await recorded.contents()
    await recorded.mongo[RELATIONSHIPS].drop()
    await recorded.runner.kill_rebuild_in_each_phase(recorded.mongo, await recorded.join_rebuild())

    processes = [await recorded.runner.start("rebuild") for _ in range(2)]
    results = [await wait_for_exit(process) for process in processes]

    assert [each.exit_code for each in results] == [0, 0], results
    assert await recorded.contents() == before
    # Both report the same total, but for a process so slow to start that the other had finished. It lacks what a killed
    # process had restored and had not recorded yet.
    (total,) = {each.count_of("relationships restored") for each in results} - {0}
    assert 0 < total <= RELATIONSHIP_COUNT


async def test_verify_reports_each_difference_by_relationship_and_changes_nothing(recorded: RecordedSessions) -> None:
    await recorded.runner.consume_everything()
    expected = await damage(recorded)
    unknown_relationship, unknown_clinic = uuid4(), uuid4()
    unknown_events = [RelationshipBuilder(unknown_relationship).started(), clinic_event(unknown_clinic, "Oak", 1)]
    await handle_batch(unknown_events, recorded.store)
    before = await recorded.contents()

    result = await recorded.runner.run_command("verify")

    assert result.exit_code == 1
    not_on_topics = dict.fromkeys(map(str, (unknown_relationship, unknown_clinic)), "not on the topics")
    assert result.differences == {**expected, **not_on_topics}
    assert f"{COMPARED} compared, {len(expected) + 2} different\n" in result.stdout
    assert await recorded.contents() == before


async def test_an_erased_client_stays_erased_even_if_the_topics_lost_the_erasure(recorded: RecordedSessions) -> None:
    await recorded.runner.consume_everything()
    builder = create_builder(0)
    await handle_batch([builder.erased(5)], recorded.store)
    before = await recorded.contents()

    verify_result = await recorded.runner.run_command("verify")
    rebuild_result = await recorded.runner.run_command("rebuild")

    assert verify_result.differences == {str(builder.relationship_id): "erasure not on the topics"}
    assert (rebuild_result.exit_code, rebuild_result.differences) == (0, {})
    assert await recorded.contents() == before


async def test_a_relationship_that_the_service_has_not_caught_up_with_is_not_compared(
    recorded: RecordedSessions, producer: Producer, events: list[Event]
) -> None:
    await recorded.runner.consume_everything()
    late_event = create_builder(0).ended(20)
    await producer.publish([late_event])
    events.append(late_event)

    result = await recorded.runner.run_command("verify", "--catch-up-seconds", "2")

    assert (result.exit_code, result.stdout.splitlines()) == (
        3,
        [
            f"{RELATIONSHIP_COUNT + len(CLINIC_IDS) - 1} relationships and clinics compared, 0 different",
            "1 not compared: the service has not caught up with their events",
        ],
    )


async def test_a_rebuild_misses_no_event_that_the_service_handles_meanwhile(
    recorded: RecordedSessions, producer: Producer, events: list[Event]
) -> None:
    await damage(recorded)
    service = await recorded.runner.serve()
    rebuilding = await recorded.runner.start("rebuild")
    week = 10
    while rebuilding.returncode is None:
        new_events = [
            create_builder(row).consent_changed(week, given=week % 3 > 0) for row in range(40) if row % 5 != 4
        ]
        if week < 40:
            await producer.publish(new_events)
            events += new_events  # the tests after this one find them on the topics
        week += 1
        await asyncio.sleep(0)
    assert (await wait_for_exit(rebuilding)).exit_code == 0
    assert week > 11

    result = await recorded.runner.run_command("verify")
    service.terminate()
    await wait_for_exit(service)

    assert (result.exit_code, result.stdout) == (0, f"{COMPARED} compared, 0 different\n")
    relationships = {document["_id"]: document for document in (await recorded.contents())[RELATIONSHIPS]}
    last_week = min(week, 40) - 1
    assert relationships[create_builder(0).relationship_id]["consent"] == (last_week % 3 > 0)
    assert relationships[create_builder(4).relationship_id]["erased_at"] is not None
