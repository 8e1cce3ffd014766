"""The topics, and what is read from and put on them from outside."""

import asyncio

import pytest

from deploy.jobs.topics import TopicSettings, create


@pytest.fixture(scope="session", autouse=True)
def topics(kafka_servers: str) -> None:
    """The topics, created as a deployment creates them; few partitions, so that groups form fast."""
    asyncio.run(create(TopicSettings(kafka_bootstrap_servers=kafka_servers, kafka_partitions=3)))
