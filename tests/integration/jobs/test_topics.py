"""The topics, as the job leaves them: Kafka itself stamps every record when it arrives."""

import time
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.jobs.topics import STAMP_ON_APPEND, TopicSettings, provide_topics_with_retry, stamp_on_append
from shared.events.topics import ALL_TOPICS, Topic
from shared.kafka.admin import describe_settings, missing_topics
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until

LONG_AGO_MS = 1_000


async def test_every_topic_stamps_on_append(kafka_servers: str) -> None:
    await provide_topics_with_retry(TopicSettings(kafka_bootstrap_servers=kafka_servers))

    settings = await _settings(kafka_servers, *ALL_TOPICS)

    assert {s["message.timestamp.type"] for s in settings.values()} == {"LogAppendTime"}
    assert {s["retention.ms"] for s in settings.values()} == {"-1"}


async def test_an_existing_topic_stamps_on_append_from_now_on_and_keeps_its_other_settings(kafka_servers: str) -> None:
    topic, own = Topic(f"test.{uuid4().hex}", ""), {"retention.ms": "-1", "max.message.bytes": "777777"}
    await _create(kafka_servers, topic, own)
    await _send(kafka_servers, topic)

    changed = await stamp_on_append(kafka_servers, [topic.name])
    changed_again = await stamp_on_append(kafka_servers, [topic.name])
    await _send(kafka_servers, topic)

    assert (changed, changed_again) == ([topic.name], [])
    assert (await _settings(kafka_servers, topic, own_only=True))[topic.name] == {**own, **STAMP_ON_APPEND}
    before, after = await read_records(kafka_servers, topic)
    assert (before.timestamp, before.timestamp_type) == (LONG_AGO_MS, 0)
    assert abs(after.timestamp / 1000 - time.time()) < 60
    assert after.timestamp_type == 1


async def _settings(servers: str, *topics: Topic, own_only: bool = False) -> dict[str, dict[str, str]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return await describe_settings(admin, [topic.name for topic in topics], own_only=own_only)
    finally:
        await admin.close()


async def _create(servers: str, topic: Topic, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic.name, 1, 1, topic_configs=settings)])
    await admin.close()

    async def exists() -> bool:
        return not await missing_topics(servers, [topic])

    await wait_until(exists)


async def _send(servers: str, topic: Topic) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(topic.name, b"a record", timestamp_ms=LONG_AGO_MS)
