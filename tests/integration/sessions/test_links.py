"""Who gets a link to a form, how many there are, and how an answer came."""

import json
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from shared.events import FeedbackAmended, FeedbackSubmitted
from shared.events.topics import FEEDBACK
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until
from tests.support.sessions_client import CompletedSession, SessionsClient, ago, problem_of

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def expire_links(clinic: SessionsClient, completed: CompletedSession, mongodb_uri: str) -> None:
    """Set the expiry back in the database, because links last at least a day."""
    async with AsyncMongoClient[dict[str, object]](mongodb_uri, uuidRepresentation="standard") as mongo:
        expired = {f"feedback.{rater}.expires_at": ago(0.01) for rater in ("client", "clinician")}
        await mongo[clinic.database]["sessions"].update_one({"_id": completed.session_id}, {"$set": expired})


async def test_a_completion_gives_nobody_the_clients_link(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    again = (await clinic.complete(completed.session_id, completed.ended_at)).raise_for_status().json()

    pages = [
        (await clinic.http.get(url)).text
        for answer in (completed.completion, again)
        for url in clinic.form_paths(json.dumps(answer))
    ]
    assert len(pages) == 2
    assert all("My client felt safe to open up." in page for page in pages)
    assert again["feedback"]["client"]["status"] == "awaiting"


async def test_a_new_link_leaves_those_sent_before_as_they_are(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    first = completed.form_path("client")

    second = await clinic.client_form_path(completed.session_id)
    again = (await clinic.complete(completed.session_id, completed.ended_at)).json()

    clinicians_second = clinic.path_of(again["clinician_form"]["url"])
    assert len({first, second, completed.form_path("clinician"), clinicians_second}) == 4
    for path in (first, second, completed.form_path("clinician"), clinicians_second):
        assert (await clinic.http.get(path)).status_code == 200
    assert (await clinic.http.post(first, data={"trust": "4"})).status_code == 200
    assert (await clinic.http.post(second, data={"trust": "9"})).status_code == 410, "one answer, by whichever link"


async def test_a_session_has_at_most_five_links_for_each_of_the_two(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()  # with the first link for each

    for _ in range(4):
        assert (await clinic.request_client_link(completed.session_id)).status_code == 200
        completion = (await clinic.complete(completed.session_id, completed.ended_at)).json()
        assert completion["clinician_form"] is not None

    refused = await clinic.request_client_link(completed.session_id)
    assert problem_of(refused) == (409, "too-many-links")
    assert "still work" in refused.json()["detail"]
    completion = (await clinic.complete(completed.session_id, completed.ended_at)).raise_for_status().json()
    assert completion["clinician_form"] is None
    assert (await clinic.http.get(completed.form_path("client"))).status_code == 200


async def test_a_link_is_given_only_while_the_form_can_be_answered(clinic: SessionsClient, mongodb_uri: str) -> None:
    await clinic.start_relationship()
    planned, answered = uuid4(), await clinic.create_completed_session()
    await clinic.schedule(planned, ago(-2))
    await clinic.http.post(answered.form_path("client"), data={"trust": "4"})
    over = await clinic.create_completed_session()
    await expire_links(clinic, over, mongodb_uri)

    assert problem_of(await clinic.request_client_link(uuid4())) == (404, "unknown-session")
    assert problem_of(await clinic.request_client_link(planned)) == (409, "session-not-held")
    assert problem_of(await clinic.request_client_link(answered.session_id)) == (409, "already-answered")
    assert problem_of(await clinic.request_client_link(over.session_id)) == (409, "link-expired")
    assert (await clinic.complete(over.session_id, over.ended_at)).json()["clinician_form"] is None
    assert (await clinic.http.get(over.form_path("client"))).status_code == 410


async def test_no_link_is_given_to_a_client_who_was_not_asked(clinic: SessionsClient) -> None:
    await clinic.start_relationship(consent=False)
    completed = await clinic.create_completed_session()

    assert problem_of(await clinic.request_client_link(completed.session_id)) == (409, "no-consent")
    assert list(completed.completion["feedback"]) == ["clinician"]


async def test_links_are_logged_without_token_or_identity(
    clinic: SessionsClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    for _ in range(5):
        await clinic.request_client_link(completed.session_id)

    lines = [line for line in capsys.readouterr().out.splitlines() if "Client link" in line]

    assert len(lines) == 6
    assert all(str(completed.session_id) in line for line in lines)
    assert "too-many-links" in lines[-1]
    token = completed.form_path("client").removeprefix("/f/")
    assert not any(secret in line for line in lines for secret in (token, "AB-12", str(clinic.relationship_id)))


async def test_every_answer_says_how_it_came(clinic: SessionsClient, kafka_servers: str) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    session_id = completed.session_id

    await clinic.http.post(completed.form_path("client"), data={"trust": "4"})
    by_form = (await clinic.http.get(f"/sessions/{session_id}")).json()
    by_desk = await clinic.submit_answer(session_id, "client", ago(), ratings={"trust": 5}, collected_by="desk")
    by_system = await clinic.submit_answer(session_id, "clinician", ago(), ratings={"trust": 6})

    assert by_form["feedback"]["client"]["collected_by"] == "form"
    assert by_desk.json()["feedback"]["client"]["collected_by"] == "desk"
    assert by_system.json()["feedback"]["clinician"]["collected_by"] == "system"
    pretending = await clinic.submit_answer(session_id, "client", ago(), ratings={"trust": 9}, collected_by="form")
    assert pretending.status_code == 422

    async def published() -> list[tuple[str, str, str | None]]:
        return [
            (type(event).__name__, event.rater, event.collected_by)
            for event in await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
            if isinstance(event, FeedbackSubmitted | FeedbackAmended)
        ]

    async def all_are_published() -> bool:
        return len(await published()) == 3

    await wait_until(all_are_published)
    assert await published() == [
        ("FeedbackSubmitted", "client", "form"),
        ("FeedbackAmended", "client", "desk"),
        ("FeedbackSubmitted", "clinician", "system"),
    ]


async def test_every_answer_says_the_language_of_its_form(clinic: SessionsClient, kafka_servers: str) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    session_id, path = completed.session_id, completed.form_path("client")

    assert '<html lang="en">' in (await clinic.http.get(path)).text
    await clinic.http.post(path, data={"trust": "4"})
    amended = await clinic.submit_answer(session_id, "client", ago(), ratings={"trust": 5}, language="de-CH")
    silent = await clinic.submit_answer(session_id, "clinician", ago(), ratings={"trust": 6})
    misspelt = await clinic.submit_answer(session_id, "client", ago(), ratings={"trust": 9}, language="German")

    assert [response.status_code for response in (amended, silent, misspelt)] == [200, 200, 422]

    async def published() -> list[tuple[str, str | None]]:
        return [
            (type(event).__name__, event.language)
            for event in await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
            if isinstance(event, FeedbackSubmitted | FeedbackAmended)
        ]

    async def all_are_published() -> bool:
        return len(await published()) == 3

    await wait_until(all_are_published)
    assert await published() == [("FeedbackSubmitted", "en"), ("FeedbackAmended", "de-CH"), ("FeedbackSubmitted", None)]


async def test_a_rejection_does_not_tell_what_is_stored(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed, cancelled = await clinic.create_completed_session(), uuid4()
    given_at, cancelled_at = ago(0.5), ago(30)
    await clinic.schedule(cancelled, ago(3))
    await clinic.http.post(
        f"/sessions/{cancelled}/cancellation", json={"by": "client", "cancelled_at": cancelled_at.isoformat()}
    )
    await clinic.submit_answer(completed.session_id, "client", given_at, ratings={"trust": 4})

    rejected = [
        await clinic.complete(completed.session_id, ago(0.7), minutes=33),
        await clinic.complete(cancelled, ago(0.7), minutes=33),
        await clinic.submit_answer(completed.session_id, "client", ago(0.6), ratings={"trust": 9}),
        await clinic.submit_answer(completed.session_id, "clinician", ago(9), ratings={"trust": 9}),
        await clinic.schedule(uuid4(), ago(24 * 304)),
    ]

    started_at = clinic.builder.started().occurred_at
    for response in rejected:
        assert response.status_code == 409
        for moment in (completed.ended_at, given_at, cancelled_at, started_at):
            assert moment.isoformat()[:13] not in response.text, "not even the hour"
        assert "50 minutes" not in response.text
        assert "by the client" not in response.text
