"""The contract of a store of deliveries, for the store in memory and for MongoDB with either driver."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.notify.domain.routing import Delivery, DeliveryOutcome
from services.notify.store import ClaimedDelivery, DeliveryStore
from services.notify.store.memory import InMemoryDeliveryStore
from services.notify.store.mongo import MongoDeliveryStore
from shared.runtime.clock import now
from tests.support.mongo import open_mongo
from tests.support.serving import wait_until

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LEASE = timedelta(minutes=1)
SHORT = timedelta(milliseconds=50)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[DeliveryStore]:
    if request.param == "memory":
        yield InMemoryDeliveryStore(now)
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        mongo_store = MongoDeliveryStore(mongo)
        await mongo_store.create_indexes()
        yield mongo_store


def create_delivery(clinician_id: UUID | None = None) -> Delivery:
    return Delivery(alert_id=uuid4(), clinician_id=clinician_id or uuid4(), channel="email", change="raised")


async def claim(store: DeliveryStore, lease: timedelta = LEASE) -> ClaimedDelivery:
    claimed = await store.claim("email", lease, include_expired=False)
    assert claimed is not None
    return claimed


async def claim_expired(store: DeliveryStore, lease: timedelta = LEASE) -> ClaimedDelivery:
    """Claim a delivery whose lease ends soon."""
    claims: list[ClaimedDelivery] = []

    async def has_claimed() -> bool:
        claimed = await store.claim("email", lease, include_expired=True)
        claims.extend([claimed] if claimed else [])
        return bool(claims)

    await wait_until(has_claimed)
    return claims[0]


async def is_due(store: DeliveryStore) -> bool:
    return (await store.count_due())[0] > 0


async def test_a_delivery_is_added_once_however_often_it_is_planned(store: DeliveryStore) -> None:
    delivery = create_delivery()
    await store.add([delivery], NOW)
    await store.add([delivery, create_delivery()], NOW + LEASE)
    await store.add([], NOW)

    assert await store.count_due() == (2, NOW)


async def test_a_claim_says_what_to_deliver_and_since_when_it_is_planned(store: DeliveryStore) -> None:
    delivery, before = create_delivery(), now()
    await store.add([delivery], NOW)

    claimed = await claim(store)

    assert (claimed.delivery, claimed.planned_at, claimed.attempts, claimed.unknown_attempts) == (delivery, NOW, 1, 0)
    assert abs(claimed.claimed_at - before) < timedelta(seconds=30)


async def test_the_delivery_that_has_been_due_for_longest_is_claimed_first(store: DeliveryStore) -> None:
    retried, later, new = create_delivery(), create_delivery(), create_delivery()
    for delivery, wait in ((retried, -LEASE), (later, SHORT)):
        await store.add([delivery], NOW)
        await store.schedule_retry(await claim(store), wait, 0)
    await store.add([new], NOW)

    assert (await claim(store)).delivery == new
    assert (await claim(store)).delivery == retried
    assert (await claim_expired(store)).delivery == later


async def test_a_delivery_is_claimed_for_its_own_channel_only(store: DeliveryStore) -> None:
    by_email = create_delivery()
    by_webhook = by_email.model_copy(update={"channel": "webhook"})
    await store.add([by_email, by_webhook], NOW)

    for delivery in (by_webhook, by_email):
        claimed = await store.claim(delivery.channel, LEASE, include_expired=False)
        assert claimed is not None
        assert claimed.delivery == delivery
        assert await store.claim(delivery.channel, LEASE, include_expired=False) is None


async def test_of_parallel_workers_one_gets_each_delivery(store: DeliveryStore) -> None:
    deliveries = [create_delivery() for _ in range(20)]
    await store.add(deliveries, NOW)

    claims = await asyncio.gather(*(store.claim("email", LEASE, include_expired=True) for _ in range(30)))

    claimed_ids = [claimed.delivery.id for claimed in claims if claimed]
    # A worker that finds a delivery taken from under it may miss another one that is due, until its next check.
    while claimed := await store.claim("email", LEASE, include_expired=True):
        claimed_ids.append(claimed.delivery.id)
    assert sorted(claimed_ids) == sorted(delivery.id for delivery in deliveries)


async def test_a_claimed_delivery_is_not_claimed_again_before_its_lease_ends(store: DeliveryStore) -> None:
    await store.add([create_delivery()], NOW)
    await claim(store)

    assert await store.claim("email", LEASE, include_expired=True) is None
    assert await is_due(store)


async def test_after_its_lease_a_delivery_is_taken_over_only_if_that_is_wanted(store: DeliveryStore) -> None:
    await store.add([create_delivery()], NOW)
    first = await claim(store, SHORT)

    second = await claim_expired(store, SHORT)

    assert (second.delivery, second.attempts) == (first.delivery, 2)
    assert await claim_expired(store) is not None
    assert await store.claim("email", LEASE, include_expired=False) is None


async def test_a_renewed_lease_ends_later(store: DeliveryStore) -> None:
    await store.add([create_delivery()], NOW)
    claimed = await claim(store, timedelta(0))

    assert await store.renew(claimed, LEASE)
    assert await store.renew(claimed, LEASE)

    assert await store.claim("email", LEASE, include_expired=True) is None


async def test_a_worker_that_lost_its_claim_changes_nothing(store: DeliveryStore) -> None:
    await store.add([create_delivery()], NOW)
    lost = await claim(store, timedelta(0))
    taken_over = await claim_expired(store)

    assert not await store.renew(lost, LEASE)
    await store.complete(lost, "sent")
    await store.schedule_retry(lost, timedelta(0), 1)
    await store.cancel(lost)

    assert await is_due(store)
    assert await store.claim("email", LEASE, include_expired=True) is None
    assert await store.renew(taken_over, LEASE)


@pytest.mark.parametrize("outcome", ["sent", "rejected", "failed", "unknown"])
async def test_a_completed_delivery_is_never_due_again(store: DeliveryStore, outcome: DeliveryOutcome) -> None:
    delivery = create_delivery()
    await store.add([delivery], NOW)
    claimed = await claim(store, timedelta(0))

    await store.complete(claimed, outcome)
    await store.complete(claimed, outcome)
    await store.schedule_retry(claimed, timedelta(0), 1)
    await store.add([delivery], NOW)

    assert not await store.renew(claimed, LEASE)
    assert await store.count_due() == (0, None)
    assert await store.claim("email", LEASE, include_expired=True) is None


async def test_a_retry_is_due_after_its_wait_and_knows_the_earlier_attempts(store: DeliveryStore) -> None:
    await store.add([create_delivery()], NOW)
    first = await claim(store)

    await store.schedule_retry(first, LEASE, 1)
    assert await store.claim("email", LEASE, include_expired=True) is None
    await store.schedule_retry(first, SHORT, 1)  # repeated, as after a lost response of the database
    second = await claim_expired(store)

    assert (second.attempts, second.unknown_attempts, second.planned_at) == (2, 1, NOW)
    assert not await store.renew(first, LEASE)


async def test_a_delivery_that_waits_for_a_retry_is_nobodys(store: DeliveryStore) -> None:
    await store.add([create_delivery()], NOW)
    first = await claim(store)
    await store.schedule_retry(first, -SHORT, 0)

    assert not await store.renew(first, LEASE)
    assert (await claim(store)).attempts == 2


async def test_a_cancelled_delivery_can_be_added_again(store: DeliveryStore) -> None:
    delivery = create_delivery()
    await store.add([delivery], NOW)
    claimed = await claim(store)

    await store.cancel(claimed)
    await store.cancel(claimed)
    assert not await is_due(store)

    await store.add([delivery], NOW + LEASE)
    assert await store.count_due() == (1, NOW + LEASE)
    assert (await claim(store)).attempts == 1


async def test_the_failed_deliveries_of_a_clinician_are_reopened(store: DeliveryStore) -> None:
    clinician = uuid4()
    outcomes: list[tuple[UUID, datetime, DeliveryOutcome]] = [
        (clinician, NOW, "rejected"),
        (clinician, NOW, "failed"),
        (clinician, NOW, "sent"),
        (clinician, NOW, "unknown"),
        (clinician, NOW - LEASE, "failed"),
        (uuid4(), NOW, "failed"),
    ]
    deliveries = []
    for clinician_id, planned_at, outcome in outcomes:
        deliveries.append(create_delivery(clinician_id))
        await store.add(deliveries[-1:], planned_at)
        await store.complete(await claim(store), outcome)

    await store.reopen_failed(None, clinician, NOW, NOW + LEASE)
    await store.reopen_failed(None, clinician, NOW, NOW + LEASE)

    assert await store.count_due() == (2, NOW + LEASE)
    reopened = [await claim(store), await claim(store)]
    assert {claimed.delivery.id for claimed in reopened} == {delivery.id for delivery in deliveries[:2]}
    assert [(claimed.attempts, claimed.planned_at) for claimed in reopened] == [(2, NOW + LEASE)] * 2


async def test_only_completed_deliveries_are_listed_and_removed(store: DeliveryStore) -> None:
    deliveries = sorted((create_delivery() for _ in range(4)), key=lambda delivery: delivery.id)
    await store.add(deliveries, NOW)
    for _ in range(3):
        await store.complete(await claim(store), "sent")
    completed = await store.list_completed(now() + timedelta(days=1), None, 10)
    (due,) = [delivery for delivery in deliveries if delivery not in completed]

    assert await store.list_completed(now() - timedelta(days=1), None, 10) == []
    assert await store.list_completed(now() + timedelta(days=1), completed[0].id, 1) == [completed[1]]
    assert await store.remove_completed([due.id, completed[0].id]) == 1
    assert await store.list_completed(now() + timedelta(days=1), None, 10) == completed[1:]
    assert (await store.count_due())[0] == 1
