"""What a clinic system tells the service, the good and the bad, on the real Kafka and MongoDB."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
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
from tests.support.kafka_reader import told
from tests.support.serving import until
from tests.support.sessions_client import Clinic, ago

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

GOOD = {"ratings": {"trust": 8, "fit": 7}, "tension": "none"}


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:attune:problem:")


async def test_every_request_sent_twice_is_the_same_as_once(clinic: Clinic, kafka_servers: str) -> None:
    await clinic.begins()
    missed, cancelled, completed = uuid4(), uuid4(), uuid4()
    starts_at, cancelled_at, ended_at = ago(3), ago(30).isoformat(), ago(2)

    for _ in range(2):
        for session_id in (missed, cancelled, completed):
            assert (await clinic.schedule(session_id, starts_at)).status_code == 200
        assert (await clinic.http.post(f"/sessions/{missed}/missed", json={})).status_code == 200
        body = {"by": "client", "cancelled_at": cancelled_at}
        assert (await clinic.http.post(f"/sessions/{cancelled}/cancellation", json=body)).status_code == 200
        assert (await clinic.complete(completed, ended_at)).status_code == 200
        assert (await clinic.answer(completed, "client", ended_at, **GOOD)).status_code == 200

    async def all_told() -> bool:
        return len(await told(kafka_servers, FEEDBACK, clinic.relationship)) >= 3

    await until(all_told)
    session_ids = {missed, cancelled, completed}
    events = [
        event
        for event in await told(kafka_servers, SESSIONS, clinic.relationship)
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
    feedback = await told(kafka_servers, FEEDBACK, clinic.relationship)
    assert [type(event) for event in feedback] == [FeedbackRequested, FeedbackRequested, FeedbackSubmitted]


async def test_a_corrected_answer_names_what_it_corrects(clinic: Clinic, kafka_servers: str) -> None:
    await clinic.begins()
    completed = await clinic.held()
    await clinic.answer(completed.session, "client", ago(0.5), **GOOD)

    corrected = await clinic.answer(completed.session, "client", ago(0.4), ratings={"trust": 2})
    older = await clinic.answer(completed.session, "client", ago(0.45), ratings={"trust": 5})

    assert corrected.json()["feedback"]["client"]["amendments"] == 1
    assert problem(older) == (409, "older-than-what-is-known")

    async def amended() -> bool:
        return any(
            isinstance(event, FeedbackAmended) for event in await told(kafka_servers, FEEDBACK, clinic.relationship)
        )

    await until(amended)
    feedback = await told(kafka_servers, FEEDBACK, clinic.relationship)
    (first,) = [event for event in feedback if isinstance(event, FeedbackSubmitted)]
    (second,) = [event for event in feedback if isinstance(event, FeedbackAmended)]
    assert second.amends == first.id
    assert second.ratings == {"trust": 2}


async def test_a_client_who_did_not_agree_is_not_asked(clinic: Clinic) -> None:
    await clinic.begins(consent=False)

    completed = await clinic.held()

    assert completed.forms["client_form"] is None
    assert completed.forms["clinician_form"] is not None
    assert problem(await clinic.answer(completed.session, "client", ago(), **GOOD)) == (409, "no-consent")


async def test_completing_again_gives_fresh_links_and_the_old_ones_stop_working(clinic: Clinic) -> None:
    await clinic.begins()
    completed = await clinic.held()

    links = (await clinic.complete(completed.session, completed.ended_at)).json()

    assert links["client_form"]["url"] != completed.forms["client_form"]["url"]
    assert (await clinic.http.get(completed.path("client"))).status_code == 404
    new_path = links["client_form"]["url"].removeprefix("http://127.0.0.1:8002")
    assert (await clinic.http.get(new_path)).status_code == 200


async def test_an_unknown_relationship_may_still_be_on_its_way(clinic: Clinic) -> None:
    response = await clinic.schedule(uuid4(), ago())

    assert problem(response) == (404, "unknown-relationship")
    assert "on their way" in response.json()["detail"] or "on its way" in response.json()["detail"]


async def test_no_session_lies_after_the_end_of_its_relationship(clinic: Clinic) -> None:
    await clinic.begins()
    await clinic.tell(clinic.told.ended(42))  # 294 of 300 days have passed

    async def refused() -> bool:
        return (await clinic.schedule(uuid4(), ago())).status_code == 409

    await until(refused)
    assert problem(await clinic.schedule(uuid4(), ago())) == (409, "relationship-ended")
    assert (await clinic.schedule(uuid4(), clinic.told.at(41))).status_code == 200, "entered late, it was held before"


async def test_an_unknown_session_is_to_be_put_first(clinic: Clinic) -> None:
    session_id = uuid4()

    for response in (
        await clinic.complete(session_id, ago()),
        await clinic.http.post(f"/sessions/{session_id}/missed", json={}),
        await clinic.http.get(f"/sessions/{session_id}"),
        await clinic.answer(session_id, "client", ago(), **GOOD),
    ):
        assert problem(response) == (404, "unknown-session")
        assert f"PUT /sessions/{session_id}" in response.json()["detail"]


async def test_one_thing_only_became_of_a_session(clinic: Clinic) -> None:
    await clinic.begins()
    completed = await clinic.held()

    missed = await clinic.http.post(f"/sessions/{completed.session}/missed")
    other_completion = await clinic.complete(completed.session, completed.ended_at, minutes=20)
    moved = await clinic.schedule(completed.session, ago(-5))

    assert {problem(response) for response in (missed, other_completion, moved)} == {(409, "session-already-completed")}


async def test_a_session_that_was_not_held_cannot_be_answered(clinic: Clinic) -> None:
    await clinic.begins()
    scheduled, missed = uuid4(), uuid4()
    for session_id in (scheduled, missed):
        await clinic.schedule(session_id, ago(1))
    await clinic.http.post(f"/sessions/{missed}/missed", json={})

    for session_id in (scheduled, missed):
        assert problem(await clinic.answer(session_id, "client", ago(), **GOOD)) == (409, "session-not-held")


async def test_what_has_not_happened_yet_cannot_be_reported(clinic: Clinic) -> None:
    await clinic.begins()
    future_session_id, started_session_id = uuid4(), uuid4()
    await clinic.schedule(future_session_id, ago(-1))
    await clinic.schedule(started_session_id, ago(1))
    completed = await clinic.held()

    for response in (
        await clinic.complete(future_session_id, ago(-2)),
        await clinic.complete(started_session_id, ago(-1)),
        await clinic.http.post(f"/sessions/{future_session_id}/missed", json={}),
        await clinic.http.post(
            f"/sessions/{future_session_id}/cancellation", json={"by": "clinic", "cancelled_at": ago(-0.5).isoformat()}
        ),
        await clinic.answer(completed.session, "client", ago(-0.5), **GOOD),
    ):
        assert problem(response) == (409, "in-the-future")
    assert problem(await clinic.answer(completed.session, "client", ago(2), **GOOD)) == (409, "before-the-session")
    assert problem(await clinic.schedule(uuid4(), ago(-24 * 800))) == (409, "too-far-ahead")
    assert problem(await clinic.schedule(uuid4(), ago(24 * 304))) == (409, "before-the-start")


@pytest.mark.parametrize("year", [1, 1899, 2201, 9999])
async def test_a_year_that_nobody_can_mean_is_refused_wherever_a_time_is_given(clinic: Clinic, year: int) -> None:
    await clinic.begins()
    completed = await clinic.held()
    moment = datetime(year, 6, 1, tzinfo=UTC)

    for response in (
        await clinic.schedule(uuid4(), moment),
        await clinic.complete(completed.session, moment),
        await clinic.answer(completed.session, "client", moment, **GOOD),
    ):
        assert response.status_code == 422


@pytest.mark.parametrize(
    ("wrong", "where"),
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
async def test_an_answer_that_cannot_be_right_is_told_where(clinic: Clinic, wrong: dict[str, Any], where: str) -> None:
    body = {"given_at": ago().isoformat(), **wrong}

    response = await clinic.http.put(f"/sessions/{uuid4()}/feedback/client", json=body)

    assert problem(response) == (422, "invalid-request")
    assert [event["pointer"] for event in response.json()["errors"] if event["pointer"].startswith(where)], (
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
async def test_a_body_that_cannot_be_right_is_refused(clinic: Clinic, path: str, body: dict[str, Any]) -> None:
    response = await clinic.http.post(f"/sessions/{uuid4()}/{path}", json=body)

    assert problem(response) == (422, "invalid-request")


@pytest.mark.parametrize("minutes", [4, 481])
async def test_an_appointment_has_a_length_that_can_be(clinic: Clinic, minutes: int) -> None:
    assert problem(await clinic.schedule(uuid4(), ago(), minutes)) == (422, "invalid-request")


async def test_a_body_that_is_too_large_is_refused(clinic: Clinic) -> None:
    response = await clinic.http.put(f"/sessions/{uuid4()}", json={"relationship_id": "x" * 3000})

    assert problem(response) == (413, "too-large")


async def test_a_client_who_withdraws_is_not_asked_any_more(clinic: Clinic) -> None:
    await clinic.begins()
    completed = await clinic.held()
    await clinic.tell(ConsentWithdrawn(id=uuid4(), occurred_at=ago(), relationship_id=clinic.relationship))

    async def closed() -> bool:
        return (await clinic.http.get(completed.path("client"))).status_code == 410

    await until(closed)
    assert (await clinic.http.post(completed.path("client"), data={"trust": "3"})).status_code == 410
    links = (await clinic.complete(completed.session, completed.ended_at)).json()
    assert links["client_form"] is None
    assert links["clinician_form"] is not None
