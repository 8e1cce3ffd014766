"""What clinicians do about an alert: it counts for what they have seen, once, and can be taken back."""

from uuid import uuid4

import httpx2

from shared.events import AlertAcknowledged, AlertReopened, AlertResolved
from shared.events.topics import ALERTS
from shared.kafka.producer import Producer
from tests.integration.notify.conftest import Serve
from tests.integration.notify.steps import dispose, get_inbox, set_channels, shows_alert, suspected_events
from tests.support.kafka_reader import read_events
from tests.support.page_forms import Form, find_forms
from tests.support.receivers import Mailbox
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until


async def test_a_button_of_an_outdated_page_does_nothing_and_shows_the_present_alert(
    serve: Serve, kafka: Producer
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        old = await open_inbox(client, s)
        await kafka.publish([s.changed(4, "urgent"), s.updated(4, 0)])
        await wait_until(lambda: shows_alert(client, s, severity="urgent"))

        refusals = [await old[text].press(client) for text in ("I take this on", "Done, not useful")]
        (after_refusals,) = await get_inbox(client, s)
        pressed_again = await find_forms(refusals[0].text)["I take this on"].press(client)
        (taken_on,) = await get_inbox(client, s)

    for refusal in refusals:
        assert (refusal.status_code, refusal.headers["content-type"]) == (409, "text/html; charset=utf-8")
        assert "has changed since you opened the page" in refusal.text
        assert "Shows strong signs of strain" in refusal.text
    assert (after_refusals["severity"], after_refusals["status"]) == ("urgent", "open")
    assert pressed_again.status_code == 303
    assert taken_on["status"] == "acknowledged"


async def test_a_request_about_another_state_than_the_present_one_is_rejected(serve: Serve, kafka: Producer) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        shown = (await get_inbox(client, s))[0]["shown"]
        outdated = [
            {**shown, "severity": "watch"},
            {**shown, "evidence_version": "0123456789abcdef"},
            {**shown, "status": "acknowledged"},
        ]
        responses = [
            await client.post(f"/alerts/{s.alert_id()}/{path}", json={"id": str(uuid4()), "shown": other})
            for other in outdated
            for path in ("acknowledgement", "resolution")
        ]
        without = await client.post(f"/alerts/{s.alert_id()}/acknowledgement", json={})
        assert await shows_alert(client, s, status="open")

    assert {(r.status_code, r.json()["type"]) for r in responses} == {(409, "urn:attune:problem:alert-changed")}
    assert without.status_code == 422


async def test_a_later_version_with_the_same_evidence_refuses_nothing(serve: Serve, kafka: Producer) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        old = await open_inbox(client, s)
        await kafka.publish([s.changed(4, days_ago=1), s.updated(4, 0)])
        await wait_until(lambda: shows_alert(client, s, version=4))

        assert (await old["I take this on"].press(client)).status_code == 303
        assert await shows_alert(client, s, status="acknowledged")


async def test_every_act_can_be_taken_back_without_javascript(
    serve: Serve, kafka: Producer, kafka_servers: str
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        statuses = []
        for text in ("I take this on", "Done, not useful", "Undo", "Undo", "I take this on"):
            pressed = await (await open_inbox(client, s))[text].press(client)
            assert (pressed.status_code, pressed.headers["location"]) == (303, f"/inbox/{s.clinician_id}")
            statuses.append((await get_inbox(client, s))[0]["status"])
        await wait_until(lambda: has_published(kafka_servers, s, 6))

    assert statuses == ["acknowledged", "resolved", "acknowledged", "open", "acknowledged"]
    _, first, resolved, *reopened, again = await read_events(kafka_servers, ALERTS, s.relationship_id)
    assert isinstance(first, AlertAcknowledged)
    assert isinstance(again, AlertAcknowledged)
    assert isinstance(resolved, AlertResolved)
    assert [e.disposition_id for e in reopened if isinstance(e, AlertReopened)] == [resolved.id, first.id]
    assert first.id != again.id


async def test_the_same_request_twice_is_one_act_and_another_one_under_its_id_is_rejected(
    serve: Serve, kafka: Producer, kafka_servers: str
) -> None:
    s, act_id = RuptureBuilder(), str(uuid4())
    path = f"/alerts/{s.alert_id()}"
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        body = {"id": act_id, "shown": (await get_inbox(client, s))[0]["shown"]}
        page = await open_inbox(client, s)
        first, repeated = [await client.post(f"{path}/acknowledgement", json=body) for _ in range(2)]
        other = await client.post(f"{path}/resolution", json=body)
        undo = {"id": str(uuid4()), "shown": first.json()["shown"], "disposition_id": first.json()["disposition_id"]}
        reopened = [await client.post(f"{path}/reopening", json=undo) for _ in range(2)]
        late = await client.post(f"{path}/acknowledgement", json=body)
        taken_back_twice = await client.post(f"{path}/reopening", json={**undo, "id": str(uuid4())})
        clicks = [await page["I take this on"].press(client) for _ in range(2)]
        await wait_until(lambda: has_published(kafka_servers, s, 4))

    assert [r.json()["status"] for r in (first, repeated, *reopened)] == ["acknowledged"] * 2 + ["open"] * 2
    assert (other.status_code, other.json()["type"]) == (409, "urn:attune:problem:id-already-used")
    assert (late.status_code, late.json()["type"]) == (409, "urn:attune:problem:taken-back")
    assert taken_back_twice.status_code == 409
    assert [click.status_code for click in clicks] == [303, 303]


async def test_an_alert_that_is_open_again_is_sent_if_it_was_not_sent_before(
    serve: Serve, kafka: Producer, mailbox: Mailbox
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        acknowledged = await dispose(client, s, "acknowledgement")
        email = await set_channels(client, s)
        assert (await dispose(client, s, "acknowledgement")).json()["status"] == "acknowledged"
        assert mailbox.received_by(email) == []

        await dispose(client, s, "reopening", disposition_id=acknowledged.json()["disposition_id"])
        await wait_until(lambda: is_sent(mailbox, email))


async def is_sent(mailbox: Mailbox, email: str) -> bool:
    return len(mailbox.received_by(email)) == 1


async def open_inbox(client: httpx2.AsyncClient, s: RuptureBuilder) -> dict[str, Form]:
    return find_forms((await client.get(f"/inbox/{s.clinician_id}")).text)


async def has_published(servers: str, s: RuptureBuilder, count: int) -> bool:
    return len({event.id for event in await read_events(servers, ALERTS, s.relationship_id)}) == count
