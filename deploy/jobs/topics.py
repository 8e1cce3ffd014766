"""Creates the topics, and makes them stamp records on append: a deliberate step that can be repeated.

It is the program `python -m deploy.jobs.topics`.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code
from pydantic import Field
from pydantic_settings import BaseSettings

from shared.errors import BrokerUnavailable
from shared.events.topics import ALL_TOPICS
from shared.kafka.admin import describe_settings, missing_topics
from shared.kafka.errors import translate_errors
from shared.runtime.backoff import backoff
from shared.runtime.settings import BootstrapServers, load_settings

CREATE_TIMEOUT_SECONDS = 60.0
"""The time for a broker that has just started to join its cluster."""

STAMP_ON_APPEND = {"message.timestamp.type": "LogAppendTime"}
"""Kafka says when a record arrived, whatever the clock of its sender says (shared/kafka/record_decoder.py)."""


class TopicSettings(BaseSettings):
    """The layout of the topics. The partitions of an existing topic are never changed."""

    kafka_bootstrap_servers: BootstrapServers
    kafka_partitions: int = Field(default=12, ge=1, le=1000)
    """The same for all topics, so that a relationship has the same partition in each. Limits the members of a group."""
    kafka_replication: int = Field(default=1, ge=1, le=9)
    kafka_min_insync_replicas: int = Field(default=1, ge=1, le=9)


@dataclass(frozen=True, slots=True)
class TopicChanges:
    """The names of the topics that were changed."""

    created: list[str]
    stamped: list[str]
    """Existing topics that stamp records on append from now on."""

    def __str__(self) -> str:
        changes = [f"created {', '.join(self.created)}"] if self.created else []
        changes += [f"from now on stamp records on append: {', '.join(self.stamped)}"] if self.stamped else []
        return "; ".join(changes) or "all exist"


async def provide_topics_with_retry(
    settings: TopicSettings, timeout_seconds: float = CREATE_TIMEOUT_SECONDS
) -> TopicChanges:
    """Create the missing topics, and make the others stamp on append, until the timeout. Raises BrokerUnavailable."""
    deadline = time.monotonic() + timeout_seconds
    for delay in backoff(max_delay_seconds=2.0):
        try:
            created = await create_topics(settings)
            existing = [topic.name for topic in ALL_TOPICS if topic.name not in created]
            return TopicChanges(created, await stamp_on_append(settings.kafka_bootstrap_servers, existing))
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


async def stamp_on_append(servers: str, names: Sequence[str]) -> list[str]:
    """Make existing topics stamp on append; return those that did not. Raises BrokerUnavailable.

    Records that are on them keep their senders' timestamps, and are marked as such.
    """
    if not names:
        return []
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with translate_errors():
            await admin.start()
            settings = await describe_settings(admin, names, own_only=True)
            changed = [name for name in names if any(settings[name].get(k) != v for k, v in STAMP_ON_APPEND.items())]
            # Kafka resets what is not named in the request, so the topic's own settings are given again.
            resources = [
                ConfigResource(ConfigResourceType.TOPIC, name, {**settings[name], **STAMP_ON_APPEND})
                for name in changed
            ]
            responses = await admin.alter_configs(resources) if resources else []
    finally:
        await admin.close()
    for code, _, _, name in (resource for response in responses for resource in response.resources):
        if code:
            raise BrokerUnavailable(f"topic {name} could not be changed: {for_code(code).__name__}")
    return changed


def _new_topic(name: str, settings: TopicSettings) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=settings.kafka_partitions,
        replication_factor=settings.kafka_replication,
        topic_configs={
            "retention.ms": "-1",  # the record from which everything else can be rebuilt
            "cleanup.policy": "delete",
            "min.insync.replicas": str(settings.kafka_min_insync_replicas),
            **STAMP_ON_APPEND,
        },
    )


def main() -> None:
    settings = load_settings(TopicSettings)
    try:
        changes = asyncio.run(provide_topics_with_retry(settings))
    except BrokerUnavailable as error:
        sys.exit(f"topics: Kafka at {settings.kafka_bootstrap_servers} is unavailable: {error}")
    print(f"topics: {changes}")


if __name__ == "__main__":
    main()
