"""A session from its appointment to both answers."""

from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import pytest

from shared.events import (
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    InstrumentTotal,
    Rater,
    SessionCompleted,
    SessionScheduled,
)
from shared.events.topics import FEEDBACK, SESSIONS
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until
from tests.support.sessions_client import ago, make_settings, serve_clinic

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_session_goes_from_its_appointment_to_both_answers(
    kafka_servers: str, mongodb_uri: str, driver: str
) -> None:
    async with serve_clinic(make_settings(kafka_servers, mongodb_uri, mongodb_driver=driver)) as clinic:
        await clinic.start_relationship()
        completed = await clinic.create_completed_session()

        totals: dict[str, Any] = {"instrument": {"name": "srs", "total": 33}, "outcome": {"name": "ors", "total": 21.5}}
        response = await clinic.submit_answer(completed.session_id, "clinician", ago(), **totals)
        form_response = await clinic.http.post(
            completed.form_path("client"), data={"trust": "7", "fit": "3", "tension": "a_little"}
        )

        assert (response.status_code, form_response.status_code) == (200, 200)
        assert (await clinic.http.get(f"/sessions/{completed.session_id}")).json()["outcome"]["what"] == "completed"
        relationship_id = clinic.relationship_id

        async def all_published() -> bool:
            return len(await read_events(kafka_servers, FEEDBACK, relationship_id)) == 4

        await wait_until(all_published)
        sessions = [
            event
            for event in await read_events(kafka_servers, SESSIONS, relationship_id)
            if is_about(event, completed.session_id)
        ]
        assert [event.event_type() for event in sessions] == [
            SessionScheduled.event_type(),
            SessionCompleted.event_type(),
        ]
        assert sessions[1].occurred_at == completed.ended_at
        feedback = await read_events(kafka_servers, FEEDBACK, relationship_id)
        due_at_by_rater = {event.rater: event.due_at for event in feedback if isinstance(event, FeedbackRequested)}
        assert due_at_by_rater == dict.fromkeys(("client", "clinician"), completed.ended_at + timedelta(hours=72))
        submitted_by_rater = {event.rater: event for event in feedback if isinstance(event, FeedbackSubmitted)}
        assert submitted_by_rater["client"].ratings == {"trust": 7, "fit": 3}
        assert submitted_by_rater["client"].tension == "a_little"
        assert submitted_by_rater["clinician"].instrument == InstrumentTotal(name="srs", total=33)
        assert submitted_by_rater["clinician"].outcome == InstrumentTotal(name="ors", total=21.5)


def is_about(event: object, session_id: UUID) -> bool:
    return getattr(event, "session_id", None) == session_id


async def test_an_answer_within_the_grace_period_prevents_a_lapse(mongodb_uri: str, kafka_servers: str) -> None:
    """An import enters a session and then its answers, long after they were due."""
    async with serve_clinic(make_settings(kafka_servers, mongodb_uri, lapse_grace_seconds=30)) as clinic:
        await clinic.start_relationship()
        completed = await clinic.create_completed_session(hours_ago=24 * 30)
        for rater in get_args(Rater):
            response = await clinic.submit_answer(completed.session_id, rater, completed.ended_at, ratings={"trust": 4})
            assert response.status_code == 200

        async def all_published() -> bool:
            return len(await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)) == 4

        await wait_until(all_published)
        feedback = await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
        assert not [event for event in feedback if isinstance(event, FeedbackLapsed)]
