"""The topics, and what is read from and put on them from outside."""

import pytest

from tools.sandbox.servers.kafka_inspector import create_topics


@pytest.fixture(scope="session", autouse=True)
def topics(kafka_servers: str) -> None:
    """The topics, created as a deployment creates them; few partitions, so that groups form fast."""
    create_topics(kafka_servers, 3)
