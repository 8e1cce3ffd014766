"""The timer: each overdue request lapses once, even with many requests and several processes."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Literal
from uuid import UUID, uuid4

import pytest

from services.sessions.domain.appointment import RequestOptions, complete, schedule
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Completed, Session
from services.sessions.store.mongo import SESSIONS
from shared.events import FeedbackLapsed, FeedbackSubmitted, by_type
from shared.events.cloudevents import decode
from shared.events.topics import FEEDBACK
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until
from tests.support.sessions_client import SessionsClient, ago
from tests.support.sessions_process import SessionsProcess

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_request_lapses_once_and_a_late_answer_is_still_recorded(
    clinic: SessionsClient, kafka_servers: str
) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session(hours_ago=24 * 10)

    async def is_lapsed() -> bool:
        return await clinic.feedback_status(completed.session_id, "client") == "lapsed"

    await wait_until(is_lapsed)
    response = await clinic.submit_answer(completed.session_id, "client", ago(), ratings={"trust": 4})
    assert response.json()["feedback"]["client"]["status"] == "answered"

    async def all_published() -> bool:
        return len(await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)) >= 5

    await wait_until(all_published)
    feedback = await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
    lapsed_events = [event for event in feedback if isinstance(event, FeedbackLapsed)]
    assert {event.rater: event.occurred_at for event in lapsed_events} == dict.fromkeys(
        ("client", "clinician"), completed.ended_at + timedelta(hours=72)
    )
    assert len(lapsed_events) == 2
    assert any(isinstance(event, FeedbackSubmitted) and event.rater == "client" for event in feedback)


def overdue_session(relationship_id: UUID, due_hours_ago: float = 24 * 26) -> Session:
    """A session whose two answers have been due for `due_hours_ago`; not yet due if it is negative."""
    relationship = Relationship(relationship_id=relationship_id, started_at=ago(10_000), consent=True)
    starts_at, entered_at = ago(due_hours_ago + 73), ago(due_hours_ago + 49)
    session, _ = schedule(None, uuid4(), relationship, starts_at, 50, entered_at)
    options = RequestOptions(timedelta(hours=72), timedelta(0))
    return complete(
        session, relationship, Completed(ended_at=starts_at + timedelta(hours=1), minutes=50), entered_at, options
    )[0]


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_two_concurrent_processes_lapse_each_overdue_request_once(
    mongodb_uri: str, driver: Literal["motor", "pymongo"]
) -> None:
    database, relationship_id, session_count = f"test_{uuid4().hex}", uuid4(), 1200
    first, second = (SessionsProcess(mongodb_uri, database, driver) for _ in range(2))
    await first.store.create_indexes()
    sessions = [overdue_session(relationship_id) for _ in range(session_count)]
    await first.mongo[SESSIONS].insert_many(
        [{"_id": s.session_id, "v": 1, **first.store.sessions.dump(s)} for s in sessions]
    )

    async with first.outbox.run(), second.outbox.run():
        await asyncio.gather(first.service.lapse_overdue_requests(), second.service.lapse_overdue_requests())

        async def outbox_is_empty() -> bool:
            return await first.mongo[SESSIONS].count_documents({"owed.0": {"$exists": True}}) == 0

        await wait_until(outbox_is_empty)

    lapsed_events = [decode(message.value, by_type((FeedbackLapsed,))) for message in (*first.sent, *second.sent)]
    assert Counter((event.session_id, event.rater) for event in lapsed_events if event is not None) == Counter(
        (s.session_id, rater) for s in sessions for rater in ("client", "clinician")
    )
    assert not await first.store.find_overdue(ago())
    for process in (first, second):
        await process.mongo.close()


@pytest.mark.parametrize("hours_ahead", [1, -1])
async def test_a_process_with_a_wrong_clock_lapses_requests_neither_early_nor_late(
    mongodb_uri: str, hours_ahead: int
) -> None:
    process = SessionsProcess(mongodb_uri, f"test_{uuid4().hex}", hours_ahead=hours_ahead)
    overdue, not_due = overdue_session(uuid4(), due_hours_ago=0.5), overdue_session(uuid4(), due_hours_ago=-0.5)
    await process.mongo[SESSIONS].insert_many(
        [{"_id": s.session_id, "v": 1, **process.store.sessions.dump(s)} for s in (overdue, not_due)]
    )

    await process.service.lapse_overdue_requests()

    sessions = {s.session_id: await process.store.sessions.get(s.session_id) for s in (overdue, not_due)}
    statuses = {i: {r.status for r in s.feedback.values()} for i, s in sessions.items() if s is not None}
    assert statuses == {overdue.session_id: {"lapsed"}, not_due.session_id: {"awaiting"}}
    await process.mongo.close()
