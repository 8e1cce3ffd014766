"""Limits that keep one relationship from growing so large that its events stall whoever folds them."""

from datetime import timedelta
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from services.sessions.domain.appointment import MAX_SESSIONS
from services.sessions.domain.feedback import MAX_AMENDMENTS
from tests.support.sessions_client import SessionsClient, ago, problem_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_relationship_has_at_most_two_thousand_sessions(clinic: SessionsClient, mongodb_uri: str) -> None:
    """The test inserts most of them into the database, because two thousand requests take long."""
    await clinic.start_relationship()
    existing = uuid4()
    (await clinic.schedule(existing, ago(-24))).raise_for_status()
    async with AsyncMongoClient[dict[str, object]](mongodb_uri, uuidRepresentation="standard") as mongo:
        sessions = mongo[clinic.database]["sessions"]
        stored = await sessions.count_documents({"relationship_id": clinic.relationship_id})
        missing = MAX_SESSIONS - 1 - stored
        await sessions.insert_many(
            [{"_id": uuid4(), "relationship_id": clinic.relationship_id} for _ in range(missing)]
        )

    last, refused = [await clinic.schedule(uuid4(), ago(-24)) for _ in range(2)]
    moved = await clinic.schedule(existing, ago(-48))

    assert last.status_code == 200
    assert problem_of(refused) == (409, "too-many-sessions")
    assert "under another id" in refused.json()["detail"]
    assert moved.status_code == 200, "existing appointments can still be changed"


async def test_an_answer_has_at_most_ten_amendments(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    given_at = completed.ended_at

    responses = [
        await clinic.submit_answer(
            completed.session_id, "client", given_at + timedelta(seconds=number), ratings={"trust": number % 10}
        )
        for number in range(MAX_AMENDMENTS + 2)
    ]
    repeated = await clinic.submit_answer(
        completed.session_id, "client", given_at + timedelta(minutes=9), ratings={"trust": MAX_AMENDMENTS % 10}
    )

    assert [response.status_code for response in responses[:-1]] == [200] * (MAX_AMENDMENTS + 1)
    assert problem_of(responses[-1]) == (409, "too-many-amendments")
    assert repeated.json()["feedback"]["client"]["amendments"] == MAX_AMENDMENTS == 10
