"""What is past retention is removed, comes back by no event and no rebuild, and is never sent again."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx2
import pytest

from services.notify.app import create_app
from services.notify.settings import Settings
from shared.events import Event
from shared.kafka.producer import Producer
from tests.integration.notify.mongo_harness import MongoNotifyHarness
from tests.integration.notify.rebuild.prepared_service import PreparedService, is_nothing_due, is_outbox_empty
from tests.support.notify_harness import FakeChannel
from tests.support.receivers import Mailbox
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import run_app, wait_until

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC)
KEEP_ALL_DAYS = 36_500
YEARS_AGO = NOW - timedelta(days=3 * 365)
CLINICIAN = uuid4()


def of_clinician(now: datetime, case_code: str) -> RuptureBuilder:
    return RuptureBuilder(now, CLINICIAN, case_code)


REPAIRED, READ, OPEN, JUST_SETTLED, RECENT = (
    of_clinician(YEARS_AGO, "REPAIRED-1"),
    of_clinician(YEARS_AGO, "READ-1"),
    of_clinician(YEARS_AGO, "OPEN-1"),
    of_clinician(YEARS_AGO, "JUST-1"),
    of_clinician(NOW, "RECENT-1"),
)


def events() -> list[Event]:
    """Three years ago an alert was repaired, and one that must be read ended; the others are open or were until now."""
    dropped_out = READ.retracted(4, reason="ended", end_reason="stopped_by_client")
    just_repaired = JUST_SETTLED.repaired(4).model_copy(update={"occurred_at": NOW})
    return [
        REPAIRED.registered(),
        *[event for s in (REPAIRED, READ, OPEN, JUST_SETTLED, RECENT) for event in first_events(s)],
        *[REPAIRED.repaired(4), REPAIRED.updated(4), dropped_out, READ.updated(4)],
        *[just_repaired, JUST_SETTLED.updated(4), RECENT.repaired(4), RECENT.updated(4)],
    ]


def first_events(s: RuptureBuilder) -> list[Event]:
    return [s.started(), s.suspected(3), s.updated(3, 0)]


@pytest.fixture
async def service(settings: Settings, kafka: Producer, mailbox: Mailbox) -> AsyncIterator[PreparedService]:
    """A service that has kept everything: an alert that had to be read was read when it ended."""
    service = PreparedService(settings)
    async with run_app(create_app(keep_all(settings))) as client:
        await client.put(f"/clinicians/{CLINICIAN}/channels", json={"email": "someone@clinic.example"})
        for s in (REPAIRED, READ, OPEN, JUST_SETTLED, RECENT):
            await kafka.publish([s.registered(), *first_events(s)])
        await service.wait_until_caught_up()
        await kafka.publish(events())
        await service.wait_until_caught_up()
        await wait_until(lambda: is_nothing_due(service), timeout_seconds=120)
    await acknowledge_years_ago(service)
    async with run_app(create_app(keep_all(settings))) as client:
        assert await case_codes(client) == {"REPAIRED-1", "READ-1", "OPEN-1", "JUST-1", "RECENT-1"}
        await wait_until(lambda: is_outbox_empty(service))
    yield service
    await service.mongo.close()


def keep_all(settings: Settings) -> Settings:
    return settings.model_copy(update={"alert_retention_days": KEEP_ALL_DAYS})


async def acknowledge_years_ago(service: PreparedService) -> None:
    """As a service of that time did; the next one that runs publishes the event."""
    clock_offset = YEARS_AGO + timedelta(days=1) - NOW
    await MongoNotifyHarness(service.mongo, FakeChannel(), clock_offset).acknowledge(READ.alert_id())


async def case_codes(client: httpx2.AsyncClient) -> set[str]:
    response = await client.get(f"/clinicians/{CLINICIAN}/inbox")
    return {alert["case_code"] for alert in response.json()["alerts"]} if response.is_success else set()


async def test_settled_alerts_past_retention_are_removed_and_open_ones_stay(service: PreparedService) -> None:
    async with run_app(create_app(service.settings)) as client:
        await wait_until(lambda: has_case_codes(client, {"OPEN-1", "JUST-1", "RECENT-1"}))
        metrics = (await client.get_ops("/metrics")).text

    assert 'attune_notify_removed_total{kind="alert"} 2.0' in metrics


async def test_neither_redelivered_events_nor_a_rebuild_bring_back_what_is_past_retention(
    service: PreparedService, kafka: Producer, mailbox: Mailbox
) -> None:
    kept = {"OPEN-1", "JUST-1", "RECENT-1"}
    mail_count = len(mailbox.received)
    async with run_app(create_app(service.settings)) as client:
        await wait_until(lambda: has_case_codes(client, kept))
        await kafka.publish(events())
        await service.wait_until_caught_up()
        assert await case_codes(client) == kept

        verified = await service.command("verify")
        rebuilt = await service.command("rebuild")
        assert await case_codes(client) == kept

    assert len(mailbox.received) == mail_count
    assert (verified.exit_code, verified.differences) == (0, {}), verified
    assert (rebuilt.exit_code, rebuilt.differences) == (0, {}), rebuilt


async def test_a_completed_delivery_past_retention_is_removed_once_no_message_is_owed(
    service: PreparedService, kafka: Producer, mailbox: Mailbox
) -> None:
    still_open = of_clinician(NOW, "STILL-1")
    async with run_app(create_app(service.settings)):
        await kafka.publish(first_events(still_open))
        await service.wait_until_caught_up()
        await wait_until(lambda: has_completed_delivery(service, still_open.alert_id()), timeout_seconds=120)
    deliveries = service.mongo["deliveries"]
    assert await has_completed_delivery(service, RECENT.alert_id())
    await deliveries.update_many({}, {"$set": {"settled_at": NOW - timedelta(days=91)}})
    await deliveries.insert_one({"_id": uuid4(), "alert_id": uuid4(), "settled_at": NOW - timedelta(days=89)})
    await make_old(service, RECENT.alert_id())
    mail_count = len(mailbox.received)

    async with run_app(create_app(service.settings)) as client:
        await wait_until(lambda: is_without_delivery(service, RECENT.alert_id()))
        await kafka.publish([*first_events(still_open), *first_events(RECENT)])
        await service.wait_until_caught_up()
        await wait_until(lambda: is_nothing_due(service), timeout_seconds=120)
        assert 'attune_notify_removed_total{kind="delivery"} 1.0' in (await client.get_ops("/metrics")).text

    assert await has_completed_delivery(service, still_open.alert_id())
    assert await deliveries.count_documents({"settled_at": {"$gt": NOW - timedelta(days=90)}}) == 1
    assert len(mailbox.received) == mail_count


async def make_old(service: PreparedService, alert_id: UUID) -> None:
    """So that its messages are older than NOTIFY_WITHIN_DAYS."""
    old = NOW - timedelta(days=8)
    await service.mongo["alerts"].update_one({"_id": alert_id}, {"$set": {"said.last_sign_at": old}})


async def has_case_codes(client: httpx2.AsyncClient, expected: set[str]) -> bool:
    return await case_codes(client) == expected


async def has_completed_delivery(service: PreparedService, alert_id: UUID) -> bool:
    query = {"alert_id": alert_id, "settled_at": {"$exists": True}}
    return bool(await service.mongo["deliveries"].count_documents(query))


async def is_without_delivery(service: PreparedService, alert_id: UUID) -> bool:
    return not await service.mongo["deliveries"].count_documents({"alert_id": alert_id})
