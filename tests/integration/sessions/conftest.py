"""One sessions service for each module of tests, and a store of each kind for each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.sessions.store.memory import InMemoryStore
from services.sessions.store.mongo import SESSIONS, MongoStore
from services.sessions.store.protocol import Store
from shared.runtime.clock import now
from tests.support.mongo import create_idle_outbox, open_mongo
from tests.support.sessions_client import SessionsClient, make_settings, serve_clinic


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(kafka_servers: str, mongodb_uri: str) -> AsyncIterator[SessionsClient]:
    """The service. The fixture `clinic` gives each test its own relationship."""
    async with serve_clinic(make_settings(kafka_servers, mongodb_uri, http_body_limit=2000)) as clinic:
        yield clinic


@pytest.fixture
def clinic(service: SessionsClient) -> SessionsClient:
    """A new relationship that the service does not know yet."""
    return SessionsClient(service.http, service.producer, service.database)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield InMemoryStore(now)
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        mongo_store = MongoStore(mongo, create_idle_outbox(mongo, [SESSIONS], now), now)
        await mongo_store.create_indexes()
        yield mongo_store
