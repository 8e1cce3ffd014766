"""Rebuilding and verifying notify's view as operators do: no message is sent twice, and dispositions are kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from services.notify.app import create_app
from services.notify.rebuild import VIEW_SOURCE
from services.notify.settings import Settings
from shared.events import ClinicianRegistered, Event
from shared.events.topics import ALLIANCE, INTAKE
from shared.kafka.producer import Message, Producer
from shared.mongo.client import Document, Mongo
from tests.support.receivers import Mailbox
from tests.support.rupture_builder import RuptureBuilder
from tests.support.service_process import (
    ServiceRunner,
    dedicated_kafka,
    insert_staged_rebuild,
    join_rebuild,
    wait_for_exit,
)
from tests.support.serving import run_app, wait_until

pytestmark = pytest.mark.integration

RELATIONSHIP_COUNT, CLINICIAN_COUNT = 60, 5
NOW = datetime.now(UTC)


def create_builder(row: int) -> RuptureBuilder:
    return RuptureBuilder(NOW, UUID(int=row % 5 + 1), relationship_id=uuid5(UUID(int=9), f"strained {row}"))


def relationship_events(row: int) -> list[Event]:
    """In turn: an open, escalated, repaired and retracted episode, and a client who is erased or a second episode."""
    s = create_builder(row)
    courses: list[list[Event]] = [
        [],
        [s.changed(4, "urgent"), s.updated(4, 0)],
        [s.repaired(4), s.updated(4)],
        [s.updated(4)],
        [s.erased()] if row < 10 else [s.suspected(4, "watch", episode=1), s.updated(4, 1)],
    ]
    first_events: list[Event] = [s.started(), s.scheduled(2), s.suspected(3), s.updated(3, 0)]
    return [*first_events, *courses[row % len(courses)], s.cancelled(2)]


def clinician_registered(number: int) -> ClinicianRegistered:
    return ClinicianRegistered(
        id=UUID(int=number),
        occurred_at=NOW,
        clinician_id=UUID(int=number),
        clinic_id=UUID(int=1),
        time_zone="Asia/Tokyo",
    )


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka for this module alone."""
    with dedicated_kafka(tmp_path_factory.mktemp("kafka")) as servers:
        yield servers


class PreparedService:
    """A service that has handled all events and sent all messages; clinicians have acknowledged and resolved alerts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.mongo = Mongo(settings.mongodb_uri, settings.mongodb_database)
        runner = ServiceRunner(
            "notify", settings.kafka_bootstrap_servers, settings.mongodb_uri, settings.mongodb_database
        )
        self.start, self.command, self.serve = runner.start, runner.run_command, runner.serve
        self.wait_until_caught_up = runner.wait_until_caught_up
        self.kill_rebuild_in_each_phase = partial(runner.kill_rebuild_in_each_phase, self.mongo)

    async def view(self) -> dict[str, list[Document]]:
        """The documents of the view, without versions, write ids and outbox entries."""
        return {
            name: [
                {key: value for key, value in document.items() if key not in ("v", "written", "owed")}
                for document in await self.mongo[name].find().sort("_id", 1).to_list(None)
            ]
            for name in ("relationships", "alerts", "clinicians")
        }

    async def underivable_documents(self) -> list[Document]:
        """The documents that cannot be derived from the topics."""
        return [
            *await self.mongo["deliveries"].find().sort("_id", 1).to_list(None),
            *await self.mongo["channels"].find().sort("_id", 1).to_list(None),
        ]


@pytest.fixture
async def notified(settings: Settings, kafka: Producer, mailbox: Mailbox) -> AsyncIterator[PreparedService]:
    prepared_service = PreparedService(settings)
    async with run_app(create_app(settings)) as client:
        for number in range(1, CLINICIAN_COUNT + 1):
            channels = {"email": f"{number}@clinic.example"}
            assert (await client.put(f"/clinicians/{UUID(int=number)}/channels", json=channels)).is_success
        await kafka.publish([event for row in range(RELATIONSHIP_COUNT) for event in relationship_events(row)])
        await kafka.publish([clinician_registered(number) for number in range(1, CLINICIAN_COUNT + 1)])
        await kafka.send([Message(ALLIANCE.name, str(create_builder(0).relationship_id).encode(), b"not json")])
        await prepared_service.wait_until_caught_up()
        for row in (0, 5, 10):
            assert (await client.post(f"/alerts/{create_builder(row).alert_id()}/acknowledgement", json={})).is_success
        for row in (5, 6):
            response = await client.post(f"/alerts/{create_builder(row).alert_id()}/resolution", json={"useful": True})
            assert response.is_success
        await wait_until(lambda: _is_nothing_due(prepared_service), timeout_seconds=120)
        await wait_until(lambda: _is_outbox_empty(prepared_service), timeout_seconds=120)
    yield prepared_service
    await prepared_service.mongo.close()


async def _is_nothing_due(prepared_service: PreparedService) -> bool:
    return not await prepared_service.mongo["deliveries"].count_documents({"next_at": {"$exists": True}})


async def _is_outbox_empty(prepared_service: PreparedService) -> bool:
    return not await prepared_service.mongo["alerts"].count_documents({"owed.0": {"$exists": True}})


async def damage(prepared_service: PreparedService) -> None:
    """Damage the view in every way that a rebuild can repair."""
    relationships, alerts = prepared_service.mongo["relationships"], prepared_service.mongo["alerts"]
    await relationships.delete_one({"_id": create_builder(0).relationship_id})
    await relationships.update_one({"_id": create_builder(1).relationship_id}, {"$set": {"open_episode_id": uuid4()}})
    await relationships.update_one({"_id": create_builder(2).relationship_id}, {"$set": {"appointments": 7}})
    await alerts.delete_one({"_id": create_builder(5).alert_id()})  # acknowledged and resolved
    await alerts.update_one(
        {"_id": create_builder(6).alert_id()}, {"$set": {"resolved": None, "status": "open", "place": -2}}
    )
    await alerts.update_one(
        {"_id": create_builder(7).alert_id()}, {"$set": {"said.severity": "watch"}, "$unset": {"v": ""}}
    )
    await alerts.update_one({"_id": create_builder(11).alert_id()}, {"$set": {"said": "nothing", "v": "two"}})
    await prepared_service.mongo["clinicians"].update_one({"_id": UUID(int=1)}, {"$set": {"time_zone": "Moon/Crater"}})


async def test_a_rebuild_restores_a_damaged_view_and_sends_no_message_twice(
    notified: PreparedService, mailbox: Mailbox
) -> None:
    before, underivable, mail_count = (
        await notified.view(),
        await notified.underivable_documents(),
        len(mailbox.received),
    )
    assert (len(before["relationships"]), mail_count > RELATIONSHIP_COUNT / 4) == (RELATIONSHIP_COUNT, True)
    await damage(notified)
    verify_result = await notified.command("verify")

    result = await notified.command("rebuild")

    assert result.exit_code == 0, result
    assert await notified.view() == before
    assert (result.count_of("relationships corrected"), result.count_of("relationships restored")) == (6, 1)
    assert result.count_of("clinicians corrected") == 1
    for row, differing in ((0, "missing"), (1, "open_episode_id"), (2, "unreadable")):
        assert verify_result.differences[str(create_builder(row).relationship_id)].startswith(differing)
    assert result.differences[str(create_builder(5).relationship_id)] == f"alert {create_builder(5).alert_id()} missing"
    assert verify_result.exit_code == 1
    corrected = {r: names for r, names in verify_result.differences.items() if names not in ("clinician", "missing")}
    assert result.differences == corrected
    assert verify_result.differences[str(UUID(int=1))] == "clinician"

    second_result = await notified.command("verify")
    assert (second_result.exit_code, second_result.differences) == (0, {}), second_result
    async with run_app(create_app(notified.settings)):
        await wait_until(lambda: _is_nothing_due(notified))
    assert len(mailbox.received) == mail_count
    assert [d["_id"] for d in await notified.underivable_documents()] == [d["_id"] for d in underivable]


async def test_a_rebuild_restores_a_lost_view_with_dispositions_and_sends_nothing_again(
    notified: PreparedService, mailbox: Mailbox
) -> None:
    before, mail_count = await notified.view(), len(mailbox.received)
    for name in ("relationships", "alerts", "clinicians"):
        await notified.mongo[name].drop()

    result = await notified.command("rebuild")

    assert result.exit_code == 0, result
    assert await notified.view() == before
    async with run_app(create_app(notified.settings)):
        await wait_until(lambda: _is_nothing_due(notified))
    assert len(mailbox.received) == mail_count


async def test_an_alert_that_was_never_raised_is_sent_after_a_rebuild(
    notified: PreparedService, mailbox: Mailbox
) -> None:
    mail_count = len(mailbox.received)
    missing_alert = create_builder(1).alert_id()
    await notified.mongo["alerts"].delete_one({"_id": missing_alert})
    await notified.mongo["deliveries"].delete_many({"alert_id": missing_alert})

    assert (await notified.command("rebuild")).exit_code == 0
    async with run_app(create_app(notified.settings)):
        await wait_until(lambda: _is_true(len(mailbox.received) == mail_count + 1))


async def test_a_rebuild_of_a_correct_view_changes_nothing(notified: PreparedService) -> None:
    async def all_documents() -> Any:
        names = ("relationships", "alerts", "clinicians", "deliveries")
        return [await notified.mongo[name].find().sort("_id", 1).to_list(None) for name in names]

    before = await all_documents()

    result = await notified.command("rebuild")

    assert (result.exit_code, result.differences) == (0, {})
    assert await all_documents() == before


async def test_a_rebuild_continues_after_a_kill_and_several_processes_share_the_work(notified: PreparedService) -> None:
    before = await notified.view()
    for name in ("relationships", "alerts"):
        await notified.mongo[name].drop()
    await notified.kill_rebuild_in_each_phase(
        await join_rebuild(notified.settings.kafka_bootstrap_servers, notified.mongo, VIEW_SOURCE)
    )

    processes = [await notified.start("rebuild") for _ in range(2)]
    results = [await wait_for_exit(process) for process in processes]

    assert [each.exit_code for each in results] == [0, 0], results
    assert await notified.view() == before


async def test_a_rebuild_swaps_in_what_an_earlier_version_has_staged(notified: PreparedService) -> None:
    before = await notified.view()
    r, alert_id = create_builder(1).relationship_id, create_builder(1).alert_id()
    relationship = await notified.mongo["relationships"].find_one_and_delete({"_id": r})
    alert = await notified.mongo["alerts"].find_one_and_delete({"_id": alert_id})
    staged: Document = {"_id": r, "relationship": relationship, "alerts": [alert], "differs": ["missing"]}
    staged["positions"] = [[topic.name, 0] for topic in VIEW_SOURCE.topics]
    await insert_staged_rebuild(notified.mongo, "no policy", "rebuilt", staged)

    result = await notified.command("rebuild")

    assert (result.exit_code, result.count_of("relationships restored")) == (0, 1)
    assert await notified.view() == before


async def test_verify_finds_documents_that_are_not_on_the_topics(notified: PreparedService) -> None:
    unknown_relationship = RuptureBuilder(NOW)
    await notified.mongo["relationships"].insert_one(
        {"_id": unknown_relationship.relationship_id, "relationship_id": unknown_relationship.relationship_id, "v": 1}
    )
    await notified.mongo["alerts"].insert_one(
        {"_id": uuid4(), "relationship_id": create_builder(3).relationship_id, "v": 1}
    )

    result = await notified.command("verify")

    assert result.exit_code == 1
    assert result.differences[str(unknown_relationship.relationship_id)] == "not on the topics"
    assert result.differences[str(create_builder(3).relationship_id)].endswith("not on the topics")
    assert len(result.differences) == 2


async def test_a_wrong_clinician_is_not_compared_rather_than_correct_while_the_service_has_not_caught_up(
    notified: PreparedService, kafka: Producer
) -> None:
    clinician_id = UUID(int=1)
    await notified.mongo["clinicians"].update_one({"_id": clinician_id}, {"$set": {"time_zone": "Moon/Crater"}})
    await kafka.send([Message(INTAKE.name, str(clinician_id).encode(), b"not json")])  # nobody consumes it

    result = await notified.command("verify")

    compared = RELATIONSHIP_COUNT + CLINICIAN_COUNT - 1
    assert result.stdout.splitlines() == [
        f"{compared} relationships and clinicians compared, 0 different",
        "1 not compared: the service has not caught up with their events",
    ]


async def test_a_rebuild_misses_no_event_that_the_service_handles_meanwhile(
    notified: PreparedService, kafka: Producer
) -> None:
    await damage(notified)
    service = await notified.serve(SMTP_PORT=str(notified.settings.smtp_port), SMTP_FROM="attune@clinic.example")
    rebuilding = await notified.start("rebuild")
    version = 10
    while rebuilding.returncode is None:
        for row in range(5, 40) if version < 40 else ():
            s = create_builder(row)
            await kafka.publish([s.changed(version, "urgent"), s.updated(version, 0)])
        version += 1
        await asyncio.sleep(0)
    assert (await wait_for_exit(rebuilding)).exit_code == 0
    assert version > 11
    verify_result = await notified.command("verify")
    service.terminate()
    await wait_for_exit(service)

    assert (verify_result.exit_code, verify_result.stdout) == (
        0,
        f"{RELATIONSHIP_COUNT + CLINICIAN_COUNT} relationships and clinicians compared, 0 different\n",
    )
    alert_by_id = {d["_id"]: d for d in (await notified.view())["alerts"]}
    assert alert_by_id[create_builder(6).alert_id()]["said"]["version"] == min(version, 40) - 1
    assert alert_by_id[create_builder(6).alert_id()]["resolved"] is not None


async def _is_true(value: bool) -> bool:
    return value
