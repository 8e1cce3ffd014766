"""Rebuilding and verifying notify's view as operators do it; nobody is told twice, and what clinicians did stays."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from services.notify.app import create_app
from services.notify.commands import UNDER
from services.notify.rebuild.rebuild import HEARD, KINDS_READ, READ
from services.notify.settings import Settings
from services.notify.subscriptions import HEARS
from shared.events import ClinicianRegistered, Event
from shared.events.topics import ALLIANCE
from shared.kafka.producer import Message, Producer
from shared.kafka.topic_reader import History
from shared.mongo.client import Document, Mongo
from shared.rebuild.job import Work
from tests.support.receivers import Mailbox
from tests.support.rupture_builder import Strained
from tests.support.service_process import PARTITIONS, Place, ended, kafka_of_our_own, shares
from tests.support.serving import served, until

pytestmark = pytest.mark.integration

COUNT = 60
NOW = datetime.now(UTC)


def strained(row: int) -> Strained:
    return Strained(NOW, UUID(int=row % 5 + 1), relationship=uuid5(UUID(int=9), f"strained {row}"))


def history(row: int) -> list[Event]:
    """Open, risen, repaired, retracted, and of somebody who is to be forgotten, in turns."""
    s = strained(row)
    courses: list[list[Event]] = [
        [],
        [s.changed(4, "urgent"), s.updated(4, 0)],
        [s.repaired(4), s.updated(4)],
        [s.updated(4)],
        [s.erased()] if row < 10 else [s.suspected(4, "watch", episode=1), s.updated(4, 1)],
    ]
    first_events: list[Event] = [s.started(), s.scheduled(2), s.suspected(3), s.updated(3, 0)]
    return [*first_events, *courses[row % len(courses)], s.cancelled(2)]


def registered(number: int) -> ClinicianRegistered:
    return ClinicianRegistered(
        id=UUID(int=number),
        occurred_at=NOW,
        clinician_id=UUID(int=number),
        clinic_id=UUID(int=1),
        time_zone="Asia/Tokyo",
    )


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of our own."""
    with kafka_of_our_own(tmp_path_factory.mktemp("kafka")) as servers:
        yield servers


class Notified:
    """A service that has heard everything, and told by e-mail what was to be told; clinicians have done their part."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.mongo = Mongo(settings.mongodb_uri, settings.mongodb_database)
        place = Place("notify", settings.kafka_bootstrap_servers, settings.mongodb_uri, settings.mongodb_database)
        self.start, self.command, self.serve = place.start, place.command, place.serve
        self.until_taken_in = partial(place.until_taken_in, *HEARD, kinds=HEARS)

    async def view(self) -> dict[str, list[Document]]:
        """What is in the view; without the versions, which count writes, and the marks of who wrote."""
        return {
            name: [
                {key: value for key, value in document.items() if key not in ("v", "written", "owed")}
                for document in await self.mongo[name].find().sort("_id", 1).to_list(None)
            ]
            for name in ("relationships", "alerts", "clinicians")
        }

    async def kept(self) -> list[Document]:
        """What no topic knows."""
        return [
            *await self.mongo["deliveries"].find().sort("_id", 1).to_list(None),
            *await self.mongo["channels"].find().sort("_id", 1).to_list(None),
        ]


@pytest.fixture
async def notified(settings: Settings, kafka: Producer, mailbox: Mailbox) -> AsyncIterator[Notified]:
    prepared_service = Notified(settings)
    async with served(create_app(settings)) as client:
        for number in range(1, 6):
            channels = {"email": f"{number}@clinic.example"}
            assert (await client.put(f"/clinicians/{UUID(int=number)}/channels", json=channels)).is_success
        await kafka.tell([event for row in range(COUNT) for event in history(row)])
        await kafka.tell([registered(number) for number in range(1, 6)])
        await kafka.send([Message(ALLIANCE.name, str(strained(0).relationship).encode(), b"not json")])
        await prepared_service.until_taken_in()
        for row in (0, 5, 10):
            assert (await client.post(f"/alerts/{strained(row).alert()}/acknowledgement", json={})).is_success
        for row in (5, 6):
            response = await client.post(f"/alerts/{strained(row).alert()}/resolution", json={"useful": True})
            assert response.is_success
        await until(lambda: _nothing_due(prepared_service), within=120)
        await until(lambda: _nothing_owed(prepared_service), within=120)
    yield prepared_service
    await prepared_service.mongo.close()


async def _nothing_due(notified: Notified) -> bool:
    return not await notified.mongo["deliveries"].count_documents({"next_at": {"$exists": True}})


async def _nothing_owed(notified: Notified) -> bool:
    return not await notified.mongo["alerts"].count_documents({"owed.0": {"$exists": True}})


async def damage(notified: Notified) -> None:
    """Everything that can be wrong with the view."""
    relationships, alerts = notified.mongo["relationships"], notified.mongo["alerts"]
    await relationships.delete_one({"_id": strained(0).relationship})
    await relationships.update_one({"_id": strained(1).relationship}, {"$set": {"open_episode_id": uuid4()}})
    await relationships.update_one({"_id": strained(2).relationship}, {"$set": {"appointments": 7}})
    await alerts.delete_one({"_id": strained(5).alert()})  # acknowledged and resolved
    await alerts.update_one({"_id": strained(6).alert()}, {"$set": {"resolved": None, "status": "open", "place": -2}})
    await alerts.update_one({"_id": strained(7).alert()}, {"$set": {"said.severity": "watch"}, "$unset": {"v": ""}})
    await alerts.update_one({"_id": strained(11).alert()}, {"$set": {"said": "nothing", "v": "two"}})
    await notified.mongo["clinicians"].update_one({"_id": UUID(int=1)}, {"$set": {"time_zone": "Moon/Crater"}})


async def test_a_damaged_view_is_afterwards_as_it_was_and_nobody_is_told_twice(
    notified: Notified, mailbox: Mailbox
) -> None:
    before, undeducible, mail_count = await notified.view(), await notified.kept(), len(mailbox.taken)
    assert (len(before["relationships"]), mail_count > COUNT / 4) == (COUNT, True)
    await damage(notified)
    verify_result = await notified.command("verify")

    result = await notified.command("rebuild")

    assert result.code == 0, result
    assert await notified.view() == before
    assert result.counted("relationships put right") == 7
    assert result.counted("clinicians put right") == 1
    for row, differing in ((0, "missing"), (1, "open_episode_id"), (2, "unreadable")):
        assert result.named[str(strained(row).relationship)].startswith(differing)
    assert result.named[str(strained(5).relationship)] == f"alert {strained(5).alert()} missing"
    assert verify_result.code == 1
    assert {r for r, differing in verify_result.named.items() if differing != "clinician"} == result.named.keys()
    assert verify_result.named[str(UUID(int=1))] == "clinician"

    second_result = await notified.command("verify")
    assert (second_result.code, second_result.named) == (0, {}), second_result
    async with served(create_app(notified.settings)):
        await until(lambda: _nothing_due(notified))
    assert len(mailbox.taken) == mail_count
    assert [d["_id"] for d in await notified.kept()] == [d["_id"] for d in undeducible]


async def test_a_lost_view_comes_back_with_what_clinicians_did_and_tells_nobody_again(
    notified: Notified, mailbox: Mailbox
) -> None:
    before, mail_count = await notified.view(), len(mailbox.taken)
    for name in ("relationships", "alerts", "clinicians"):
        await notified.mongo[name].drop()

    result = await notified.command("rebuild")

    assert result.code == 0, result
    assert await notified.view() == before
    async with served(create_app(notified.settings)):
        await until(lambda: _nothing_due(notified))
    assert len(mailbox.taken) == mail_count


async def test_an_alert_that_was_never_raised_is_told_after_a_rebuild(notified: Notified, mailbox: Mailbox) -> None:
    mail_count = len(mailbox.taken)
    missing_alert = strained(1).alert()
    await notified.mongo["alerts"].delete_one({"_id": missing_alert})
    await notified.mongo["deliveries"].delete_many({"alert_id": missing_alert})

    assert (await notified.command("rebuild")).code == 0
    async with served(create_app(notified.settings)):
        await until(lambda: _is(len(mailbox.taken) == mail_count + 1))


async def test_rebuilding_what_is_as_it_ought_to_be_changes_nothing(notified: Notified) -> None:
    async def everything() -> Any:
        names = ("relationships", "alerts", "clinicians", "deliveries")
        return [await notified.mongo[name].find().sort("_id", 1).to_list(None) for name in names]

    before = await everything()

    result = await notified.command("rebuild")

    assert (result.code, result.named) == (0, {})
    assert await everything() == before


async def test_killed_in_the_middle_it_goes_on_and_several_at_once_share_the_work(notified: Notified) -> None:
    """We hold a share, so that the others come no further; ours is taken over when our lease has ended."""
    before = await notified.view()
    for name in ("relationships", "alerts"):
        await notified.mongo[name].drop()
    async with History(notified.settings.kafka_bootstrap_servers, READ, KINDS_READ) as reader:
        sizes = await reader.sizes()
    own_job = Work(notified.mongo)
    await own_job.join(UNDER, sizes)
    assert await own_job.claim("read")

    first = await notified.start("rebuild")
    await until(lambda: _at(notified, read=1, swap=PARTITIONS - 1), within=120)
    first.kill()
    assert (await ended(first)).code == -signal.SIGKILL
    assert await own_job.claim("swap")
    second = await notified.start("rebuild")
    await until(lambda: _at(notified, swap=1, done=PARTITIONS - 1), within=120)
    second.kill()
    await ended(second)
    processes = [await notified.start("rebuild") for _ in range(2)]
    results = [await ended(process) for process in processes]

    assert [each.code for each in results] == [0, 0], results
    assert await notified.view() == before


async def test_verify_finds_what_the_topics_do_not_know(notified: Notified) -> None:
    unknown_relationship = Strained(NOW)
    await notified.mongo["relationships"].insert_one(
        {"_id": unknown_relationship.relationship, "relationship_id": unknown_relationship.relationship, "v": 1}
    )
    await notified.mongo["alerts"].insert_one({"_id": uuid4(), "relationship_id": strained(3).relationship, "v": 1})

    result = await notified.command("verify")

    assert result.code == 1
    assert result.named[str(unknown_relationship.relationship)] == "not on the topics"
    assert result.named[str(strained(3).relationship)].endswith("not on the topics")
    assert len(result.named) == 2


async def test_a_rebuild_misses_nothing_that_the_service_hears_meanwhile(notified: Notified, kafka: Producer) -> None:
    await damage(notified)
    service = await notified.serve(SMTP_PORT=str(notified.settings.smtp_port), SMTP_FROM="attune@clinic.example")
    rebuilding = await notified.start("rebuild")
    version = 10
    while rebuilding.returncode is None:
        for row in range(5, 40) if version < 40 else ():
            s = strained(row)
            await kafka.tell([s.changed(version, "urgent"), s.updated(version, 0)])
        version += 1
        await asyncio.sleep(0)
    assert (await ended(rebuilding)).code == 0
    assert version > 11
    verify_result = await notified.command("verify")
    service.terminate()
    await ended(service)

    assert (verify_result.code, verify_result.out) == (0, f"{COUNT} relationships compared, 0 different\n")
    alert_by_id = {d["_id"]: d for d in (await notified.view())["alerts"]}
    assert alert_by_id[strained(6).alert()]["said"]["version"] == min(version, 40) - 1
    assert alert_by_id[strained(6).alert()]["resolved"] is not None


async def _at(notified: Notified, **stages: int) -> bool:
    return await shares(notified.mongo) == Counter(stages)


async def _is(value: bool) -> bool:
    return value
