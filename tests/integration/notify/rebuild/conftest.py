"""Empty topics for each module of tests, and a service with a history for each test."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from services.notify.app import create_app
from services.notify.settings import Settings
from shared.events.topics import ALLIANCE
from shared.kafka.producer import Message, Producer
from tests.integration.notify.rebuild.prepared_service import (
    CLINICIAN_COUNT,
    RELATIONSHIP_COUNT,
    PreparedService,
    clinician_registered,
    create_builder,
    is_nothing_due,
    is_outbox_empty,
    relationship_events,
)
from tests.integration.notify.steps import dispose
from tests.support.receivers import Mailbox
from tests.support.serving import run_app, wait_until

ACKNOWLEDGEMENT, RESOLUTION, REOPENING = (str(UUID(int=number)) for number in (101, 102, 103))
"""The same for every test of a module, because they share a Kafka."""


@pytest.fixture(scope="session", autouse=True)
def topics() -> None:
    """Nothing to create: these tests do not use the Kafka that others share."""


@pytest.fixture(scope="module")
def kafka_servers(empty_kafka: str) -> str:
    return empty_kafka


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
            acknowledged = await dispose(client, create_builder(row), "acknowledgement", id=ACKNOWLEDGEMENT)
        undone = acknowledged.json()["disposition_id"]
        await dispose(client, create_builder(10), "reopening", id=REOPENING, disposition_id=undone)
        for row in (5, 6):
            await dispose(client, create_builder(row), "resolution", id=RESOLUTION, useful=True)
        await wait_until(lambda: is_nothing_due(prepared_service), timeout_seconds=120)
        await wait_until(lambda: is_outbox_empty(prepared_service), timeout_seconds=120)
    yield prepared_service
    await prepared_service.mongo.close()
