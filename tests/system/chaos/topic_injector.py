"""Publishes records past all services: poison messages, duplicates, and events out of order."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import get_args
from uuid import UUID, uuid5

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from shared.events import (
    ConsentGiven,
    Element,
    Event,
    FeedbackAmended,
    FeedbackSubmitted,
    RelationshipStarted,
    SessionCompleted,
)
from shared.events.cloudevents import encode
from shared.events.topics import EVENT_TOPICS
from tests.system.support import poison
from tests.system.support.poison import PoisonMessage
from tools.sandbox.network.course import Clinician
from tools.sandbox.servers.stack import PARTITION_COUNT

MAX_DUPLICATES = 200  # consecutive records of one partition
SESSIONS_PER_RELATIONSHIP = 8
RELATIONSHIP_COUNT = 20  # relationships whose events are published out of order
NAMESPACE = UUID("b0c64a6e-3c0a-4b0f-8a0e-6a8d3a1d2f55")


class TopicInjector:
    """Publishes the records and remembers them."""

    def __init__(self, bootstrap_servers: str, seed: int, clinicians: Sequence[Clinician]) -> None:
        self.poison_messages: list[PoisonMessage] = []
        self.injected_events: list[Event] = []
        self._bootstrap_servers = bootstrap_servers
        self._seed = seed
        self._clinicians = clinicians

    async def publish_poison(self) -> None:
        """Publish messages that consumers cannot decode."""
        messages = poison.create_poison_messages(datetime.now(UTC))
        await poison.publish_poison(self._bootstrap_servers, messages)
        self.poison_messages += messages

    async def publish_duplicates(self, random: Random) -> int:
        """Publish old messages again, byte for byte; return how many."""
        async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap_servers, enable_auto_commit=False) as consumer:
            records: list[ConsumerRecord] = []
            for topic in EVENT_TOPICS:
                partition = TopicPartition(topic.name, random.randrange(PARTITION_COUNT))
                consumer.assign([partition])
                end_offset = (await consumer.end_offsets([partition]))[partition]
                if not end_offset:
                    continue
                consumer.seek(partition, random.randrange(max(1, end_offset - MAX_DUPLICATES)))
                batch = await consumer.getmany(partition, timeout_ms=5_000, max_records=MAX_DUPLICATES)
                records += [record for record in batch.get(partition, ()) if not _is_poison(record)]
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap_servers, acks="all") as producer:
            for record in records:
                await producer.send(record.topic, key=record.key, value=record.value, headers=list(record.headers))
            await producer.flush()
        return len(records)

    async def publish_out_of_order(self, random: Random) -> None:
        """Publish all events of some relationships in random order."""
        events = [event for number in range(RELATIONSHIP_COUNT) for event in self._relationship_events(number, random)]
        random.shuffle(events)
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap_servers, acks="all") as producer:
            for event in events:
                await producer.send(event.TOPIC.name, key=str(event.key).encode(), value=encode(event))
            await producer.flush()
        self.injected_events += events

    def _relationship_events(self, number: int, random: Random) -> list[Event]:
        """Some weeks of a steady relationship half a year ago, with corrected feedback."""
        relationship = uuid5(NAMESPACE, f"{self._seed} {len(self.injected_events)} {number}")
        clinician = random.choice(self._clinicians)
        started = datetime.now(UTC).replace(microsecond=0) - timedelta(weeks=30)
        events: list[Event] = [
            RelationshipStarted(
                id=uuid5(relationship, "started"),
                occurred_at=started,
                relationship_id=relationship,
                clinic_id=clinician.clinic_id,
                clinician_id=clinician.id,
                client_id=uuid5(relationship, "client"),
                case_code=f"X{number}",
                aims=("coping",),
                cadence_days=7,
            ),
            ConsentGiven(id=uuid5(relationship, "consent"), occurred_at=started, relationship_id=relationship),
        ]
        for week in range(1, SESSIONS_PER_RELATIONSHIP + 1):
            events += _week_events(relationship, started + timedelta(weeks=week), random)
        return events


def _week_events(relationship: UUID, moment: datetime, random: Random) -> list[Event]:
    session = uuid5(relationship, moment.isoformat())
    elements: Sequence[Element] = get_args(Element)
    common_fields = {"relationship_id": relationship, "session_id": session, "rater": "client"}
    events: list[Event] = [
        SessionCompleted(
            id=uuid5(session, "completed"),
            occurred_at=moment,
            relationship_id=relationship,
            session_id=session,
            minutes=50,
            planned_minutes=50,
        ),
        FeedbackSubmitted(
            id=uuid5(session, "submitted"),
            occurred_at=moment + timedelta(hours=1),
            ratings={element: random.choice((7, 8, 9)) for element in elements},
            **common_fields,
        ),
    ]
    if random.random() < 0.2:
        events.append(
            FeedbackAmended(
                id=uuid5(session, "amended"),
                occurred_at=moment + timedelta(hours=2),
                amends=uuid5(session, "submitted"),
                ratings=dict.fromkeys(elements, 8),
                **common_fields,
            )
        )
    return events


def _is_poison(record: ConsumerRecord) -> bool:
    return (record.key or b"").startswith(b"poison")
