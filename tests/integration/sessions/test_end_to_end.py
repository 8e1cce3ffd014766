"""A session from its appointment to both answers, at a service of its own."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.sessions.service import RATERS
from shared.events import (
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    InstrumentTotal,
    SessionCompleted,
    SessionScheduled,
)
from shared.events.topics import FEEDBACK, SESSIONS
from tests.support.kafka_reader import told
from tests.support.serving import until
from tests.support.sessions_client import ago, open_clinic, settings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_session_goes_from_its_appointment_to_both_answers(
    kafka_servers: str, mongodb_uri: str, driver: str
) -> None:
    async with open_clinic(settings(kafka_servers, mongodb_uri, mongodb_driver=driver)) as clinic:
        await clinic.begins()
        completed = await clinic.held()

        totals: dict[str, Any] = {"instrument": {"name": "srs", "total": 33}, "outcome": {"name": "ors", "total": 21.5}}
        response = await clinic.answer(completed.session, "clinician", ago(), **totals)
        form_response = await clinic.http.post(
            completed.path("client"), data={"trust": "7", "fit": "3", "tension": "a_little"}
        )

        assert (response.status_code, form_response.status_code) == (200, 200)
        assert (await clinic.http.get(f"/sessions/{completed.session}")).json()["outcome"]["what"] == "completed"
        relationship_id = clinic.relationship

        async def all_told() -> bool:
            return len(await told(kafka_servers, FEEDBACK, relationship_id)) == 4

        await until(all_told)
        sessions = [
            event for event in await told(kafka_servers, SESSIONS, relationship_id) if about(event, completed.session)
        ]
        assert [event.kind() for event in sessions] == [SessionScheduled.kind(), SessionCompleted.kind()]
        assert sessions[1].occurred_at == completed.ended_at
        feedback = await told(kafka_servers, FEEDBACK, relationship_id)
        due_at_by_rater = {event.rater: event.due_at for event in feedback if isinstance(event, FeedbackRequested)}
        assert due_at_by_rater == dict.fromkeys(("client", "clinician"), completed.ended_at + timedelta(hours=72))
        submitted_by_rater = {event.rater: event for event in feedback if isinstance(event, FeedbackSubmitted)}
        assert submitted_by_rater["client"].ratings == {"trust": 7, "fit": 3}
        assert submitted_by_rater["client"].tension == "a_little"
        assert submitted_by_rater["clinician"].instrument == InstrumentTotal(name="srs", total=33)
        assert submitted_by_rater["clinician"].outcome == InstrumentTotal(name="ors", total=21.5)


def about(event: object, session: UUID) -> bool:
    return getattr(event, "session_id", None) == session


async def test_an_answer_in_time_is_not_followed_by_silence(mongodb_uri: str, kafka_servers: str) -> None:
    """An import enters session and answer one after the other, though the time for the answer is long over."""
    async with open_clinic(settings(kafka_servers, mongodb_uri, lapse_grace_seconds=30)) as clinic:
        await clinic.begins()
        completed = await clinic.held(hours_ago=24 * 30)
        for rater in RATERS:
            response = await clinic.answer(completed.session, rater, completed.ended_at, ratings={"trust": 4})
            assert response.status_code == 200

        async def all_told() -> bool:
            return len(await told(kafka_servers, FEEDBACK, clinic.relationship)) == 4

        await until(all_told)
        feedback = await told(kafka_servers, FEEDBACK, clinic.relationship)
        assert not [event for event in feedback if isinstance(event, FeedbackLapsed)]
