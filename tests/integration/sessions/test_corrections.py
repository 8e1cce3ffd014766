"""An outcome that was recorded by mistake is corrected through the API, with real Kafka and MongoDB."""

from uuid import uuid4

import pytest

from shared.events import SessionCompleted, SessionMissed
from shared.events.topics import SESSIONS
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until
from tests.support.sessions_client import SessionsClient, ago

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

VALID_ANSWER = {"ratings": {"trust": 8, "fit": 7}, "tension": "none"}


async def test_a_no_show_noted_by_mistake_is_corrected_by_the_route_that_the_refusals_name(
    clinic: SessionsClient, kafka_servers: str
) -> None:
    await clinic.start_relationship()
    session_id, ended_at = uuid4(), ago(2)
    await clinic.schedule(session_id, ago(3))
    await clinic.http.post(f"/sessions/{session_id}/missed", json={})
    refusals = [
        await clinic.complete(session_id, ended_at),
        await clinic.submit_answer(session_id, "client", ago(1), **VALID_ANSWER),
    ]
    path = f"/sessions/{session_id}/corrections/{uuid4()}"
    assert [response.status_code for response in refusals] == [409, 409]
    assert all(path.rpartition("/")[0] in response.json()["detail"] for response in refusals)

    outcome = {"what": "completed", "ended_at": ended_at.isoformat(), "minutes": 50}
    for _ in range(2):
        assert (await clinic.http.put(path, json={"outcome": outcome})).status_code == 200

    assert (await clinic.complete(session_id, ended_at)).status_code == 200
    assert (await clinic.submit_answer(session_id, "client", ago(1), **VALID_ANSWER)).status_code == 200

    async def is_published() -> bool:
        events = await read_events(kafka_servers, SESSIONS, clinic.relationship_id)
        return [event.correction for event in events if isinstance(event, SessionMissed | SessionCompleted)] == [0, 1]

    await wait_until(is_published)
