"""What the inbox shows, on its page and as JSON."""

from dataclasses import replace
from uuid import uuid4

import httpx2

from services.notify.settings import Settings
from shared.kafka.producer import Producer
from shared.mongo.client import Document, Mongo
from tests.integration.notify.conftest import Serve
from tests.integration.notify.steps import get_inbox, shows_alert, suspected_events
from tests.support.page_forms import find_forms
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until


async def test_a_drop_out_is_shown_as_one_and_stays_open_until_somebody_has_read_it(
    serve: Serve, kafka: Producer
) -> None:
    s = RuptureBuilder()
    ended = s.retracted(4, "urgent", reason="ended", end_reason="stopped_by_client")
    async with serve() as client:
        await kafka.publish([s.started(), s.suspected(3, "urgent"), s.updated(3, 0), ended, s.updated(4)])
        await wait_until(lambda: shows_alert(client, s, version=4))
        (open_alert,) = await get_inbox(client, s)
        open_page = (await client.get(f"/inbox/{s.clinician_id}")).text
        assert (await find_forms(open_page)["I have read this"].press(client)).status_code == 303
        (read_alert,) = await get_inbox(client, s)
        read_page = (await client.get(f"/inbox/{s.clinician_id}")).text

    assert (open_alert["status"], open_alert["end_reason"]) == ("open", "ended_by_client")
    assert (read_alert["status"], read_alert["end_reason"]) == ("retracted", "ended_by_client")
    for page in (open_page, read_page):
        assert "The client ended the therapy" in page
        assert "no longer supports this" not in page
        assert "way to begin" not in page
    assert "I have read this" in open_page
    assert "I have read this" not in read_page


async def test_withdrawn_consent_takes_the_alert_off_every_page(serve: Serve, kafka: Producer) -> None:
    s, other = RuptureBuilder(), RuptureBuilder()
    other.clinician_id = s.clinician_id
    async with serve() as client:
        await kafka.publish([e for b in (s, other) for e in (b.started(), b.suspected(3, "urgent"), b.updated(3, 0))])
        await wait_until(lambda: has_alerts(client, s, 2))
        shown_before = (await client.get(f"/alerts/{s.alert_id()}")).json()["shown"]
        await kafka.publish([s.retracted(4, "urgent", reason="consent_withdrawn"), s.updated(4)])
        await wait_until(lambda: has_alerts(client, s, 1))
        (remaining,) = await get_inbox(client, s)
        page = (await client.get(f"/inbox/{s.clinician_id}")).text
        gone = await client.get(f"/alerts/{s.alert_id()}")
        acted = await client.post(
            f"/alerts/{s.alert_id()}/acknowledgement", json={"id": str(uuid4()), "shown": shown_before}
        )

    assert remaining["alert_id"] == str(other.alert_id())
    assert str(s.alert_id()) not in page
    assert (gone.status_code, acted.status_code) == (404, 404)


async def test_withdrawn_consent_takes_repaired_and_resolved_alerts_off_every_page_too(
    serve: Serve, kafka: Producer, settings: Settings
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish([s.registered(), s.started(), s.consent_given()])
        await kafka.publish([s.suspected(3, days_ago=10), s.repaired(4, days_ago=9)])
        await kafka.publish([s.suspected(5, episode=1, days_ago=8), s.updated(5, 1)])
        await wait_until(lambda: has_alerts(client, s, 2))
        shown = (await client.get(f"/alerts/{s.alert_id(1)}")).json()["shown"]
        body = {"id": str(uuid4()), "shown": shown}
        assert (await client.post(f"/alerts/{s.alert_id(1)}/resolution", json=body)).status_code == 200
        await kafka.publish([s.consent_withdrawn(days_ago=5)])
        await wait_until(lambda: has_alerts(client, s, 0))
        gone = [(await client.get(f"/alerts/{s.alert_id(number)}")).status_code for number in (0, 1)]
        page = (await client.get(f"/inbox/{s.clinician_id}")).text
        stored = await alerts_in_database(settings)
        await kafka.publish([s.consent_given(days_ago=4), s.suspected(6, episode=2), s.updated(6, 2)])
        await wait_until(lambda: has_alerts(client, s, 1))
        await kafka.publish([s.erased()])
        await wait_until(lambda: has_alerts(client, s, 0))
        after_erasure = await alerts_in_database(settings)

    assert gone == [404, 404]
    assert "rating" not in page.split("<main")[1].split("Nothing needs you")[1]
    assert [(alert["said"]["end_reason"], alert["said"]["evidence"]) for alert in stored] == [
        ("consent_withdrawn", [])
    ] * 2
    assert after_erasure == []


async def test_an_inbox_of_nobody_is_not_found(serve: Serve) -> None:
    nobody = uuid4()
    async with serve() as client:
        json_responses = [await client.get(f"/clinicians/{nobody}/inbox{path}") for path in ("", "/stream")]
        page = await client.get(f"/inbox/{nobody}")

    assert [(r.status_code, r.json()["type"]) for r in json_responses] == [
        (404, "urn:attune:problem:unknown-clinician")
    ] * 2
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "We do not know this inbox" in page.text
    assert "Nothing needs you" not in page.text


async def test_an_inbox_of_many_alerts_counts_them_and_has_pages(serve: Serve, kafka: Producer) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(clinician_id=clinician) for _ in range(201)]
    async with serve() as client:
        await kafka.publish([e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))])
        await wait_until(lambda: has_alerts(client, relationships[0], 201))
        first, second, beyond, appended = [
            (await client.get(f"/inbox/{clinician}{query}")).text for query in ("", "?page=2", "?page=9", "?page=x&y=1")
        ]
        rest = (await client.get(f"/clinicians/{clinician}/inbox?page=2")).json()

    assert [page.count("<article") for page in (first, second, beyond, appended)] == [200, 1, 1, 200]
    assert "201 may need you, 0 are closed." in first
    assert "page 1 of 2" in first
    assert f'href="/inbox/{clinician}?page=2"' in first
    assert f'href="/inbox/{clinician}">Previous page' in second
    assert (rest["active"], rest["total"], rest["page"], rest["pages"], len(rest["alerts"])) == (201, 201, 2, 2, 1)


async def test_the_page_works_without_javascript(serve: Serve, kafka: Producer) -> None:
    s, other = RuptureBuilder(), uuid4()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        page = await client.get(f"/inbox/{s.clinician_id}")
        action_path = f"/inbox/{s.clinician_id}/alerts/{s.alert_id()}"
        button = find_forms(page.text)["I take this on"]
        assert button.action == f"{action_path}/acknowledgement"
        cross_site = await client.post(button.action, data=button.fields, headers={"Sec-Fetch-Site": "cross-site"})
        assert cross_site.status_code == 403
        await replace(button, action=f"/inbox/{other}/alerts/{s.alert_id()}/acknowledgement").press(client)
        assert await shows_alert(client, s, status="open")

        response = await button.press(client)
        assert (response.status_code, response.headers["location"]) == (303, f"/inbox/{s.clinician_id}")
        assert await shows_alert(client, s, status="acknowledged")
        forms = find_forms((await client.get(f"/inbox/{s.clinician_id}")).text)
        assert (await forms["Done, not useful"].press(client)).status_code == 303
        assert (await forms["Done, this was useful"].press(client)).status_code == 409  # the page is out of date
        assert await shows_alert(client, s, status="resolved", useful=False)
        unknown = replace(button, action=f"/inbox/{s.clinician_id}/alerts/{other}/acknowledgement")
        assert (await unknown.press(client)).status_code == 404
        assert (await client.post(button.action)).status_code == 409  # a page of an older version, without the fields
        assert [(await client.get(path)).status_code for path in ("/inbox.css", "/inbox.js")] == [200, 200]

    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "AB-12" in page.text
    assert "shows signs of" in page.text
    assert "not an emergency service" in page.text
    assert "detected" not in page.text


async def test_an_appointment_that_was_cancelled_before_it_was_entered_is_no_next_session(
    serve: Serve, kafka: Producer
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish([s.started(), s.scheduled(3, hours_ago=0), s.scheduled(9, session=1)])
        await kafka.publish([s.cancelled(3, hours_ago=1), s.suspected(3), s.updated(3, 0)])
        expected = f"{s.scheduled(9).starts_at:%Y-%m-%dT%H:%M:%SZ}"
        await wait_until(lambda: shows_alert(client, s, next_session_at=expected))


async def alerts_in_database(settings: Settings) -> list[Document]:
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, "pymongo")
    try:
        return await mongo["alerts"].find().to_list(None)
    finally:
        await mongo.close()


async def has_alerts(client: httpx2.AsyncClient, s: RuptureBuilder, count: int) -> bool:
    response = await client.get(f"/clinicians/{s.clinician_id}/inbox")
    return response.status_code == 200 and bool(response.json()["total"] == count)
