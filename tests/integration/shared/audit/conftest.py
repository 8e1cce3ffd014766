"""A store of the audit for one test: in memory, and in MongoDB with either driver."""

from collections.abc import AsyncIterator

import pytest

from shared.audit.store.memory import InMemoryAuditStore
from shared.audit.store.mongo import MongoAuditStore
from shared.audit.store.protocol import AuditStore
from tests.support.mongo import open_mongo


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AuditStore]:
    if request.param == "memory":
        yield InMemoryAuditStore()
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        mongo_store = MongoAuditStore(mongo)
        await mongo_store.create_indexes()
        yield mongo_store
