"""Creates the topics: a deliberate step that can be repeated (`python -m deploy.jobs.topics`)."""

import asyncio
import sys
import time

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from pydantic import Field
from pydantic_settings import BaseSettings

from shared.errors import BrokerUnavailable
from shared.events.topics import ALL_TOPICS
from shared.kafka.admin import missing_topics
from shared.kafka.errors import translate_errors
from shared.runtime.backoff import backoff
from shared.runtime.settings import BootstrapServers, load_settings

CREATE_TIMEOUT_SECONDS = 60.0
"""The time for a broker that has just started to join its cluster."""


class TopicSettings(BaseSettings):
    """The layout of the topics. The partitions of an existing topic are never changed."""

    kafka_bootstrap_servers: BootstrapServers
    kafka_partitions: int = Field(default=12, ge=1, le=1000)
    """The same for all topics, so that a relationship has the same partition in each. Limits the members of a group."""
    kafka_replication: int = Field(default=1, ge=1, le=9)
    kafka_min_insync_replicas: int = Field(default=1, ge=1, le=9)


async def create_topics_with_retry(
    settings: TopicSettings, timeout_seconds: float = CREATE_TIMEOUT_SECONDS
) -> list[str]:
    """Like `create_topics`, retried until the timeout. Raises BrokerUnavailable."""
    deadline = time.monotonic() + timeout_seconds
    for delay in backoff(max_delay_seconds=2.0):
        try:
            return await create_topics(settings)
        except BrokerUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(delay)
    raise AssertionError("backoff never ends")


async def create_topics(settings: TopicSettings) -> list[str]:
    """Create the missing topics; return their names. Raises BrokerUnavailable."""
    names = await missing_topics(settings.kafka_bootstrap_servers, ALL_TOPICS)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    try:
        with translate_errors():
            await admin.start()
            response = await admin.create_topics([_new_topic(name, settings) for name in names])
    finally:
        await admin.close()
    for name, code, *_ in response.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise BrokerUnavailable(f"topic {name} could not be created: {for_code(code).__name__}")
    return names


def _new_topic(name: str, settings: TopicSettings) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication,
        topic_configs={
            "retention.ms": "-1",  # the record from which everything else can be rebuilt
            "cleanup.policy": "delete",
            "min.insync.replicas": str(settings.kafka_min_insync_replicas),
        },
    )


def main() -> None:
    settings = load_settings(TopicSettings)
    try:
        created = asyncio.run(create_topics_with_retry(settings))
    except BrokerUnavailable as error:
        sys.exit(f"topics: Kafka at {settings.kafka_bootstrap_servers} is unavailable: {error}")
    print(f"topics: created {', '.join(created)}" if created else "topics: all exist")


if __name__ == "__main__":
    main()
