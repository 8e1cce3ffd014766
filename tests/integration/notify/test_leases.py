"""Which worker owns a delivery when workers crash, pause, lose the database or have a wrong clock."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from services.notify.channels import DeliveryFailed
from services.notify.store.mongo import MongoDeliveryStore
from services.notify.store.protocol import DUE_IMMEDIATELY
from shared.mongo import client as mongo_client
from shared.mongo.client import Mongo
from tests.integration.notify.mongo_harness import MongoNotifyHarness
from tests.support.notify_harness import DELIVERY_SETTINGS, EMAIL_ADDRESS, FakeChannel
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports

HOUR = timedelta(hours=1)
FAST_LEASES = replace(
    DELIVERY_SETTINGS,
    lease=DELIVERY_SETTINGS.lease / 30,
    renew_interval_seconds=DELIVERY_SETTINGS.renew_interval_seconds / 30,
    takeover_delay_seconds=DELIVERY_SETTINGS.takeover_delay_seconds / 30,
)


class AdjustableClock:
    """A monotonic clock that a test can set forward."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.offset_seconds


async def plan_message(service: MongoNotifyHarness) -> None:
    s = RuptureBuilder()
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)
    await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])


def test_one_renewal_may_fail_and_a_takeover_waits_longer_than_a_renewal_takes() -> None:
    renew_seconds = DELIVERY_SETTINGS.renew_interval_seconds

    assert DELIVERY_SETTINGS.lease.total_seconds() >= 3 * renew_seconds
    assert DELIVERY_SETTINGS.takeover_delay_seconds > renew_seconds + mongo_client.ANSWER_TIMEOUT_MS / 1000


async def test_a_message_claimed_by_a_crashed_worker_is_soon_sent_by_another(
    mongo: Mongo, channel: FakeChannel
) -> None:
    crashed, other = (MongoNotifyHarness(mongo, channel, settings=FAST_LEASES) for _ in range(2))
    await plan_message(crashed)
    assert (
        await crashed.delivery_store.claim("email", FAST_LEASES.lease, include_expired=False) is not None
    )  # and crashes

    async with other.worker.run():
        await wait_until(other.is_all_delivered, timeout_seconds=10)

    assert len(channel.sent) == 1


async def test_an_attempt_may_take_longer_than_its_lease(mongo: Mongo, channel: FakeChannel) -> None:
    one, other = (MongoNotifyHarness(mongo, channel, settings=FAST_LEASES) for _ in range(2))
    channel.is_open.clear()
    await plan_message(one)

    async with one.worker.run(), other.worker.run():
        await wait_until(lambda: _is_true(channel.attempts == 1))
        lease_passed_at = (await one.delivery())["next_at"] + 2 * FAST_LEASES.lease
        await wait_until(lambda: _is_leased_beyond(one, lease_passed_at))
        channel.is_open.set()
        await wait_until(one.is_all_delivered)

    assert (len(channel.sent), channel.attempts) == (1, 1)


async def test_a_worker_that_lost_its_lease_stops_sending_and_records_nothing(
    mongo: Mongo, channel: FakeChannel
) -> None:
    paused, other = (MongoNotifyHarness(mongo, channel, settings=FAST_LEASES) for _ in range(2))
    channel.is_open.clear()
    await plan_message(paused)

    async with paused.worker.run():
        await wait_until(lambda: _is_true(channel.attempts == 1))
        await paused.make_due()  # as if it had been paused for longer than its lease
        claimed = await other.delivery_store.claim("email", FAST_LEASES.lease, include_expired=True)
        assert claimed is not None
        assert claimed.attempts == 2
        await wait_until(lambda: _is_true(channel.cancelled == 1))
        channel.is_open.set()
        await other.delivery_store.complete(claimed, "sent")

    found = await paused.delivery()
    assert (channel.sent, found["outcome"], found["attempts"]) == ([], "sent", 2)
    assert paused.delivery_count("sent") == 0


async def test_after_a_database_outage_longer_than_a_lease_its_owner_comes_first(
    tmp_path: Path, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is killed, and the attempt goes on all the while."""
    monkeypatch.setattr(mongo_client, "ANSWER_TIMEOUT_MS", 500)
    settings = replace(FAST_LEASES, takeover_delay_seconds=DELIVERY_SETTINGS.takeover_delay_seconds)
    other_clock = AdjustableClock()
    with mongod.mongodb_server(tmp_path, *free_ports(1)) as database:
        mongo, other_mongo = (Mongo(database.address, "attune_notify") for _ in range(2))
        one = MongoNotifyHarness(mongo, channel, settings=settings)
        other = MongoNotifyHarness(other_mongo, channel, settings=settings, monotonic_clock=other_clock)
        channel.is_open.clear()
        await plan_message(one)
        async with one.worker.run():
            await wait_until(lambda: _is_true(channel.attempts == 1))
            async with other.worker.run():
                other_clock.offset_seconds = settings.takeover_delay_seconds  # it started long ago
                leased_until = (await one.delivery())["next_at"]
                database.kill()
                await wait_until(lambda: _is_true(datetime.now(UTC) > leased_until + 2 * FAST_LEASES.lease))
                await asyncio.to_thread(database.start)
                await wait_until(lambda: _is_leased_beyond(one, datetime.now(UTC)))
                channel.is_open.set()
                await wait_until(one.is_all_delivered)
        await mongo.close()
        await other_mongo.close()

    assert (len(channel.sent), channel.attempts) == (1, 1)


@pytest.mark.parametrize("clock_offset", [HOUR, -HOUR])
async def test_workers_whose_clocks_differ_by_an_hour_send_everything_once_and_at_once(
    mongo: Mongo, channel: FakeChannel, clock_offset: timedelta
) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(clinician_id=clinician) for _ in range(20)]
    exact, skewed = (MongoNotifyHarness(mongo, channel, offset, FAST_LEASES) for offset in (timedelta(0), clock_offset))
    await skewed.planner.update_channels(None, clinician, EMAIL_ADDRESS)
    channel.is_open.clear()
    batch = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]

    async with exact.worker.run(), skewed.worker.run():
        await skewed.projector.handle_batch(batch)
        await wait_until(lambda: _is_true(channel.attempts == 8))  # as many as both may attempt at once
        latest = max(d["next_at"] for d in await mongo["deliveries"].find({}).to_list(None))
        await wait_until(lambda: _is_leased_beyond(exact, latest + 2 * FAST_LEASES.lease))
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
    settings = replace(DELIVERY_SETTINGS, first_retry_wait=timedelta(minutes=5))
    skewed = MongoNotifyHarness(mongo, channel, clock_offset, settings)
    channel.errors = [DeliveryFailed("SMTP 451")]
    await plan_message(skewed)

    async with skewed.worker.run():
        await wait_until(lambda: _is_true(skewed.delivery_count("retried") == 1))
        await wait_until(lambda: _is_waiting_for_retry(skewed))

    wait = (await skewed.delivery())["next_at"] - datetime.now(UTC)
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)


async def test_the_query_for_due_deliveries_reads_no_other_documents(mongo: Mongo, channel: FakeChannel) -> None:
    """Counted by the database's own profiler, among thousands of completed and deferred deliveries."""
    store = MongoDeliveryStore(mongo)
    await store.create_indexes()
    await plan_message(MongoNotifyHarness(mongo, channel))
    later = datetime.now(UTC) + HOUR
    await mongo["deliveries"].insert_many([{"_id": uuid4(), "next_at": later} for _ in range(2000)])
    await mongo["deliveries"].insert_many([{"_id": uuid4(), "outcome": "sent"} for _ in range(2000)])
    await mongo["deliveries"].insert_many(
        [{"_id": uuid4(), "next_at": DUE_IMMEDIATELY, "held": True} for _ in range(10)]
    )

    await mongo.database.command({"profile": 2})
    first, second = [await store.claim("email", DELIVERY_SETTINGS.lease, include_expired=False) for _ in range(2)]
    await mongo.database.command({"profile": 0})

    assert (first is not None, second) == (True, None)
    claims = await mongo["system.profile"].find({"command.findAndModify": "deliveries"}).to_list(None)
    assert len(claims) == 2
    assert all(claim["docsExamined"] <= 11 for claim in claims)


async def _is_leased_beyond(service: MongoNotifyHarness, moment: datetime) -> bool:
    leased = await service.mongo["deliveries"].find({"held": True}).to_list(None)
    return bool(leased) and any(d["next_at"] > moment for d in leased)


async def _is_waiting_for_retry(service: MongoNotifyHarness) -> bool:
    found = await service.delivery()
    return "held" not in found and found["next_at"] > DUE_IMMEDIATELY


async def _is_true(value: bool) -> bool:
    return value
