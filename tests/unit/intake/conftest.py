"""The HTTP API of intake on a store in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.intake.http.api import routes
from services.intake.metrics import IntakeMetrics
from services.intake.service.caseload import CaseloadService
from services.intake.service.people import PeopleService
from services.intake.service.relationships import RelationshipService
from services.intake.store.memory import InMemoryStore
from shared.http.app import create_base_app
from shared.runtime.settings import HttpLimits
from tests.support.intake_builders import NOW
from tests.support.intake_client import IntakeClient


@asynccontextmanager
async def no_lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


@pytest.fixture
async def clinic(store: InMemoryStore) -> AsyncIterator[IntakeClient]:
    """A clinic with a clinician, a client and a relationship."""
    registry = CollectorRegistry()
    app = create_base_app("intake", "", HttpLimits(1_000_000), no_lifespan, registry)
    parts = store, IntakeMetrics(registry), lambda: NOW
    app.include_router(routes(PeopleService(*parts), RelationshipService(*parts), CaseloadService(*parts)))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http:
        clinic = IntakeClient(http, kafka_servers="")
        await clinic.set_up()
        yield clinic
