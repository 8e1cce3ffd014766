"""One sessions service for each module of tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.sessions_client import Clinic, open_clinic, settings


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service(kafka_servers: str, mongodb_uri: str) -> AsyncIterator[Clinic]:
    """The service; use `clinic` for a relationship of your own at it."""
    async with open_clinic(settings(kafka_servers, mongodb_uri, http_body_limit=2000)) as clinic:
        yield clinic


@pytest.fixture
def clinic(service: Clinic) -> Clinic:
    """A new relationship, of which the service has not heard yet."""
    return Clinic(service.http, service.kafka, service.database)
