"""One sessions service for each module of tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

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
