"""Requests to the Kafka cluster about its topics."""

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import Topic
from shared.kafka.errors import translate_errors


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
