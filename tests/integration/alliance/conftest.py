"""What tests of alliance share: a recorded history."""

import asyncio

import pytest

from tests.integration.alliance.recorded_database import RecordedDatabase, history, record_history


@pytest.fixture(scope="session")
def recorded(mongodb_uri: str) -> RecordedDatabase:
    """A database that no test changes: its commands only read it."""
    return asyncio.run(record_history(mongodb_uri, history(60)))
