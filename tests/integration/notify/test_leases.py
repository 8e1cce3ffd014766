"""Which worker owns a delivery when workers crash, pause, lose the database or have a wrong clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast
from uuid import uuid4

import pytest

from services.notify import delivery
from services.notify.channels import DeliveryFailed
from services.notify.delivery import DUE_CHECK_INTERVAL_SECONDS, RENEW_INTERVAL_SECONDS, TAKEOVER_DELAY_SECONDS
from services.notify.domain.routing import ChannelAddresses
from services.notify.store import ClaimedDelivery, deliveries
from services.notify.store.deliveries import DUE_IMMEDIATELY, LEASE_DURATION
from shared.mongo import client as mongo_client
from shared.mongo.client import Mongo
from tests.integration.notify.test_handlers import EMAIL_ADDRESS, FakeChannel, NotifyHarness
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports

HOUR = timedelta(hours=1)


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, mongodb_uri: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", cast("Literal['motor', 'pymongo']", request.param))
    yield mongo
    await mongo.close()


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def fast_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases and checks for due deliveries, thirty times as fast."""
    monkeypatch.setattr(deliveries, "LEASE_DURATION", LEASE_DURATION / 30)
    monkeypatch.setattr(delivery, "RENEW_INTERVAL_SECONDS", RENEW_INTERVAL_SECONDS / 30)
    monkeypatch.setattr(delivery, "TAKEOVER_DELAY_SECONDS", TAKEOVER_DELAY_SECONDS / 30)
    monkeypatch.setattr(delivery, "DUE_CHECK_INTERVAL_SECONDS", DUE_CHECK_INTERVAL_SECONDS / 30)


async def plan_message(service: NotifyHarness) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])


def test_one_renewal_may_fail_and_a_takeover_waits_longer_than_a_renewal_takes() -> None:
    assert LEASE_DURATION.total_seconds() >= 3 * RENEW_INTERVAL_SECONDS
    assert TAKEOVER_DELAY_SECONDS > RENEW_INTERVAL_SECONDS + mongo_client.ANSWER_TIMEOUT_MS / 1000


@pytest.mark.usefixtures("fast_leases")
async def test_a_message_claimed_by_a_crashed_worker_is_soon_sent_by_another(
    mongo: Mongo, channel: FakeChannel
) -> None:
    crashed, other = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel)
    await plan_message(crashed)
    assert await crashed.delivery_store.claim(include_expired=False) is not None  # and crashes

    async with other.delivery_worker.run():
        await wait_until(other.is_all_delivered, timeout_seconds=10)

    assert len(channel.sent) == 1


@pytest.mark.usefixtures("fast_leases")
async def test_an_attempt_may_take_longer_than_its_lease(mongo: Mongo, channel: FakeChannel) -> None:
    one, other = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel)
    channel.is_open.clear()
    await plan_message(one)

    async with one.delivery_worker.run(), other.delivery_worker.run():
        await wait_until(lambda: _is_true(channel.attempts == 1))
        lease_passed_at = (await one.delivery())["next_at"] + 2 * LEASE_DURATION / 30
        await wait_until(lambda: _is_leased_beyond(one, lease_passed_at))
        channel.is_open.set()
        await wait_until(one.is_all_delivered)

    assert (len(channel.sent), channel.attempts) == (1, 1)


@pytest.mark.usefixtures("fast_leases")
async def test_a_worker_that_lost_its_lease_stops_sending_and_records_nothing(
    mongo: Mongo, channel: FakeChannel
) -> None:
    paused, other = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel)
    channel.is_open.clear()
    await plan_message(paused)

    async with paused.delivery_worker.run():
        await wait_until(lambda: _is_true(channel.attempts == 1))
        await paused.make_due()  # as if it had been paused for longer than its lease
        claimed = await other.delivery_store.claim(include_expired=True)
        assert claimed is not None
        assert claimed.attempts == 2
        await wait_until(lambda: _is_true(channel.cancelled == 1))
        channel.is_open.set()
        await other.delivery_store.complete(claimed, "sent")

    found = await paused.delivery()
    assert (channel.sent, found["outcome"], found["attempts"]) == ([], "sent", 2)
    assert paused.delivery_count("sent") == 0


@pytest.mark.usefixtures("fast_leases")
async def test_after_a_database_outage_longer_than_a_lease_its_owner_comes_first(
    tmp_path: Path, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is killed, and the attempt goes on all the while."""
    monkeypatch.setattr(delivery, "TAKEOVER_DELAY_SECONDS", TAKEOVER_DELAY_SECONDS)
    monkeypatch.setattr(mongo_client, "ANSWER_TIMEOUT_MS", 500)
    with mongod.mongodb_server(tmp_path, *free_ports(1)) as database:
        mongo, other_mongo = (Mongo(database.address, "attune_notify") for _ in range(2))
        one, other = NotifyHarness(mongo, channel), NotifyHarness(other_mongo, channel)
        channel.is_open.clear()
        await plan_message(one)
        async with one.delivery_worker.run():
            await wait_until(lambda: _is_true(channel.attempts == 1))
            monkeypatch.setattr(delivery, "TAKEOVER_DELAY_SECONDS", 0.0)  # as for a worker that started long ago
            async with other.delivery_worker.run():
                monkeypatch.setattr(delivery, "TAKEOVER_DELAY_SECONDS", TAKEOVER_DELAY_SECONDS)
                leased_until = (await one.delivery())["next_at"]
                database.kill()
                await wait_until(lambda: _is_true(datetime.now(UTC) > leased_until + 2 * LEASE_DURATION / 30))
                await asyncio.to_thread(database.start)
                await wait_until(lambda: _is_leased_beyond(one, datetime.now(UTC)))
                channel.is_open.set()
                await wait_until(one.is_all_delivered)
        await mongo.close()
        await other_mongo.close()

    assert (len(channel.sent), channel.attempts) == (1, 1)


@pytest.mark.parametrize("clock_offset", [HOUR, -HOUR])
@pytest.mark.usefixtures("fast_leases")
async def test_workers_whose_clocks_differ_by_an_hour_send_everything_once_and_at_once(
    mongo: Mongo, channel: FakeChannel, clock_offset: timedelta
) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(clinician_id=clinician) for _ in range(20)]
    exact, skewed = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel, clock_offset)
    await skewed.delivery_worker.update_channels(clinician, EMAIL_ADDRESS)
    channel.is_open.clear()
    batch = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]

    async with exact.delivery_worker.run(), skewed.delivery_worker.run():
        await skewed.project(batch)
        await wait_until(lambda: _is_true(channel.attempts == 8))  # as many as both may attempt at once
        latest = max(d["next_at"] for d in await mongo["deliveries"].find({}).to_list(None))
        await wait_until(lambda: _is_leased_beyond(exact, latest + 2 * LEASE_DURATION / 30))
        channel.is_open.set()
        await wait_until(exact.is_all_delivered)

    assert sorted(n.alert_id for n in channel.sent) == sorted(s.alert_id() for s in relationships)
    assert channel.attempts == 20
    now = datetime.now(UTC)
    assert all(abs(n.sent_at - now) < HOUR / 2 for n in channel.sent), "receivers reject a signature with a wrong time"


@pytest.mark.parametrize("clock_offset", [HOUR, -HOUR])
async def test_a_wrong_clock_does_not_change_the_retry_wait(
    mongo: Mongo, channel: FakeChannel, clock_offset: timedelta
) -> None:
    skewed = NotifyHarness(mongo, channel, clock_offset, first_retry_wait=timedelta(minutes=5))
    channel.errors = [DeliveryFailed("SMTP 451")]
    await plan_message(skewed)

    async with skewed.delivery_worker.run():
        await wait_until(lambda: _is_true(skewed.delivery_count("retried") == 1))
        await wait_until(lambda: _is_waiting_for_retry(skewed))

    wait = (await skewed.delivery())["next_at"] - datetime.now(UTC)
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)


async def test_a_message_that_is_needed_again_while_it_is_cancelled_is_sent(
    mongo: Mongo, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, s = NotifyHarness(mongo, channel), RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])
    await service.delivery_worker.update_channels(s.clinician_id, ChannelAddresses())  # nobody needs a message now
    cancel = service.delivery_store.cancel

    async def cancel_while_replanned(claimed: ClaimedDelivery) -> None:
        await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
        await cancel(claimed)

    monkeypatch.setattr(service.delivery_store, "cancel", cancel_while_replanned)
    async with service.delivery_worker.run():
        await wait_until(lambda: _is_true(len(channel.sent) == 1), timeout_seconds=10)


async def test_the_query_for_due_deliveries_reads_no_other_documents(mongo: Mongo, channel: FakeChannel) -> None:
    """Counted by the database's own profiler, among thousands of completed and deferred deliveries."""
    service = NotifyHarness(mongo, channel)
    await service.delivery_store.create_indexes()
    await plan_message(service)
    later = datetime.now(UTC) + HOUR
    await mongo["deliveries"].insert_many([{"_id": uuid4(), "next_at": later} for _ in range(2000)])
    await mongo["deliveries"].insert_many([{"_id": uuid4(), "outcome": "sent"} for _ in range(2000)])
    await mongo["deliveries"].insert_many(
        [{"_id": uuid4(), "next_at": DUE_IMMEDIATELY, "held": True} for _ in range(10)]
    )

    await mongo.database.command({"profile": 2})
    first, second = (
        await service.delivery_store.claim(include_expired=False),
        await service.delivery_store.claim(include_expired=False),
    )
    await mongo.database.command({"profile": 0})

    assert (first is not None, second) == (True, None)
    claims = await mongo["system.profile"].find({"command.findAndModify": "deliveries"}).to_list(None)
    assert len(claims) == 2
    assert all(claim["docsExamined"] <= 11 for claim in claims)


async def _is_leased_beyond(service: NotifyHarness, moment: datetime) -> bool:
    leased = await service.mongo["deliveries"].find({"held": True}).to_list(None)
    return bool(leased) and any(d["next_at"] > moment for d in leased)


async def _is_waiting_for_retry(service: NotifyHarness) -> bool:
    found = await service.delivery()
    return "held" not in found and found["next_at"] > DUE_IMMEDIATELY


async def _is_true(value: bool) -> bool:
    return value
