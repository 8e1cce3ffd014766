"""What the stores of notify keep from other clinics, in memory and in MongoDB with either driver."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID, uuid4

import pytest

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, fold_alerts
from services.notify.domain.relationship import Relationship
from services.notify.domain.routing import ChannelAddresses, Delivery
from services.notify.store import DeliveryStore, Store
from services.notify.store.memory import InMemoryDeliveryStore, InMemoryStore
from services.notify.store.mongo import MongoDeliveryStore
from services.notify.store.protocol import InboxCounts
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.errors import IdTaken, NotFound
from shared.events import ClinicianUpdated, Event
from shared.outbox.documents import Versioned
from shared.runtime.clock import now
from tests.integration.notify.mongo_harness import create_mongo_store
from tests.support.dispositions import acknowledge
from tests.support.mongo import open_mongo
from tests.support.rupture_builder import RuptureBuilder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
OWN, OTHER = ClinicId(uuid4()), ClinicId(uuid4())
EMAIL = ChannelAddresses(email="someone@clinic.example")

Stores = tuple[Store, DeliveryStore]


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield InMemoryStore(), InMemoryDeliveryStore(now)
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        store, delivery_store = create_mongo_store(mongo, lambda: NOW), MongoDeliveryStore(mongo)
        await store.create_indexes()
        await delivery_store.create_indexes()
        yield store, delivery_store


@pytest.fixture
def store(stores: Stores) -> Store:
    return stores[0]


@pytest.fixture
def delivery_store(stores: Stores) -> DeliveryStore:
    return stores[1]


def relationship_of(s: RuptureBuilder) -> Relationship:
    return reduce(relationships.evolve, [s.started()], Relationship(relationship_id=s.relationship_id))


async def save(store: Store, s: RuptureBuilder, clinic: ClinicId | None) -> Alert:
    """An alert and its relationship, of this clinic."""
    relationship = relationship_of(s).model_copy(update={"clinic_id": clinic})
    (alert,) = fold_alerts({}, [s.suspected(3)], relationship).values()
    await store.save_relationships([Versioned(s.relationship_id, relationship)])
    await store.save_alerts([Versioned(alert.id, alert)])
    return alert


def acknowledge_existing(alert: Alert | None) -> tuple[Alert, Sequence[Event]]:
    if alert is None:
        raise NotFound("unknown-alert", "not known")
    return acknowledge(alert, NOW)


async def test_an_alert_exists_for_its_own_clinic_only(store: Store) -> None:
    s, old = RuptureBuilder(NOW), RuptureBuilder(NOW)
    alert, without_clinic = await save(store, s, OWN), await save(store, old, None)

    assert [await store.find_alert(clinic, alert.id) for clinic in (OWN, OTHER, None)] == [alert, None, alert]
    assert [await store.find_alert(clinic, without_clinic.id) for clinic in (OWN, None)] == [None, without_clinic]


async def test_an_alert_of_another_clinic_is_changed_as_if_it_did_not_exist(store: Store) -> None:
    alert = await save(store, RuptureBuilder(NOW), OTHER)

    with pytest.raises(NotFound):
        await store.change_alert(OWN, alert.id, acknowledge_existing)
    with pytest.raises(IdTaken):
        await store.change_alert(OWN, alert.id, lambda _: acknowledge(alert, NOW))
    assert await store.find_alert(OTHER, alert.id) == alert


async def test_the_inbox_of_a_clinician_has_the_alerts_of_the_asking_clinic(store: Store) -> None:
    """A clinician may have moved from one clinic to another, and each sees its own."""
    s = RuptureBuilder(NOW)
    foreign = await save(store, RuptureBuilder(NOW, s.clinician_id), OTHER)
    await save(store, RuptureBuilder(NOW, s.clinician_id), None)
    own = await save(store, s, OWN)

    assert await store.list_inbox_alerts(OWN, s.clinician_id, 10) == [own]
    assert await store.count_inbox_alerts(OWN, s.clinician_id) == InboxCounts(1, 1)
    assert await store.list_alerts_to_send(OWN, s.clinician_id, NOW - timedelta(days=9)) == [own]
    assert await store.list_alerts_to_send(OTHER, s.clinician_id, NOW - timedelta(days=9)) == [foreign]
    assert (await store.count_inbox_alerts(None, s.clinician_id)).total == 3


async def test_a_relationship_exists_for_its_own_clinic_only(store: Store) -> None:
    own, foreign, old = (RuptureBuilder(NOW) for _ in range(3))
    for s, clinic in ((own, OWN), (foreign, OTHER), (old, None)):
        await save(store, s, clinic)

    ids = [s.relationship_id for s in (own, foreign, old)]
    assert set(await store.find_relationships(OWN, ids)) == {own.relationship_id}
    assert set(await store.find_relationships(None, [*ids, uuid4()])) == set(ids)


async def test_a_clinician_exists_for_the_clinic_of_the_latest_event_only(store: Store) -> None:
    s = RuptureBuilder(NOW, clinic_id=OWN)
    moved = ClinicianUpdated(
        id=uuid4(), occurred_at=NOW, clinician_id=s.clinician_id, clinic_id=OTHER, time_zone="Europe/Paris"
    )

    await store.save_clinicians([s.registered()])
    assert [await store.find_time_zone(clinic, s.clinician_id) for clinic in (OWN, OTHER)] == ["Europe/Berlin", None]

    await store.save_clinicians([moved])
    assert [await store.find_time_zone(clinic, s.clinician_id) for clinic in (OWN, OTHER)] == [None, "Europe/Paris"]


async def test_only_the_clinic_of_a_clinician_sets_the_channels(store: Store) -> None:
    s = RuptureBuilder(NOW, clinic_id=OWN)
    await store.save_clinicians([s.registered()])

    assert not await store.save_channels(OTHER, s.clinician_id, EMAIL)
    assert not await store.save_channels(OWN, uuid4(), EMAIL)
    assert await store.load_channels([s.clinician_id]) == {}
    assert await store.save_channels(OWN, s.clinician_id, EMAIL)
    assert await store.load_channels([s.clinician_id]) == {s.clinician_id: EMAIL}


async def test_only_failed_messages_of_the_asking_clinic_are_sent_again(delivery_store: DeliveryStore) -> None:
    clinician_id = uuid4()
    deliveries = [create_delivery(clinic, clinician_id) for clinic in (OWN, OTHER, None)]
    await delivery_store.add(deliveries, NOW)
    while claimed := await delivery_store.claim("email", timedelta(minutes=1), include_expired=False):
        await delivery_store.complete(claimed, "failed")

    await delivery_store.reopen_failed(OWN, clinician_id, NOW, NOW)

    reopened = await delivery_store.claim("email", timedelta(minutes=1), include_expired=False)
    assert reopened is not None
    assert reopened.delivery == deliveries[0]
    assert (await delivery_store.count_due())[0] == 1


async def test_what_has_no_clinic_is_counted_without_erased_clients(store: Store) -> None:
    erased = Relationship(relationship_id=uuid4(), erased=True)
    await save(store, RuptureBuilder(NOW), None)
    await save(store, RuptureBuilder(NOW), OWN)
    await store.save_relationships([Versioned(erased.relationship_id, erased)])

    assert await store.count_unknown_clinics() == UnknownClinics(on_topic=1, following=1)


async def test_alerts_without_a_clinic_are_filled_in_by_relationship(store: Store) -> None:
    first, second = sorted((RuptureBuilder(NOW) for _ in range(2)), key=lambda s: s.relationship_id)
    filled_in, unknown = await save(store, first, None), await save(store, second, None)
    (before,) = await store.load_versioned_alerts([filled_in.id], [])

    assert await store.list_unknown_clinics(None, 10) == [first.relationship_id, second.relationship_id]
    assert await store.list_unknown_clinics(None, 1) == [first.relationship_id]
    assert await store.list_unknown_clinics(first.relationship_id, 1) == [second.relationship_id]
    await store.fill_in_clinics({first.relationship_id: OWN})
    await store.fill_in_clinics({first.relationship_id: OTHER})

    assert await store.find_alert(OWN, filled_in.id) == filled_in.model_copy(update={"clinic_id": OWN})
    assert await store.list_unknown_clinics(None, 10) == [second.relationship_id]
    assert await store.find_alert(None, unknown.id) == unknown
    assert await store.save_alerts([before]) == {filled_in.id}, "who has read no clinic must read again"


async def test_messages_without_a_clinic_are_filled_in_by_alert(delivery_store: DeliveryStore) -> None:
    filled_in, unknown, known = (create_delivery(clinic) for clinic in (None, None, OTHER))
    await delivery_store.add([filled_in, unknown, known], NOW)

    await delivery_store.fill_in_clinics({filled_in.alert_id: OWN, known.alert_id: OWN})

    assert await delivery_store.list_unknown_clinics(None, 10) == [unknown.alert_id]
    claims = [await delivery_store.claim("email", timedelta(minutes=1), include_expired=False) for _ in range(3)]
    clinics = {claimed.delivery.id: claimed.delivery.clinic_id for claimed in claims if claimed}
    assert clinics == {filled_in.id: OWN, unknown.id: None, known.id: OTHER}


async def test_documents_of_an_older_version_lack_the_clinic(mongodb_uri: str) -> None:
    async with open_mongo(mongodb_uri, "motor") as mongo:
        store, s = create_mongo_store(mongo, lambda: NOW), RuptureBuilder(NOW, clinic_id=OWN)
        await store.create_indexes()
        await save(store, s, OWN)
        await store.save_clinicians([s.registered()])
        for name in ("alerts", "relationships", "clinicians"):
            await mongo[name].update_many({}, {"$unset": {"clinic_id": ""}})

        assert await store.count_unknown_clinics() == UnknownClinics(2, 1)
        await store.save_clinicians([s.registered()])
        assert await store.find_time_zone(OWN, s.clinician_id) == "Europe/Berlin"
        assert await store.count_unknown_clinics() == UnknownClinics(1, 1)


def create_delivery(clinic: ClinicId | None, clinician_id: UUID | None = None) -> Delivery:
    return Delivery(
        alert_id=uuid4(), clinic_id=clinic, clinician_id=clinician_id or uuid4(), channel="email", change="raised"
    )
