"""Requests to the Kafka cluster about its topics."""

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from shared.events.topics import Topic
from shared.kafka.errors import translate_errors

_OWN = 1
"""The source of a setting that was given for the topic itself, in the protocol of Kafka."""


async def missing_topics(servers: str, topics: Sequence[Topic]) -> list[str]:
    """Those of `topics` that do not exist. Raises BrokerUnavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        with translate_errors():
            await admin.start()
            existing = set(await admin.list_topics())
    finally:
        await admin.close()
    return sorted({topic.name for topic in topics} - existing)


async def describe_settings(
    admin: AIOKafkaAdminClient, topics: Sequence[str], *, own_only: bool = False
) -> dict[str, dict[str, str]]:
    """The settings of each topic; with `own_only`, those that were given for the topic itself. Raises KafkaError."""
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics])
    settings: dict[str, dict[str, str]] = {}
    for code, _, _, topic, entries in response.resources:
        if code:
            raise for_code(code)
        settings[topic] = {name: value for name, value, _, source, *_ in entries if not own_only or source == _OWN}
    return settings
