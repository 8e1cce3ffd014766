"""Appointments of a client who continues with another clinician."""

from uuid import uuid4

import pytest

from shared.events import SessionCompleted, SessionScheduled
from shared.events.topics import SESSIONS
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until
from tests.support.sessions_client import HOUR, SessionsClient, ago, problem_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def transfer(clinic: SessionsClient) -> SessionsClient:
    """Transfer the client, as of now, and wait until the service knows it; returns the next relationship."""
    successor = RelationshipBuilder(first_session_at=ago(-24 * 3))  # it started now
    started = successor.started().model_copy(update={"predecessor_id": clinic.relationship_id})
    ended = clinic.builder.ended(0, "transferred").model_copy(
        update={"occurred_at": started.occurred_at, "successor_id": successor.relationship_id}
    )
    await clinic.publish(ended, started)
    following = SessionsClient(clinic.http, clinic.producer, clinic.database, successor)

    async def is_transferred() -> bool:
        responses = [await one.schedule(uuid4(), ago(-1)) for one in (clinic, following)]
        return [response.status_code for response in responses] == [409, 200]

    await wait_until(is_transferred)
    return following


async def test_an_appointment_made_before_a_transfer_moves_to_the_next_clinician(
    clinic: SessionsClient, kafka_servers: str
) -> None:
    await clinic.start_relationship()
    session_id, starts_at = uuid4(), ago(-24)
    await clinic.schedule(session_id, starts_at)
    following = await transfer(clinic)

    refused = await clinic.schedule(session_id, starts_at + HOUR)
    moved = [await following.schedule(session_id, starts_at) for _ in range(2)]

    assert problem_of(refused) == (409, "relationship-ended")
    assert "PUT it with that relationship_id" in refused.json()["detail"]
    for response in moved:
        assert response.raise_for_status().json()["relationship_id"] == str(following.relationship_id)

    async def published() -> list[SessionScheduled]:
        events = await read_events(kafka_servers, SESSIONS, following.relationship_id)
        return [event for event in events if isinstance(event, SessionScheduled) and event.session_id == session_id]

    async def is_published() -> bool:
        return bool(await published())

    await wait_until(is_published)
    (event,) = await published()
    assert event.starts_at == starts_at


async def test_a_moved_appointment_is_held_in_the_next_relationship(clinic: SessionsClient, kafka_servers: str) -> None:
    await clinic.start_relationship()
    session_id = uuid4()
    await clinic.schedule(session_id, ago(-24))
    following = await transfer(clinic)
    starts_at = ago()

    (await following.schedule(session_id, starts_at)).raise_for_status()
    (await following.complete(session_id, starts_at)).raise_for_status()

    async def is_published() -> bool:
        events = await read_events(kafka_servers, SESSIONS, following.relationship_id)
        return any(isinstance(event, SessionCompleted) and event.session_id == session_id for event in events)

    await wait_until(is_published)


async def test_an_appointment_moves_along_several_transfers_but_to_nobody_else(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    session_id, starts_at = uuid4(), ago(-24)
    await clinic.schedule(session_id, starts_at)
    last = await transfer(await transfer(clinic))
    stranger = SessionsClient(clinic.http, clinic.producer, clinic.database)
    await stranger.start_relationship()

    to_a_stranger = await stranger.schedule(session_id, starts_at)
    moved = await last.schedule(session_id, starts_at)
    back = await clinic.schedule(session_id, starts_at)

    for refused in (to_a_stranger, back):
        assert problem_of(refused) == (409, "session-of-another-relationship")
        assert "cancel it" in refused.json()["detail"]
        assert "another id" in refused.json()["detail"]
    assert moved.status_code == 200


async def test_a_session_with_an_outcome_stays_with_its_relationship(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    following = await transfer(clinic)

    refused = await following.schedule(completed.session_id, ago(-1))

    assert problem_of(refused) == (409, "session-already-completed")
