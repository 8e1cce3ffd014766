"""What tests of alliance share: a recorded history, settings with a database of their own, and a store."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal, cast
from uuid import uuid4

import pytest

from services.alliance.settings import Settings
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.mongo import MongoStore
from services.alliance.store.protocol import Store
from shared.mongo.client import Mongo
from tests.integration.alliance.recorded_database import RecordedDatabase, history, record_history


@pytest.fixture(scope="session")
def recorded(mongodb_uri: str) -> RecordedDatabase:
    """A database that no test changes: its commands only read it."""
    return asyncio.run(record_history(mongodb_uri, history(60)))


@pytest.fixture
def settings(kafka_servers: str, mongodb_uri: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=kafka_servers, mongodb_uri=mongodb_uri, mongodb_database=f"test_{uuid4().hex}"
    )


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield InMemoryStore()
        return
    uri: str = request.getfixturevalue("mongodb_uri")
    mongo = Mongo(uri, f"test_{uuid4().hex}", cast("Literal['motor', 'pymongo']", request.param))
    mongo_store = MongoStore(mongo)
    await mongo_store.create_indexes()
    yield mongo_store
    await mongo.close()
