"""The stored view of the staff: what a store promises, and how it is verified and rebuilt."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.access.clinic_id import ClinicId
from shared.events import StaffEvent
from shared.kafka.event_reader import PartitionSlice
from shared.mongo.client import Mongo
from shared.outbox.documents import Versioned
from shared.rebuild.history import SliceReader
from shared.staff.cache import CachedStaff
from shared.staff.handlers import handle_staff_events
from shared.staff.rebuild import StaffDocuments
from shared.staff.staff import ClinicStaff, fold
from shared.staff.store import STAFF, InMemoryStaffStore, MongoStaffStore, StaffStore
from tests.support.builders import RelationshipBuilder
from tests.support.memory_topic import MemoryTopic
from tests.support.mongo import open_mongo
from tests.support.sessions_builders import clinic_updated
from tests.support.staff_builders import (
    ANNA,
    ANNAS,
    BEN,
    BENS,
    CARLA,
    CLINIC,
    DAY,
    OTHER_CLINIC,
    START,
    deputies_updated,
    deputy,
    lead_updated,
    removed,
    staff_updated,
    supervisor,
    supervisors_updated,
)

pytestmark = pytest.mark.integration

ELM, OAK = ClinicId(CLINIC), ClinicId(OTHER_CLINIC)
EVENTS: list[StaffEvent] = [
    staff_updated(ANNA, "clinician"),
    staff_updated(BEN, "clinician", "supervisor"),
    removed(ANNA, ANNAS, occurred_at=START + DAY),
    deputies_updated(ANNAS, deputy(BEN)),
    supervisors_updated(BENS, supervisor(CARLA, days=3), supervisor(ANNA)),
    lead_updated(BEN),
]
STAFF_OF_ELM = fold(CLINIC, EVENTS)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[StaffStore]:
    if request.param == "memory":
        yield InMemoryStaffStore()
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        yield MongoStaffStore(mongo)


async def test_the_staff_is_loaded_as_it_was_saved_with_its_version(store: StaffStore) -> None:
    empty = ClinicStaff(clinic_id=OTHER_CLINIC)

    assert await store.save([Versioned(CLINIC, STAFF_OF_ELM)]) == set()

    assert await store.load([CLINIC, OTHER_CLINIC]) == {
        CLINIC: Versioned(CLINIC, STAFF_OF_ELM, 1),
        OTHER_CLINIC: Versioned(OTHER_CLINIC, empty, 0),
    }
    assert (await store.find(ELM), await store.find(OAK)) == (STAFF_OF_ELM, empty)


async def test_staff_that_was_changed_since_it_was_loaded_is_not_overwritten(store: StaffStore) -> None:
    empty, other = ClinicStaff(clinic_id=CLINIC), ClinicStaff(clinic_id=OTHER_CLINIC)
    await store.save([Versioned(CLINIC, STAFF_OF_ELM)])

    assert await store.save([Versioned(CLINIC, empty), Versioned(OTHER_CLINIC, other)]) == {CLINIC}

    assert await store.find(ELM) == STAFF_OF_ELM
    assert (await store.load([OTHER_CLINIC]))[OTHER_CLINIC].version == 1


async def test_concurrent_events_are_all_folded(store: StaffStore) -> None:
    await asyncio.gather(*(handle_staff_events([event], store, CachedStaff(store)) for event in EVENTS))

    assert await store.find(ELM) == STAFF_OF_ELM


class RecordedStaff:
    """The staff of a clinic on a topic and in the database of a service."""

    def __init__(self, mongo: Mongo) -> None:
        self.topic = MemoryTopic()
        self.collection = mongo[STAFF]
        self.store = MongoStaffStore(mongo)
        self.documents = StaffDocuments(mongo)

    async def handle(self, *events: StaffEvent) -> None:
        await handle_staff_events(events, self.store, CachedStaff(self.store))

    async def read(self) -> SliceReader:
        slice_reader = SliceReader(self.topic, PartitionSlice(0, 0, 1))
        await slice_reader.read()
        return slice_reader

    async def find_differences(self) -> list[str]:
        histories = (await self.read()).histories
        return [", ".join(difference.names) for difference in await self.documents.find_differences(histories)]

    async def correct(self) -> int:
        slice_reader = await self.read()
        return await self.documents.correct(slice_reader, slice_reader.histories)


@pytest.fixture
async def recorded(mongodb_uri: str) -> AsyncIterator[RecordedStaff]:
    """Everything on the topic is handled."""
    async with open_mongo(mongodb_uri, "motor") as mongo:
        recorded = RecordedStaff(mongo)
        recorded.topic.events += [
            *EVENTS,
            RelationshipBuilder().started(),
            clinic_updated("Elm", 1),
        ]  # one without staff
        await recorded.handle(*EVENTS)
        yield recorded


async def test_staff_that_is_stored_as_the_events_say_is_no_difference(recorded: RecordedStaff) -> None:
    assert await recorded.find_differences() == []
    assert await recorded.correct() == 0
    assert await recorded.documents.list_ids(None, 10) == [CLINIC]
    assert await recorded.documents.list_ids(CLINIC, 10) == []


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        ({"$set": {"people": []}}, "people"),
        ({"$set": {"people.0.is_removed": False}}, "people"),
        ({"$set": {"deputies.0.deputies": [], "lead": None}}, "deputies, lead"),
        ({"$set": {"supervisors.0.supervisors.0.until_at": None}}, "supervisors"),
        ({"$set": {"supervisors": "nobody"}}, "unreadable"),
        ({"$set": {"v": "two"}}, "version"),
        ({"$unset": {"v": ""}}, "version"),
    ],
)
async def test_damaged_staff_is_found_and_corrected(
    recorded: RecordedStaff, damage: dict[str, object], names: str
) -> None:
    await recorded.collection.update_one({"_id": CLINIC}, damage)

    assert await recorded.find_differences() == [names]
    assert await recorded.correct() == 1

    assert await recorded.find_differences() == []
    assert await recorded.store.find(ELM) == STAFF_OF_ELM


async def test_missing_staff_is_found_and_restored(recorded: RecordedStaff) -> None:
    await recorded.collection.delete_many({})

    assert await recorded.find_differences() == ["missing"]
    assert await recorded.correct() == 1

    assert await recorded.store.find(ELM) == STAFF_OF_ELM


async def test_a_record_that_is_not_on_the_topics_is_reported_and_left_alone(recorded: RecordedStaff) -> None:
    stranger = staff_updated(CARLA, "administrator")
    await recorded.handle(stranger, lead_updated(CARLA, occurred_at=START + DAY))

    assert await recorded.find_differences() == ["lead, people not on the topics"]
    assert await recorded.correct() == 1

    assert await recorded.find_differences() == ["people not on the topics"]
    assert await recorded.store.find(ELM) == fold(CLINIC, [*EVENTS, stranger])


async def test_what_the_service_handles_during_a_rebuild_is_not_overwritten(recorded: RecordedStaff) -> None:
    newer = staff_updated(ANNA, "desk", occurred_at=START + 2 * DAY)
    slice_reader = await recorded.read()
    recorded.topic.events.append(newer)
    await recorded.handle(newer)
    await recorded.collection.update_one({"_id": CLINIC}, {"$set": {"lead": None}})

    assert await recorded.documents.correct(slice_reader, slice_reader.histories) == 1

    assert await recorded.store.find(ELM) == fold(CLINIC, [*EVENTS, newer])
