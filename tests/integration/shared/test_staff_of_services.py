"""Every service that consumes events folds the staff of clinics into its own database, and can rebuild it."""

import asyncio
from uuid import uuid4

import pytest

from shared.access.clinic_id import ClinicId
from shared.events import StaffEvent
from shared.events.topics import CONSUMED_TOPICS
from shared.staff.staff import fold
from shared.staff.store import STAFF, MongoStaffStore
from tests.support.builders import RelationshipBuilder
from tests.support.harness import started_producer
from tests.support.mongo import open_mongo
from tests.support.service_process import ServiceRunner
from tests.support.staff_builders import (
    ANNA,
    ANNAS,
    BEN,
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

EVENTS: list[StaffEvent] = [
    removed(ANNA, ANNAS, occurred_at=START + DAY),
    staff_updated(ANNA, "clinician"),
    staff_updated(BEN, "clinician", "supervisor"),
    deputies_updated(ANNAS, deputy(BEN)),
    supervisors_updated(ANNAS, supervisor(BEN)),
    lead_updated(BEN),
    staff_updated(ANNA, "administrator", clinic_id=OTHER_CLINIC),
]


@pytest.fixture(scope="session", autouse=True)
def topics() -> None:
    """Nothing to create: these tests do not use the Kafka that others share."""


@pytest.fixture(scope="module")
def servers(empty_kafka: str) -> str:
    async def publish() -> None:
        async with started_producer(empty_kafka) as producer:
            await producer.publish([*EVENTS, RelationshipBuilder().started(), *EVENTS])

    asyncio.run(publish())
    return empty_kafka


@pytest.mark.parametrize("service", CONSUMED_TOPICS)
async def test_a_service_folds_the_staff_and_rebuilds_it(service: str, servers: str, mongodb_uri: str) -> None:
    async with open_mongo(mongodb_uri, "motor") as mongo:
        database, store = mongo.database.name, MongoStaffStore(mongo)
        runner = ServiceRunner(service, servers, mongodb_uri, database)
        expected = [
            fold(clinic, [event for event in EVENTS if event.clinic_id == clinic]) for clinic in (CLINIC, OTHER_CLINIC)
        ]

        await runner.consume_everything()
        assert [await store.find(ClinicId(clinic)) for clinic in (CLINIC, OTHER_CLINIC)] == expected
        assert (await runner.run_command("verify")).differences == {}

        unknown = uuid4()
        await mongo[STAFF].update_one({"_id": CLINIC}, {"$set": {"people": [], "lead": None}})
        await mongo[STAFF].delete_one({"_id": OTHER_CLINIC})
        await mongo[STAFF].insert_one({"_id": unknown, "clinic_id": unknown, "v": 1})
        assert (await runner.run_command("verify")).differences == {
            str(CLINIC): "lead, people",
            str(OTHER_CLINIC): "missing",
            str(unknown): "not on the topics",
        }

        rebuilt = await runner.run_command("rebuild")
        assert (rebuilt.exit_code, rebuilt.count_of("clinics' staff corrected")) == (0, 2), rebuilt
        assert [await store.find(ClinicId(clinic)) for clinic in (CLINIC, OTHER_CLINIC)] == expected
        assert (await runner.run_command("verify")).differences == {str(unknown): "not on the topics"}
