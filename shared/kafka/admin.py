"""Asking Kafka about itself."""

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.errors import BrokerUnavailable
from shared.events.topics import Topic


async def missing_topics(servers: str, topics: Sequence[Topic]) -> list[str]:
    """Those of `topics` that do not exist. Raises BrokerUnavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        return sorted({topic.name for topic in topics} - existing)
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(str(error)) from error
    finally:
        await admin.close()
