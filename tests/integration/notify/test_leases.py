"""Who has a message in hand, whatever dies, sleeps, is away or has a wrong clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast
from uuid import uuid4

import pytest

from services.notify import delivery as deliver
from services.notify.channels import NotDelivered
from services.notify.delivery import HOLDERS_FIRST_SECONDS, LOOK_EVERY, RENEW_EVERY
from services.notify.domain.routing import Channels
from services.notify.store import Claimed, deliveries
from services.notify.store.deliveries import AT_ONCE, LEASE
from shared.mongo import client as reaching
from shared.mongo.client import Mongo
from tests.integration.notify.test_handlers import EMAIL, Letterbox, Service
from tests.support.rupture_builder import Strained
from tests.support.serving import until
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports

HOUR = timedelta(hours=1)


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, mongodb_uri: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", cast("Literal['motor', 'pymongo']", request.param))
    yield mongo
    await mongo.close()


@pytest.fixture
def letterbox() -> Letterbox:
    return Letterbox()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases and looks as they are, thirty times as fast."""
    monkeypatch.setattr(deliveries, "LEASE", LEASE / 30)
    monkeypatch.setattr(deliver, "RENEW_EVERY", RENEW_EVERY / 30)
    monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", HOLDERS_FIRST_SECONDS / 30)
    monkeypatch.setattr(deliver, "LOOK_EVERY", LOOK_EVERY / 30)


async def owes_a_message(service: Service) -> None:
    s = Strained()
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])


def test_one_renewal_may_fail_and_holders_are_waited_for_longer_than_they_take() -> None:
    assert LEASE.total_seconds() >= 3 * RENEW_EVERY
    assert HOLDERS_FIRST_SECONDS > RENEW_EVERY + reaching.ANSWER_WITHIN_MS / 1000


@pytest.mark.usefixtures("quick")
async def test_what_was_in_the_hands_of_one_who_died_is_sent_by_another_soon(
    mongo: Mongo, letterbox: Letterbox
) -> None:
    crashed, other = Service(mongo, letterbox), Service(mongo, letterbox)
    await owes_a_message(crashed)
    assert await crashed.owed.claim(take_over=False) is not None  # and is never heard of again

    async with other.deliver.running():
        await until(other.all_settled, within=10)

    assert len(letterbox.sent) == 1


@pytest.mark.usefixtures("quick")
async def test_a_message_may_be_on_its_way_for_longer_than_its_lease(mongo: Mongo, letterbox: Letterbox) -> None:
    one, other = Service(mongo, letterbox), Service(mongo, letterbox)
    letterbox.open.clear()
    await owes_a_message(one)

    async with one.deliver.running(), other.deliver.running():
        await until(lambda: _true(letterbox.tries == 1))
        lease_passed_at = (await one.delivery())["next_at"] + 2 * LEASE / 30
        await until(lambda: _is_held_beyond(one, lease_passed_at))
        letterbox.open.set()
        await until(one.all_settled)

    assert (len(letterbox.sent), letterbox.tries) == (1, 1)


@pytest.mark.usefixtures("quick")
async def test_who_lost_a_message_on_its_way_stops_sending_it_and_notes_nothing(
    mongo: Mongo, letterbox: Letterbox
) -> None:
    paused, other = Service(mongo, letterbox), Service(mongo, letterbox)
    letterbox.open.clear()
    await owes_a_message(paused)

    async with paused.deliver.running():
        await until(lambda: _true(letterbox.tries == 1))
        await paused.is_due_now()  # as when it had slept through its lease
        claimed = await other.owed.claim(take_over=True)
        assert claimed is not None
        assert claimed.attempts == 2
        await until(lambda: _true(letterbox.given_up == 1))
        letterbox.open.set()
        await other.owed.settle(claimed, "sent")

    found = await paused.delivery()
    assert (letterbox.sent, found["outcome"], found["attempts"]) == ([], "sent", 2)
    assert paused.counted("sent") == 0


@pytest.mark.usefixtures("quick")
async def test_when_the_database_was_away_for_longer_than_a_lease_its_holder_comes_first(
    tmp_path: Path, letterbox: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, not asked to end; the message is on its way all the while."""
    monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", HOLDERS_FIRST_SECONDS)
    monkeypatch.setattr(reaching, "ANSWER_WITHIN_MS", 500)
    with mongod.server(tmp_path, *free_ports(1)) as database:
        mongo, other_mongo = (Mongo(database.address, "attune_notify") for _ in range(2))
        one, other = Service(mongo, letterbox), Service(other_mongo, letterbox)
        letterbox.open.clear()
        await owes_a_message(one)
        async with one.deliver.running():
            await until(lambda: _true(letterbox.tries == 1))
            monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", 0.0)  # as one that began long ago
            async with other.deliver.running():
                monkeypatch.setattr(deliver, "HOLDERS_FIRST_SECONDS", HOLDERS_FIRST_SECONDS)
                leased_until = (await one.delivery())["next_at"]
                database.kill()
                await until(lambda: _true(datetime.now(UTC) > leased_until + 2 * LEASE / 30))
                await asyncio.to_thread(database.start)
                await until(lambda: _is_held_beyond(one, datetime.now(UTC)))
                letterbox.open.set()
                await until(one.all_settled)
        await mongo.close()
        await other_mongo.close()

    assert (len(letterbox.sent), letterbox.tries) == (1, 1)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
@pytest.mark.usefixtures("quick")
async def test_two_whose_clocks_are_an_hour_apart_tell_everything_once_and_at_once(
    mongo: Mongo, letterbox: Letterbox, ahead: timedelta
) -> None:
    clinician = uuid4()
    relationships = [Strained(clinician=clinician) for _ in range(20)]
    exact, skewed = Service(mongo, letterbox), Service(mongo, letterbox, ahead)
    await skewed.deliver.reach(clinician, EMAIL)
    letterbox.open.clear()
    batch = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]

    async with exact.deliver.running(), skewed.deliver.running():
        await skewed.hear(batch)
        await until(lambda: _true(letterbox.tries == 8))  # as many as both may have in hand
        latest = max(d["next_at"] for d in await mongo["deliveries"].find({}).to_list(None))
        await until(lambda: _is_held_beyond(exact, latest + 2 * LEASE / 30))
        letterbox.open.set()
        await until(exact.all_settled)

    assert sorted(n.alert_id for n in letterbox.sent) == sorted(s.alert() for s in relationships)
    assert letterbox.tries == 20
    now = datetime.now(UTC)
    assert all(abs(n.at - now) < HOUR / 2 for n in letterbox.sent), "receivers refuse what is signed at a wrong time"


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
async def test_a_wrong_clock_does_not_change_how_long_a_message_is_put_off(
    mongo: Mongo, letterbox: Letterbox, ahead: timedelta
) -> None:
    skewed = Service(mongo, letterbox, ahead, first_wait=timedelta(minutes=5))
    letterbox.refusals = [NotDelivered("SMTP 451")]
    await owes_a_message(skewed)

    async with skewed.deliver.running():
        await until(lambda: _true(skewed.counted("retried") == 1))
        await until(lambda: _is_put_off(skewed))

    wait = (await skewed.delivery())["next_at"] - datetime.now(UTC)
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)


async def test_what_comes_to_be_needed_while_it_is_let_go_is_sent_all_the_same(
    mongo: Mongo, letterbox: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, s = Service(mongo, letterbox), Strained()
    await service.deliver.reach(s.clinician, EMAIL)
    await service.hear([s.started(), s.suspected(3), s.updated(3, 0)])
    await service.deliver.reach(s.clinician, Channels())  # nobody needs a message now
    cancel = service.owed.drop

    async def needed_again_meanwhile(claimed: Claimed) -> None:
        await service.deliver.reach(s.clinician, EMAIL)
        await cancel(claimed)

    monkeypatch.setattr(service.owed, "drop", needed_again_meanwhile)
    async with service.deliver.running():
        await until(lambda: _true(len(letterbox.sent) == 1), within=10)


async def test_looking_for_what_is_due_reads_nothing_else(mongo: Mongo, letterbox: Letterbox) -> None:
    """As the database's own profiler counts it, among thousands that are settled or put off."""
    service = Service(mongo, letterbox)
    await service.owed.prepare()
    await owes_a_message(service)
    later = datetime.now(UTC) + HOUR
    await mongo["deliveries"].insert_many([{"_id": uuid4(), "next_at": later} for _ in range(2000)])
    await mongo["deliveries"].insert_many([{"_id": uuid4(), "outcome": "sent"} for _ in range(2000)])
    await mongo["deliveries"].insert_many([{"_id": uuid4(), "next_at": AT_ONCE, "held": True} for _ in range(10)])

    await mongo.database.command({"profile": 2})
    first, second = await service.owed.claim(take_over=False), await service.owed.claim(take_over=False)
    await mongo.database.command({"profile": 0})

    assert (first is not None, second) == (True, None)
    claims = await mongo["system.profile"].find({"command.findAndModify": "deliveries"}).to_list(None)
    assert len(claims) == 2
    assert all(claim["docsExamined"] <= 11 for claim in claims)


async def _is_held_beyond(service: Service, moment: datetime) -> bool:
    leased = await service.mongo["deliveries"].find({"held": True}).to_list(None)
    return bool(leased) and any(d["next_at"] > moment for d in leased)


async def _is_put_off(service: Service) -> bool:
    found = await service.delivery()
    return "held" not in found and found["next_at"] > AT_ONCE


async def _true(value: bool) -> bool:
    return value
