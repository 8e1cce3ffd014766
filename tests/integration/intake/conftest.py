"""One intake service for each module of tests and each driver."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.intake.app import create_app
from tests.support.intake_client import IntakeClient, make_settings
from tests.support.serving import ServiceClient, run_app


@pytest_asyncio.fixture(params=["motor", "pymongo"], loop_scope="module", scope="module")
async def service(request: pytest.FixtureRequest, kafka_servers: str, mongodb_uri: str) -> AsyncIterator[ServiceClient]:
    """The service. The fixture `clinic` gives each test its own clinic."""
    async with run_app(create_app(make_settings(kafka_servers, mongodb_uri, mongodb_driver=request.param))) as http:
        yield http


@pytest.fixture
def clinic(service: ServiceClient, kafka_servers: str) -> IntakeClient:
    """A clinic that the service does not know yet."""
    return IntakeClient(service, kafka_servers)
