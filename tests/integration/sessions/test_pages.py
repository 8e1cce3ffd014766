"""The form behind its secret link, as client and clinician see it."""

import asyncio
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from services.sessions.http import questions
from shared.events import ClientErased, FeedbackSubmitted
from shared.events.topics import FEEDBACK
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until
from tests.support.sessions_client import CompletedSession, SessionsClient, ago

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def expire(clinic: SessionsClient, completed: CompletedSession, mongodb_uri: str) -> None:
    """Change the expiry of the client's link in the database, because links last at least a day."""
    async with AsyncMongoClient[dict[str, object]](mongodb_uri, uuidRepresentation="standard") as mongo:
        sessions = mongo[clinic.database]["sessions"]
        await sessions.update_one({"_id": completed.session_id}, {"$set": {"feedback.client.expires_at": ago(0.01)}})


async def test_opening_a_link_changes_nothing(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    pages = [await clinic.http.get(completed.form_path("client")) for _ in range(3)]

    assert {page.status_code for page in pages} == {200}
    assert pages[0].text == pages[2].text
    assert await clinic.feedback_status(completed.session_id, "client") == "awaiting"


async def test_a_head_request_is_answered_and_changes_nothing(
    clinic: SessionsClient,
) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    get_response = await clinic.http.get(completed.form_path("client"))

    heads = [await clinic.http.head(completed.form_path("client")) for _ in range(2)]
    style, forged = await clinic.http.head("/form.css"), await clinic.http.head("/f/forged")
    unknown_path, post_only = (
        await clinic.http.head("/nowhere"),
        await clinic.http.head(f"/sessions/{completed.session_id}/missed"),
    )

    assert [head.status_code for head in (*heads, style, forged, unknown_path, post_only)] == [
        200,
        200,
        200,
        404,
        404,
        405,
    ]
    assert all(head.content == b"" for head in (*heads, style, forged, unknown_path, post_only))
    assert heads[0].headers["content-length"] == get_response.headers["content-length"]
    assert heads[0].headers["content-security-policy"] == get_response.headers["content-security-policy"]
    assert await clinic.feedback_status(completed.session_id, "client") == "awaiting"
    assert (await clinic.http.get(completed.form_path("client"))).text == get_response.text


async def test_the_form_has_headers_that_protect_its_reader(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    for page in (await clinic.http.get(completed.form_path("client")), await clinic.http.get("/f/forged")):
        assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
    style = await clinic.http.get("/form.css")
    assert style.headers["content-type"].startswith("text/css")


async def test_client_and_clinician_get_different_forms(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    client, clinician = [(await clinic.http.get(completed.form_path(rater))).text for rater in ("client", "clinician")]

    assert "I felt safe to open up." in client
    assert "not an emergency line" in client
    assert questions.PRIVACY_NOTICE["client"] in client
    assert "AB-12" not in client
    assert "My client felt safe to open up." in clinician
    assert "AB-12" in clinician
    for page in (client, clinician):
        assert page.count("<fieldset>") == page.count("<legend>") == 10
        assert "<script" not in page


async def test_every_page_of_a_client_shows_whom_their_clinic_says_to_call(
    clinic: SessionsClient, mongodb_uri: str
) -> None:
    await clinic.start_relationship()
    await clinic.publish_clinic(
        name="Elm & Oak", crisis_contact="the <b>duty desk</b>", crisis_numbers=("+49 (0)30 23125-000", "112")
    )
    answered, expired = await clinic.create_completed_session(), await clinic.create_completed_session(2)
    await expire(clinic, expired, mongodb_uri)
    paths = [completed.form_path("client") for completed in (answered, expired)]

    async def is_shown() -> bool:
        return "Elm &amp; Oak" in (await clinic.http.get(paths[0])).text

    await wait_until(is_shown)
    pages = {
        "form": await clinic.http.get(paths[0]),
        "incomplete form": await clinic.http.post(paths[0], data={}),
        "thanks": await clinic.http.post(paths[0], data={"trust": "4"}),
        "used": await clinic.http.get(paths[0]),
        "expired": await clinic.http.get(paths[1]),
    }

    assert [page.status_code for page in pages.values()] == [200, 422, 200, 410, 410]
    for name, page in pages.items():
        assert "Elm &amp; Oak" in page.text, name
        assert "the &lt;b&gt;duty desk&lt;/b&gt;" in page.text, name
        assert 'href="tel:+493023125000"' in page.text, name
        assert 'href="tel:112"' in page.text, name
    clinician = (await clinic.http.get(answered.form_path("clinician"))).text
    assert "duty desk" not in clinician
    assert "tel:" not in clinician


async def test_where_the_clinic_is_not_known_a_page_shows_a_general_text(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    pages = [await clinic.http.get("/f/forged"), await clinic.http.get(completed.form_path("client"))]

    for page in pages:
        assert "not an emergency line" in page.text
        assert "tel:" not in page.text


async def test_an_answer_uses_up_the_link_and_the_same_answer_is_accepted_again(
    clinic: SessionsClient, kafka_servers: str
) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    path, form_data = (
        completed.form_path("client"),
        {"trust": "9", "respect": "", "tension": "yes", "talked_about": "not"},
    )

    first, again = [await clinic.http.post(path, data=form_data) for _ in range(2)]
    different_answer = await clinic.http.post(path, data={"trust": "1"})
    get_response = await clinic.http.get(path)

    assert (first.status_code, again.status_code, different_answer.status_code, get_response.status_code) == (
        200,
        200,
        410,
        410,
    )
    assert "Thank you" in first.text
    assert first.text == again.text
    assert "answered already" in different_answer.text

    async def is_published() -> bool:
        return any(
            isinstance(event, FeedbackSubmitted)
            for event in await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
        )

    await wait_until(is_published)
    submitted = [
        event
        for event in await read_events(kafka_servers, FEEDBACK, clinic.relationship_id)
        if isinstance(event, FeedbackSubmitted)
    ]
    assert [(event.ratings, event.tension, event.talked_about) for event in submitted] == [({"trust": 9}, "yes", "not")]


async def test_only_one_of_two_concurrent_answers_is_recorded(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    pages = await asyncio.gather(
        *(clinic.http.post(completed.form_path("client"), data={"trust": str(rating)}) for rating in (2, 9))
    )

    assert sorted(page.status_code for page in pages) == [200, 410]


async def test_a_form_without_any_rating_is_returned_with_the_entered_values(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    page = await clinic.http.post(completed.form_path("client"), data={"tension": "a_little"})

    assert page.status_code == 422
    assert "at least one of the statements" in page.text
    assert 'value="a_little" id="tension-a_little" checked' in page.text
    assert await clinic.feedback_status(completed.session_id, "client") == "awaiting"


async def test_entered_markup_is_not_rendered(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()

    page = await clinic.http.post(completed.form_path("client"), data={"trust": '"><script>alert(1)</script>'})

    assert page.status_code == 422
    assert "<script" not in page.text


@pytest.mark.parametrize("token", ["forged", "A" * 43, "%00"])
async def test_a_forged_link_is_not_found(clinic: SessionsClient, token: str) -> None:
    assert (await clinic.http.get(f"/f/{token}")).status_code == 404
    assert (await clinic.http.post(f"/f/{token}", data={"trust": "3"})).status_code == 404


async def test_a_form_answered_on_paper_cannot_be_answered_again(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    await clinic.submit_answer(completed.session_id, "client", ago(), ratings={"trust": 4})

    assert (await clinic.http.get(completed.form_path("client"))).status_code == 410
    assert (await clinic.http.post(completed.form_path("client"), data={"trust": "4"})).status_code == 200
    assert (await clinic.http.post(completed.form_path("client"), data={"trust": "5"})).status_code == 410


async def test_a_session_entered_late_can_still_be_answered(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session(hours_ago=24 * 20)

    assert (await clinic.http.post(completed.form_path("client"), data={"trust": "4"})).status_code == 200


async def test_an_expired_link_shows_a_page_that_says_so(clinic: SessionsClient, mongodb_uri: str) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    await expire(clinic, completed, mongodb_uri)

    get_response = await clinic.http.get(completed.form_path("client"))
    post_response = await clinic.http.post(completed.form_path("client"), data={"trust": "4"})

    assert (get_response.status_code, post_response.status_code) == (410, 410)
    assert "time for this form is over" in get_response.text
    assert (await clinic.http.get(completed.form_path("clinician"))).status_code == 200


async def test_the_form_of_a_session_that_was_taken_back_says_so_and_works_again_once_it_was_held(
    clinic: SessionsClient,
) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    held = {"what": "completed", "ended_at": ago(1).isoformat(), "minutes": 50}
    pages = []
    for outcome in ({"what": "missed"}, held, None):
        path = f"/sessions/{completed.session_id}/corrections/{uuid4()}"
        corrected = await clinic.http.put(path, json={"outcome": outcome})
        assert corrected.status_code == 200, corrected.text
        pages.append(await clinic.http.get(completed.form_path("client")))

    assert [page.status_code for page in pages] == [410, 200, 410]
    assert all("nothing to answer at the moment" in pages[i].text for i in (0, 2))


async def test_the_sessions_of_an_erased_client_are_deleted(clinic: SessionsClient) -> None:
    await clinic.start_relationship()
    completed = await clinic.create_completed_session()
    await clinic.publish(
        ClientErased(id=uuid4(), occurred_at=ago(), relationship_id=clinic.relationship_id, client_id=uuid4())
    )

    async def is_erased() -> bool:
        return (await clinic.http.get(f"/sessions/{completed.session_id}")).status_code == 404

    await wait_until(is_erased)
    assert (await clinic.http.get(completed.form_path("client"))).status_code == 404
    rejected = await clinic.schedule(uuid4(), ago())
    assert (rejected.status_code, rejected.json()["type"]) == (409, "urn:attune:problem:client-erased")
