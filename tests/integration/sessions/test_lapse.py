"""The timer: silence is told once, however many there are and however many of us look."""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Asking, Completed, Session, complete, schedule
from services.sessions.metrics import SessionMetrics
from services.sessions.service import Desk
from services.sessions.store.mongo import SESSIONS, Store
from shared.events import FeedbackLapsed, FeedbackSubmitted
from shared.events.topics import FEEDBACK
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo
from shared.outbox.relay import Outbox
from tests.support.kafka_reader import told
from tests.support.serving import until
from tests.support.sessions_client import Clinic, ago

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_silence_is_told_once_and_a_late_answer_is_still_taken(clinic: Clinic, kafka_servers: str) -> None:
    await clinic.begins()
    completed = await clinic.held(hours_ago=24 * 10)

    async def lapsed() -> bool:
        return await clinic.status(completed.session, "client") == "lapsed"

    await until(lapsed)
    response = await clinic.answer(completed.session, "client", ago(), ratings={"trust": 4})
    assert response.json()["feedback"]["client"]["status"] == "answered"

    async def all_told() -> bool:
        return len(await told(kafka_servers, FEEDBACK, clinic.relationship)) >= 5

    await until(all_told)
    feedback = await told(kafka_servers, FEEDBACK, clinic.relationship)
    lapsed_events = [event for event in feedback if isinstance(event, FeedbackLapsed)]
    assert {event.rater: event.occurred_at for event in lapsed_events} == dict.fromkeys(
        ("client", "clinician"), completed.ended_at + timedelta(hours=72)
    )
    assert len(lapsed_events) == 2
    assert any(isinstance(event, FeedbackSubmitted) and event.rater == "client" for event in feedback)


class Process:
    """One of several processes of the service, as far as the timer is concerned."""

    def __init__(
        self,
        kafka_servers: str,
        mongodb_uri: str,
        database: str,
        driver: Literal["motor", "pymongo"] = "motor",
        hours_ahead: float = 0,
    ) -> None:
        clock = partial(ago, -hours_ahead)
        registry = CollectorRegistry()
        self.mongo = Mongo(mongodb_uri, database, driver)
        self.kafka = Kafka(kafka_servers, "sessions", KafkaMetrics(registry), clock)
        self.outbox = Outbox(self.kafka, [self.mongo[SESSIONS]], registry, clock)
        self.store = Store(self.mongo, self.outbox, clock)
        self.desk = Desk(
            self.store, SessionMetrics(registry), timedelta(hours=72), timedelta(0), clock, lambda: uuid4().hex
        )


def overdue(relationship_id: UUID, due_hours_ago: float = 24 * 26) -> Session:
    """A session whose two answers have been due for so long, or will be when it is negative."""
    relationship = Relationship(relationship_id=relationship_id, started_at=ago(10_000), consent=True)
    starts_at, entered_at = ago(due_hours_ago + 73), ago(due_hours_ago + 49)
    session, _ = schedule(None, uuid4(), relationship, starts_at, 50, entered_at)
    options = Asking({"client": uuid4().hex, "clinician": uuid4().hex}, timedelta(hours=72), timedelta(0))
    return complete(
        session, relationship, Completed(ended_at=starts_at + timedelta(hours=1), minutes=50), entered_at, options
    )[0]


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_many_due_at_once_are_told_once_each_though_two_processes_look(
    mongodb_uri: str, kafka_servers: str, driver: Literal["motor", "pymongo"]
) -> None:
    database, relationship_id, session_count = f"test_{uuid4().hex}", uuid4(), 1200
    first, second = (Process(kafka_servers, mongodb_uri, database, driver) for _ in range(2))
    await first.store.prepare()
    sessions = [overdue(relationship_id) for _ in range(session_count)]
    await first.mongo[SESSIONS].insert_many([{"_id": s.session_id, "v": 1, **s.model_dump()} for s in sessions])

    async with first.kafka.running(), first.outbox.running(), second.kafka.running(), second.outbox.running():
        await asyncio.gather(first.desk.lapse_due(), second.desk.lapse_due())

        async def nothing_owed() -> bool:
            return await first.mongo[SESSIONS].count_documents({"owed.0": {"$exists": True}}) == 0

        await until(nothing_owed)

    lapsed_events = [
        event for event in await told(kafka_servers, FEEDBACK, relationship_id) if isinstance(event, FeedbackLapsed)
    ]
    assert Counter((event.session_id, event.rater) for event in lapsed_events) == Counter(
        (s.session_id, rater) for s in sessions for rater in ("client", "clinician")
    )
    assert not await first.store.due(ago())
    for process in (first, second):
        await process.mongo.close()


@pytest.mark.parametrize("hours_ahead", [1, -1])
async def test_a_process_whose_clock_is_wrong_lapses_nothing_early_and_nothing_late(
    mongodb_uri: str, kafka_servers: str, hours_ahead: int
) -> None:
    process = Process(kafka_servers, mongodb_uri, f"test_{uuid4().hex}", hours_ahead=hours_ahead)
    over, not_due = overdue(uuid4(), due_hours_ago=0.5), overdue(uuid4(), due_hours_ago=-0.5)
    await process.mongo[SESSIONS].insert_many(
        [{"_id": s.session_id, "v": 1, **s.model_dump()} for s in (over, not_due)]
    )

    await process.desk.lapse_due()

    sessions = {s.session_id: await process.store.sessions.get(s.session_id) for s in (over, not_due)}
    statuses = {i: {r.status for r in s.feedback.values()} for i, s in sessions.items() if s is not None}
    assert statuses == {over.session_id: {"lapsed"}, not_due.session_id: {"awaiting"}}
    await process.mongo.close()
