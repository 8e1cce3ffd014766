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
        held = await clinic.held()

        totals: dict[str, Any] = {"instrument": {"name": "srs", "total": 33}, "outcome": {"name": "ors", "total": 21.5}}
        given = await clinic.answer(held.session, "clinician", ago(), **totals)
        thanks = await clinic.http.post(held.path("client"), data={"trust": "7", "fit": "3", "tension": "a_little"})

        assert (given.status_code, thanks.status_code) == (200, 200)
        assert (await clinic.http.get(f"/sessions/{held.session}")).json()["outcome"]["what"] == "completed"
        relationship = clinic.relationship

        async def all_told() -> bool:
            return len(await told(kafka_servers, FEEDBACK, relationship)) == 4

        await until(all_told)
        sessions = [e for e in await told(kafka_servers, SESSIONS, relationship) if about(e, held.session)]
        assert [e.kind() for e in sessions] == [SessionScheduled.kind(), SessionCompleted.kind()]
        assert sessions[1].occurred_at == held.ended_at
        feedback = await told(kafka_servers, FEEDBACK, relationship)
        asked = {e.rater: e.due_at for e in feedback if isinstance(e, FeedbackRequested)}
        assert asked == dict.fromkeys(("client", "clinician"), held.ended_at + timedelta(hours=72))
        said = {e.rater: e for e in feedback if isinstance(e, FeedbackSubmitted)}
        assert said["client"].ratings == {"trust": 7, "fit": 3}
        assert said["client"].tension == "a_little"
        assert said["clinician"].instrument == InstrumentTotal(name="srs", total=33)
        assert said["clinician"].outcome == InstrumentTotal(name="ors", total=21.5)


def about(event: object, session: UUID) -> bool:
    return getattr(event, "session_id", None) == session


async def test_an_answer_in_time_is_not_followed_by_silence(mongodb_uri: str, kafka_servers: str) -> None:
    """An import enters session and answer one after the other, though the time for the answer is long over."""
    async with open_clinic(settings(kafka_servers, mongodb_uri, lapse_grace_seconds=30)) as own:
        await own.begins()
        held = await own.held(hours_ago=24 * 30)
        for rater in RATERS:
            given = await own.answer(held.session, rater, held.ended_at, ratings={"trust": 4})
            assert given.status_code == 200

        async def all_told() -> bool:
            return len(await told(kafka_servers, FEEDBACK, own.relationship)) == 4

        await until(all_told)
        feedback = await told(kafka_servers, FEEDBACK, own.relationship)
        assert not [e for e in feedback if isinstance(e, FeedbackLapsed)]
