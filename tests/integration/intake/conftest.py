"""One intake service for each module of tests and each driver, and a store for each test."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio

from services.intake.app import create_app
from services.intake.store.memory import InMemoryStore
from services.intake.store.mongo import CLINICIANS, CLINICS, RELATIONSHIPS, STAFF_RECORDS, MongoStore
from services.intake.store.protocol import Store
from tests.integration.intake.store_steps import start_elsewhere
from tests.support.intake_builders import NOW, make_clinician
from tests.support.intake_client import IntakeClient, make_settings
from tests.support.mongo import create_idle_outbox, open_mongo
from tests.support.serving import ServiceClient, run_app


@pytest_asyncio.fixture(params=["motor", "pymongo"], loop_scope="module", scope="module")
async def service(request: pytest.FixtureRequest, kafka_servers: str, mongodb_uri: str) -> AsyncIterator[ServiceClient]:
    """The service, with a clinic that no test changes. The fixture `clinic` gives each test its own."""
    async with run_app(create_app(make_settings(kafka_servers, mongodb_uri, mongodb_driver=request.param))) as http:
        await IntakeClient(http, kafka_servers).set_up()
        yield http


@pytest.fixture
def clinic(service: ServiceClient, kafka_servers: str) -> IntakeClient:
    """A clinic that the service does not know yet."""
    return IntakeClient(service, kafka_servers)


@pytest.fixture
def other_clinic(service: ServiceClient, kafka_servers: str) -> IntakeClient:
    """Another clinic that the service does not know yet."""
    return IntakeClient(service, kafka_servers)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store with a relationship of a clinic that no test knows."""
    neighbour = make_clinician(clinic_id=uuid4())
    if request.param == "memory":
        memory_store = InMemoryStore()
        await start_elsewhere(memory_store, uuid4(), neighbour)
        yield memory_store
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        outbox = create_idle_outbox(mongo, [CLINICS, STAFF_RECORDS, CLINICIANS, RELATIONSHIPS], lambda: NOW)
        mongo_store = MongoStore(mongo, outbox, lambda: NOW)
        await mongo_store.create_indexes()
        await start_elsewhere(mongo_store, uuid4(), neighbour)
        yield mongo_store
