"""What tests of alliance share: a recorded history, and settings with a database of their own."""

import asyncio
from uuid import uuid4

import pytest

from services.alliance.settings import Settings
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
