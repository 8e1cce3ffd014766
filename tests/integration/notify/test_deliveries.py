"""Messages from outside: a rupture is published, and its clinician is sent one message through each channel."""

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

import httpx2
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.notify.domain.routing import ChannelAddresses
from services.notify.settings import Settings
from shared.events import AlertRaised
from shared.events.topics import ALERTS
from shared.kafka.producer import Producer
from shared.mongo.client import Mongo
from tests.integration.notify.conftest import Serve
from tests.integration.notify.mongo_harness import create_mongo_store
from tests.integration.notify.steps import (
    SECRET,
    get_inbox,
    has_counted,
    set_channels,
    shows_alert,
    suspected_events,
)
from tests.support.kafka_reader import read_events
from tests.support.receivers import Mailbox, WebhookReceiver
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_rupture_is_shown_in_the_inbox_and_sent_once_through_each_channel(
    serve: Serve, kafka: Producer, kafka_servers: str, mailbox: Mailbox, hook: WebhookReceiver, driver: str
) -> None:
    s = RuptureBuilder()
    async with serve(mongodb_driver=driver) as client:
        email = await set_channels(client, s, hook)
        await kafka.publish(suspected_events(s))
        await kafka.publish(suspected_events(s))  # delivered again
        await wait_until(lambda: _is_true(bool(mailbox.received_by(email) and hook.received)))
        await kafka.publish([s.changed(4), s.updated(4, 0)])
        await wait_until(lambda: shows_alert(client, s, version=4))
        await wait_until(lambda: knows_next_session(client, s))  # published on another topic
        (alert,) = await get_inbox(client, s)

    assert alert["alert_id"] == str(s.alert_id())
    assert (alert["case_code"], alert["severity"], alert["status"]) == ("AB-12", "concern", "open")
    (why,) = alert["why"]
    assert why.endswith(": the client's rating fell to 5.4 of 10 (usually around 8.6 with this client).")
    (mail,), ((_, body),) = mailbox.received_by(email), hook.received
    text = mail.get_content()
    assert mail["Subject"] == "A relationship in your caseload shows signs of strain"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@clinic.example>")
    assert f"https://attune.example/inbox/{s.clinician_id}" in text
    assert "not an emergency" in text
    sent = json.loads(body)
    assert sent == {
        "type": "alert.raised",
        "alert_id": str(s.alert_id()),
        "severity": "concern",
        "end_reason": None,
        "url": f"https://attune.example/inbox/{s.clinician_id}",
    }
    assert "AB-12" not in mail.as_string()
    assert not re.search(r"\d", text.replace(sent["url"], ""))
    assert [
        type(event) for event in {e.id: e for e in await read_events(kafka_servers, ALERTS, s.relationship_id)}.values()
    ] == [AlertRaised]


async def test_a_webhook_is_signed_and_tampering_is_detected(
    serve: Serve, kafka: Producer, hook: WebhookReceiver
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        hook.response_statuses = [503]
        await set_channels(client, s, hook)
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: _is_true(len(hook.received) == 2))

    (first, _), (headers, body) = hook.received
    assert Webhook(SECRET).verify(body, headers)["type"] == "alert.raised"
    assert first["webhook-id"] == headers["webhook-id"]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"concern", b"urgent!"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, {**headers, "webhook-id": str(uuid4())})


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 422])
async def test_a_webhook_that_does_not_accept_a_message_gets_it_again(
    serve: Serve, kafka: Producer, hook: WebhookReceiver, status: int
) -> None:
    """Each of these answers can be a passing state of the receiver."""
    s = RuptureBuilder()
    async with serve() as client:
        hook.response_statuses = [status]
        await set_channels(client, s, hook)
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: has_counted(client, channel="webhook", outcome="sent"))

    assert len(hook.received) == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_webhook_that_says_when_to_come_back_gets_the_message_again_then(
    serve: Serve, kafka: Producer, settings: Settings, hook: WebhookReceiver, status: int, form: str
) -> None:
    s, wait, started_at = RuptureBuilder(), timedelta(minutes=30), datetime.now(UTC)
    hook.response_statuses = [status]
    hook.retry_after = "1800" if form == "seconds" else format_datetime(started_at + wait, usegmt=True)
    async with serve() as client:
        await set_channels(client, s, hook)
        await kafka.publish(suspected_events(s))
        due_at = await wait_for_retry(settings, "webhook")

    assert started_at + wait - timedelta(seconds=1) <= due_at <= datetime.now(UTC) + wait
    assert len(hook.received) == 1


async def test_a_webhook_that_is_gone_is_not_retried(serve: Serve, kafka: Producer, hook: WebhookReceiver) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        hook.response_statuses = [410]
        await set_channels(client, s, hook)
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: has_counted(client, channel="webhook", outcome="rejected"))

    assert len(hook.received) == 1


async def test_deliveries_missed_by_a_crash_are_planned_at_the_next_start(
    serve: Serve, kafka: Producer, settings: Settings, mailbox: Mailbox
) -> None:
    s, email = RuptureBuilder(), "someone@clinic.example"
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database)
    await create_mongo_store(mongo).save_channels(None, s.clinician_id, ChannelAddresses(email=email))  # and crashed
    await mongo.close()

    async with serve():
        await wait_until(lambda: _is_true(bool(mailbox.received_by(email))))


async def test_mail_waits_for_a_mail_server_that_is_down(serve: Serve, kafka: Producer, settings: Settings) -> None:
    s, mailbox = RuptureBuilder(), Mailbox()
    async with serve() as client:
        email = await set_channels(client, s)
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: has_counted(client, channel="email", outcome="retried"))

        with mailbox.run(settings.smtp_port):
            await wait_until(lambda: has_counted(client, channel="email", outcome="sent"))

    assert len(mailbox.received_by(email)) == 1


async def test_a_message_is_sent_once_a_mail_server_that_refused_this_sender_is_repaired(
    serve: Serve, kafka: Producer, mailbox: Mailbox
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        email = await set_channels(client, s)
        mailbox.rejections = {email: "554 5.7.1 Relay access denied"}
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: has_counted(client, channel="email", outcome="retried"))
        mailbox.rejections.clear()
        await wait_until(lambda: has_counted(client, channel="email", outcome="sent"))

    assert len(mailbox.received_by(email)) == 1


async def test_a_rejected_address_is_not_retried_and_a_busy_one_is(
    serve: Serve, kafka: Producer, mailbox: Mailbox
) -> None:
    unknown, busy = RuptureBuilder(), RuptureBuilder()
    async with serve() as client:
        unknown_email, busy_email = await set_channels(client, unknown), await set_channels(client, busy)
        mailbox.rejections = {unknown_email: "550 5.1.1 no such user", busy_email: "450 try later"}
        await kafka.publish([*suspected_events(unknown), *suspected_events(busy)])
        await wait_until(lambda: has_counted(client, channel="email", outcome="rejected"))
        await wait_until(lambda: has_counted(client, channel="email", outcome="retried"))
        mailbox.rejections.pop(busy_email)
        await wait_until(lambda: _is_true(bool(mailbox.received_by(busy_email))))

    assert mailbox.attempts.count(unknown_email) == 1
    assert mailbox.received_by(unknown_email) == []


async def knows_next_session(client: httpx2.AsyncClient, s: RuptureBuilder) -> bool:
    return all(alert["next_session_at"] is not None for alert in await get_inbox(client, s))


async def wait_for_retry(settings: Settings, channel: str) -> datetime:
    """Wait until an attempt through the channel has failed, and return when the next one is due."""
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database)
    failed = {"channel": channel, "attempts": {"$gt": 0}, "held": {"$exists": False}}

    async def has_failed() -> bool:
        return await mongo["deliveries"].find_one(failed) is not None

    try:
        await wait_until(has_failed)
        document = await mongo["deliveries"].find_one(failed)
    finally:
        await mongo.close()
    assert document is not None
    due_at: datetime = document["next_at"]
    return due_at


async def _is_true(value: bool) -> bool:
    return value
