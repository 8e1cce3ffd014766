"""Valid and invalid requests of clinic systems, with real Kafka and MongoDB."""

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from shared.events import (
    ConsentWithdrawn,
    FeedbackAmended,
    FeedbackRequested,
    FeedbackSubmitted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
)
from shared.events.topics import FEEDBACK, SESSIONS
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until
from tests.support.sessions_client import SessionsClient, ago, problem_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

VALID_ANSWER = {"ratings": {"trust": 8, "fit": 7}, "tension": "none"}


async def test_every_request_is_idempotent(clinic: SessionsClient, kafka_servers: str) -> None:
    await clinic.start_relationship()
    missed, cancelled, completed = uuid4(), uuid4(), uuid4()
    starts_at, cancelled_at, ended_at = ago(3), ago(30).isoformat(), ago(2)

    for _ in range(2):
        for session_id in (missed, cancelled, completed):
            assert (await clinic.schedule(session_id, starts_at)).status_code == 200
        assert (await clinic.http.post(f"/sessions/{missed}/missed", json={})).status_code == 200
        body = {"by": "client", "cancelled_at": cancelled_at}
        assert (await clinic.http.post(f"/sessions/{cancelled}/cancellation", json=body)).status_code == 200
        assert (await clinic.complete(completed, ended_at)).status_code == 200
        assert (await clinic.submit_answer(completed, "client", ended_at, **VALID_ANSWER)).status_code == 200

    async def all_published() -> bool:
        return len(await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)) >= 3

    await wait_until(all_published)
    session_ids = {missed, cancelled, completed}
    events = [
        event
        for event in await read_events(kafka_servers, SESSIONS, clinic.relationship_id)
        if getattr(event, "session_id", 0) in session_ids
    ]
    assert Counter(type(event) for event in events) == {
        SessionScheduled: 3,
        SessionMissed: 1,
        SessionCancelled: 1,
        SessionCompleted: 1,
    }
    (cancellation,) = [event for event in events if isinstance(event, SessionCancelled)]
    assert cancellation.notice_hours == pytest.approx(27, abs=0.1)
    feedback = await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
    assert [type(event) for event in feedback] == [FeedbackRequested, FeedbackRequested, FeedbackSubmitted]


async def test_an_amendment_refers_to_the_answer_that_it_corrects(clinic: SessionsClient, kafka_servers: str) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    await clinic.submit_answer(completed.session_id, "client", ago(0.5), **VALID_ANSWER)

    corrected = await clinic.submit_answer(completed.session_id, "client", ago(0.4), ratings={"trust": 2})
    older = await clinic.submit_answer(completed.session_id, "client", ago(0.45), ratings={"trust": 5})

    assert corrected.json()["feedback"]["client"]["amendments"] == 1
    assert problem_of(older) == (409, "older-than-what-is-known")

    async def is_amended() -> bool:
        return any(
            isinstance(event, FeedbackAmended)
            for event in await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
        )

    await wait_until(is_amended)
    feedback = await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
    (first,) = [event for event in feedback if isinstance(event, FeedbackSubmitted)]
    (second,) = [event for event in feedback if isinstance(event, FeedbackAmended)]
    assert second.amends == first.id
    assert second.ratings == {"trust": 2}


async def test_a_client_without_consent_is_not_asked(clinic: SessionsClient) -> None:
    await clinic.start_relationship(consent=False)

    completed = await clinic.create_completed_session()

    assert list(completed.completion["feedback"]) == ["clinician"]
    assert completed.completion["clinician_form"] is not None
    assert problem_of(await clinic.submit_answer(completed.session_id, "client", ago(), **VALID_ANSWER)) == (
        409,
        "no-consent",
    )


async def test_an_unknown_relationship_is_rejected_with_the_advice_to_retry(clinic: SessionsClient) -> None:
    response = await clinic.schedule(uuid4(), ago())

    assert problem_of(response) == (404, "unknown-relationship")
    assert "may not have arrived yet: send the same request again" in response.json()["detail"]


async def test_a_session_after_the_end_of_its_relationship_is_rejected(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    await clinic.publish(clinic.builder.ended(42))  # 294 of 300 days have passed

    async def is_rejected() -> bool:
        return (await clinic.schedule(uuid4(), ago())).status_code == 409

    await wait_until(is_rejected)
    assert problem_of(await clinic.schedule(uuid4(), ago())) == (409, "relationship-ended")
    assert (await clinic.schedule(uuid4(), clinic.builder.at(41))).status_code == 200, (
        "a session before the end can still be entered"
    )


async def test_an_unknown_session_is_rejected_with_what_to_do(clinic: SessionsClient) -> None:
    session_id = uuid4()

    for response in (
        await clinic.complete(session_id, ago()),
        await clinic.http.post(f"/sessions/{session_id}/missed", json={}),
        await clinic.http.get(f"/sessions/{session_id}"),
        await clinic.submit_answer(session_id, "client", ago(), **VALID_ANSWER),
    ):
        assert problem_of(response) == (404, "unknown-session")
        assert f"PUT /sessions/{session_id}" in response.json()["detail"]


async def test_a_session_has_only_one_outcome(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    missed = await clinic.http.post(f"/sessions/{completed.session_id}/missed")
    other_completion = await clinic.complete(completed.session_id, completed.ended_at, minutes=20)
    moved = await clinic.schedule(completed.session_id, ago(-5))

    assert {problem_of(response) for response in (missed, other_completion, moved)} == {
        (409, "session-already-completed")
    }


async def test_a_session_that_was_not_completed_cannot_be_answered(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    scheduled, missed = uuid4(), uuid4()
    for session_id in (scheduled, missed):
        await clinic.schedule(session_id, ago(1))
    await clinic.http.post(f"/sessions/{missed}/missed", json={})

    for session_id in (scheduled, missed):
        assert problem_of(await clinic.submit_answer(session_id, "client", ago(), **VALID_ANSWER)) == (
            409,
            "session-not-held",
        )


async def test_an_impossible_time_is_rejected(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    future_session_id, started_session_id = uuid4(), uuid4()
    await clinic.schedule(future_session_id, ago(-1))
    await clinic.schedule(started_session_id, ago(1))
    completed = await clinic.create_completed_session()

    for response in (
        await clinic.complete(future_session_id, ago(-2)),
        await clinic.complete(started_session_id, ago(-1)),
        await clinic.http.post(f"/sessions/{future_session_id}/missed", json={}),
        await clinic.http.post(
            f"/sessions/{future_session_id}/cancellation", json={"by": "clinic", "cancelled_at": ago(-0.5).isoformat()}
        ),
        await clinic.submit_answer(completed.session_id, "client", ago(-0.5), **VALID_ANSWER),
    ):
        assert problem_of(response) == (409, "in-the-future")
    assert problem_of(await clinic.submit_answer(completed.session_id, "client", ago(2), **VALID_ANSWER)) == (
        409,
        "before-the-session",
    )
    assert problem_of(await clinic.schedule(uuid4(), ago(-24 * 800))) == (409, "too-far-ahead")
    assert problem_of(await clinic.schedule(uuid4(), ago(24 * 304))) == (409, "before-the-start")


IMPLAUSIBLE_TIMES = [f"{year:04}-06-01T00:00:00Z" for year in (1, 1899, 2201, 9999)]
IMPLAUSIBLE_IN_UTC = ["1901-01-01T00:30:00+01:00", "2199-12-31T23:30:00-01:00"]


@pytest.mark.parametrize("time", IMPLAUSIBLE_TIMES + IMPLAUSIBLE_IN_UTC)
async def test_an_implausible_year_is_rejected_in_every_time_field(clinic: SessionsClient, time: str) -> None:
    moment = datetime.fromisoformat(time)
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    for response in (
        await clinic.schedule(uuid4(), moment),
        await clinic.complete(completed.session_id, moment),
        await clinic.submit_answer(completed.session_id, "client", moment, **VALID_ANSWER),
    ):
        assert response.status_code == 422


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"ratings": {"trust": 11}}, "/body/ratings/trust"),
        ({"ratings": {"trust": -1}}, "/body/ratings/trust"),
        ({"ratings": {"charm": 5}}, "/body/ratings/charm"),
        ({"ratings": {}}, "/body"),
        ({"instrument": {"name": "tarot", "total": 3}}, "/body/instrument"),
        ({"instrument": {"name": "srs", "total": 41}}, "/body/instrument"),
        ({"instrument": {"name": "wai-sr", "total": 11}}, "/body/instrument"),
        ({"instrument": {"name": "ors", "total": 30}}, "/body/instrument"),
        ({"outcome": {"name": "ors", "total": 30}}, "/body"),
        ({"ratings": {"trust": 5}, "outcome": {"name": "ors", "total": 41}}, "/body/outcome"),
        ({"ratings": {"trust": 5}, "outcome": {"name": "srs", "total": 30}}, "/body/outcome"),
        ({"ratings": {"trust": 5}, "talked_about": "yes"}, "/body"),
        ({"ratings": {"trust": 5}, "tensoin": "yes"}, "/body/tensoin"),
        ({"ratings": {"trust": 5}, "given_at": "2026-03-02T10:00:00"}, "/body/given_at"),
        ({"ratings": {"trust": 5}, "given_at": "0001-01-01T00:00:00Z"}, "/body/given_at"),
        ({"ratings": {"trust": 5}, "given_at": "0001-01-01T00:00:00+14:00"}, "/body/given_at"),
    ],
)
async def test_an_invalid_answer_is_rejected_with_the_invalid_field(
    clinic: SessionsClient, fields: dict[str, Any], pointer: str
) -> None:
    body = {"given_at": ago().isoformat(), **fields}

    response = await clinic.http.put(f"/sessions/{uuid4()}/feedback/client", json=body)

    assert problem_of(response) == (422, "invalid-request")
    assert [event["pointer"] for event in response.json()["errors"] if event["pointer"].startswith(pointer)], (
        response.text
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("completion", {"ended_at": "2026-03-02T10:00:00", "minutes": 50}),
        ("completion", {"ended_at": "2026-03-02T10:00:00Z", "minutes": 0}),
        ("completion", {"ended_at": "2026-03-02T10:00:00Z", "minutes": 50, "rating": 3}),
        ("missed", {"why": "overslept"}),
        ("cancellation", {"by": "weather", "cancelled_at": "2026-03-02T10:00:00Z"}),
        ("cancellation", {"by": "client", "cancelled_at": "2026-03-02T10:00:00"}),
    ],
)
async def test_an_invalid_body_is_rejected(clinic: SessionsClient, path: str, body: dict[str, Any]) -> None:
    response = await clinic.http.post(f"/sessions/{uuid4()}/{path}", json=body)

    assert problem_of(response) == (422, "invalid-request")


@pytest.mark.parametrize("minutes", [4, 481])
async def test_an_appointment_of_implausible_length_is_rejected(clinic: SessionsClient, minutes: int) -> None:
    assert problem_of(await clinic.schedule(uuid4(), ago(), minutes)) == (422, "invalid-request")


async def test_a_body_that_is_too_large_is_rejected(clinic: SessionsClient) -> None:
    response = await clinic.http.put(f"/sessions/{uuid4()}", json={"relationship_id": "x" * 3000})

    assert problem_of(response) == (413, "too-large")


async def test_a_client_who_withdraws_consent_is_no_longer_asked(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    await clinic.publish(ConsentWithdrawn(id=uuid4(), occurred_at=ago(), relationship_id=clinic.relationship_id))

    async def form_is_closed() -> bool:
        return (await clinic.http.get(completed.form_path("client"))).status_code == 410

    await wait_until(form_is_closed)
    assert (await clinic.http.post(completed.form_path("client"), data={"trust": "3"})).status_code == 410
    assert problem_of(await clinic.request_client_link(completed.session_id)) == (409, "no-consent")
