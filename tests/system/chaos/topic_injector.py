"""What is put on the topics past every service: poison, copies of what lies there, and facts out of order."""

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
from shared.events.topics import SUBJECTS
from tests.system.support import poison
from tests.system.support.poison import Poison
from tools.sandbox.network.course import Clinician
from tools.sandbox.servers.stack import PARTITIONS

COPIES = 200  # records in a row, of one partition
SESSIONS = 8  # of each relationship that is told out of order
RELATIONSHIPS = 20
NAMESPACE = UUID("b0c64a6e-3c0a-4b0f-8a0e-6a8d3a1d2f55")


class Injections:
    """Puts it there, and keeps what it put."""

    def __init__(self, servers: str, seed: int, clinicians: Sequence[Clinician]) -> None:
        self.planted: list[Poison] = []
        self.told: list[Event] = []
        self._servers = servers
        self._seed = seed
        self._clinicians = clinicians

    async def poison(self) -> None:
        """Messages that nobody can read."""
        messages = poison.poisons(datetime.now(UTC))
        await poison.plant(self._servers, messages)
        self.planted += messages

    async def copies(self, random: Random) -> int:
        """Old messages once more, byte for byte, behind all that came since; how many."""
        async with AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False) as consumer:
            records: list[ConsumerRecord] = []
            for topic in SUBJECTS:
                partition = TopicPartition(topic.name, random.randrange(PARTITIONS))
                consumer.assign([partition])
                end_offset = (await consumer.end_offsets([partition]))[partition]
                if not end_offset:
                    continue
                consumer.seek(partition, random.randrange(max(1, end_offset - COPIES)))
                batch = await consumer.getmany(partition, timeout_ms=5_000, max_records=COPIES)
                records += [record for record in batch.get(partition, ()) if not _is_poison(record)]
        async with AIOKafkaProducer(bootstrap_servers=self._servers, acks="all") as producer:
            for record in records:
                await producer.send(record.topic, key=record.key, value=record.value, headers=list(record.headers))
            await producer.flush()
        return len(records)

    async def out_of_order(self, random: Random) -> None:
        """Whole relationships whose facts come in any order."""
        events = [event for number in range(RELATIONSHIPS) for event in self._relationship(number, random)]
        random.shuffle(events)
        async with AIOKafkaProducer(bootstrap_servers=self._servers, acks="all") as producer:
            for event in events:
                await producer.send(event.TOPIC.name, key=str(event.key).encode(), value=encode(event))
            await producer.flush()
        self.told += events

    def _relationship(self, number: int, random: Random) -> list[Event]:
        """Weeks of an even relationship that is over long ago, with corrections."""
        relationship = uuid5(NAMESPACE, f"{self._seed} {len(self.told)} {number}")
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
        for week in range(1, SESSIONS + 1):
            events += _week(relationship, started + timedelta(weeks=week), random)
        return events


def _week(relationship: UUID, at: datetime, random: Random) -> list[Event]:
    session = uuid5(relationship, at.isoformat())
    elements: Sequence[Element] = get_args(Element)
    common_fields = {"relationship_id": relationship, "session_id": session, "rater": "client"}
    events: list[Event] = [
        SessionCompleted(
            id=uuid5(session, "completed"),
            occurred_at=at,
            relationship_id=relationship,
            session_id=session,
            minutes=50,
            planned_minutes=50,
        ),
        FeedbackSubmitted(
            id=uuid5(session, "submitted"),
            occurred_at=at + timedelta(hours=1),
            ratings={element: random.choice((7, 8, 9)) for element in elements},
            **common_fields,
        ),
    ]
    if random.random() < 0.2:
        events.append(
            FeedbackAmended(
                id=uuid5(session, "amended"),
                occurred_at=at + timedelta(hours=2),
                amends=uuid5(session, "submitted"),
                ratings=dict.fromkeys(elements, 8),
                **common_fields,
            )
        )
    return events


def _is_poison(record: ConsumerRecord) -> bool:
    return (record.key or b"").startswith(b"poison")
