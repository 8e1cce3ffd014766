"""Who has a message in hand, whatever dies, sleeps, is away or has a wrong clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast
from uuid import uuid4

import pytest

from services.notify import delivery as deliver
from services.notify.channels import DeliveryFailed
from services.notify.delivery import DUE_CHECK_INTERVAL_SECONDS, RENEW_INTERVAL_SECONDS, TAKEOVER_DELAY_SECONDS
from services.notify.domain.routing import ChannelAddresses
from services.notify.store import ClaimedDelivery, deliveries
from services.notify.store.deliveries import DUE_IMMEDIATELY, LEASE_DURATION
from shared.mongo import client as reaching
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
    """Leases and looks as they are, thirty times as fast."""
    monkeypatch.setattr(deliveries, "LEASE", LEASE_DURATION / 30)
    monkeypatch.setattr(deliver, "RENEW_EVERY", RENEW_INTERVAL_SECONDS / 30)
    monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", TAKEOVER_DELAY_SECONDS / 30)
    monkeypatch.setattr(deliver, "LOOK_EVERY", DUE_CHECK_INTERVAL_SECONDS / 30)


async def plan_message(service: NotifyHarness) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])


def test_one_renewal_may_fail_and_holders_are_waited_for_longer_than_they_take() -> None:
    assert LEASE_DURATION.total_seconds() >= 3 * RENEW_INTERVAL_SECONDS
    assert TAKEOVER_DELAY_SECONDS > RENEW_INTERVAL_SECONDS + reaching.ANSWER_TIMEOUT_MS / 1000


@pytest.mark.usefixtures("quick")
async def test_what_was_in_the_hands_of_one_who_died_is_sent_by_another_soon(
    mongo: Mongo, channel: FakeChannel
) -> None:
    crashed, other = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel)
    await plan_message(crashed)
    assert await crashed.delivery_store.claim(include_expired=False) is not None  # and is never heard of again

    async with other.delivery_worker.run():
        await wait_until(other.is_all_delivered, timeout_seconds=10)

    assert len(channel.sent) == 1


@pytest.mark.usefixtures("quick")
async def test_a_message_may_be_on_its_way_for_longer_than_its_lease(mongo: Mongo, channel: FakeChannel) -> None:
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


@pytest.mark.usefixtures("quick")
async def test_who_lost_a_message_on_its_way_stops_sending_it_and_notes_nothing(
    mongo: Mongo, channel: FakeChannel
) -> None:
    paused, other = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel)
    channel.is_open.clear()
    await plan_message(paused)

    async with paused.delivery_worker.run():
        await wait_until(lambda: _is_true(channel.attempts == 1))
        await paused.make_due()  # as when it had slept through its lease
        claimed = await other.delivery_store.claim(include_expired=True)
        assert claimed is not None
        assert claimed.attempts == 2
        await wait_until(lambda: _is_true(channel.cancelled == 1))
        channel.is_open.set()
        await other.delivery_store.complete(claimed, "sent")

    found = await paused.delivery()
    assert (channel.sent, found["outcome"], found["attempts"]) == ([], "sent", 2)
    assert paused.delivery_count("sent") == 0


@pytest.mark.usefixtures("quick")
async def test_when_the_database_was_away_for_longer_than_a_lease_its_holder_comes_first(
    tmp_path: Path, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, not asked to end; the message is on its way all the while."""
    monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", TAKEOVER_DELAY_SECONDS)
    monkeypatch.setattr(reaching, "ANSWER_WITHIN_MS", 500)
    with mongod.mongodb_server(tmp_path, *free_ports(1)) as database:
        mongo, other_mongo = (Mongo(database.address, "attune_notify") for _ in range(2))
        one, other = NotifyHarness(mongo, channel), NotifyHarness(other_mongo, channel)
        channel.is_open.clear()
        await plan_message(one)
        async with one.delivery_worker.run():
            await wait_until(lambda: _is_true(channel.attempts == 1))
            monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", 0.0)  # as one that began long ago
            async with other.delivery_worker.run():
                monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", TAKEOVER_DELAY_SECONDS)
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
@pytest.mark.usefixtures("quick")
async def test_two_whose_clocks_are_an_hour_apart_tell_everything_once_and_at_once(
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
        await wait_until(lambda: _is_true(channel.attempts == 8))  # as many as both may have in hand
        latest = max(d["next_at"] for d in await mongo["deliveries"].find({}).to_list(None))
        await wait_until(lambda: _is_leased_beyond(exact, latest + 2 * LEASE_DURATION / 30))
        channel.is_open.set()
        await wait_until(exact.is_all_delivered)

    assert sorted(n.alert_id for n in channel.sent) == sorted(s.alert_id() for s in relationships)
    assert channel.attempts == 20
    now = datetime.now(UTC)
    assert all(abs(n.sent_at - now) < HOUR / 2 for n in channel.sent), "receivers refuse what is signed at a wrong time"


@pytest.mark.parametrize("clock_offset", [HOUR, -HOUR])
async def test_a_wrong_clock_does_not_change_how_long_a_message_is_put_off(
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


async def test_what_comes_to_be_needed_while_it_is_let_go_is_sent_all_the_same(
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

    monkeypatch.setattr(service.delivery_store, "drop", cancel_while_replanned)
    async with service.delivery_worker.run():
        await wait_until(lambda: _is_true(len(channel.sent) == 1), timeout_seconds=10)


async def test_looking_for_what_is_due_reads_nothing_else(mongo: Mongo, channel: FakeChannel) -> None:
    """As the database's own profiler counts it, among thousands that are settled or put off."""
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
