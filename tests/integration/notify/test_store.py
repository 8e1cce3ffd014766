"""The contract of a store of alerts, for the store in memory and for MongoDB with either driver."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest

from services.notify.domain.alert import Alert, fold_alerts
from services.notify.domain.relationship import Relationship
from services.notify.domain.routing import ChannelAddresses, WebhookAddress
from services.notify.store import Store
from services.notify.store.memory import InMemoryStore
from services.notify.store.protocol import InboxCounts
from shared.errors import NotFound
from shared.events import ClinicianRegistered, ClinicianUpdated, Event, RuptureEvent
from shared.outbox.documents import Versioned
from tests.integration.notify.mongo_harness import create_mongo_store
from tests.support.dispositions import acknowledge, resolve
from tests.support.mongo import open_mongo
from tests.support.rupture_builder import RuptureBuilder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ADDRESSES = ChannelAddresses(
    email="someone@clinic.example", webhook=WebhookAddress(url="https://clinic.example/hook", secret="c2VjcmV0")
)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield InMemoryStore()
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        mongo_store = create_mongo_store(mongo, lambda: NOW)
        await mongo_store.create_indexes()
        yield mongo_store


def create_relationship(s: RuptureBuilder, alliance_version: int = 0) -> Relationship:
    return Relationship(
        relationship_id=s.relationship_id, clinician_id=s.clinician_id, alliance_version=alliance_version
    )


def create_alert(s: RuptureBuilder, *events: RuptureEvent) -> Alert:
    (alert,) = fold_alerts({}, events, create_relationship(s)).values()
    return alert


def new(alert: Alert) -> Versioned[Alert]:
    return Versioned(alert.id, alert)


async def load_one(store: Store, alert_id: UUID) -> Versioned[Alert]:
    (loaded,) = await store.load_versioned_alerts([alert_id], [])
    return loaded


def acknowledge_existing(alert: Alert | None) -> tuple[Alert, list[Event]]:
    assert alert is not None
    after, events = acknowledge(alert, NOW)
    return after, list(events)


async def test_an_unknown_relationship_is_empty_at_version_0(store: Store) -> None:
    unknown = uuid4()

    assert await store.load_relationships([unknown]) == {
        unknown: Versioned(unknown, Relationship(relationship_id=unknown), 0)
    }


async def test_what_was_saved_is_loaded_with_its_version(store: Store) -> None:
    s = RuptureBuilder(NOW)
    relationship, alert = create_relationship(s), create_alert(s, s.suspected(3), s.changed(4, "urgent"))

    assert await store.save_relationships([Versioned(s.relationship_id, relationship)]) == set()
    assert await store.save_alerts([new(alert)]) == set()

    loaded_relationships = await store.load_relationships([s.relationship_id])
    assert loaded_relationships == {s.relationship_id: Versioned(s.relationship_id, relationship, 1)}
    assert await load_one(store, alert.id) == Versioned(alert.id, alert, 1)
    assert await store.load_alerts([alert.id, uuid4()]) == {alert.id: alert}


async def test_a_save_over_another_version_is_a_conflict_and_the_others_are_written(store: Store) -> None:
    first, second = RuptureBuilder(NOW), RuptureBuilder(NOW)
    await store.save_relationships([Versioned(first.relationship_id, create_relationship(first, 1))])

    conflicts = await store.save_relationships(
        [Versioned(s.relationship_id, create_relationship(s, 7)) for s in (first, second)]
    )

    loaded = await store.load_relationships([first.relationship_id, second.relationship_id])
    assert conflicts == {first.relationship_id}
    assert [loaded[s.relationship_id].value.alliance_version for s in (first, second)] == [1, 7]


async def test_of_two_parallel_writers_of_the_same_version_one_has_a_conflict(store: Store) -> None:
    builders = [RuptureBuilder(NOW) for _ in range(10)]
    alerts = [create_alert(s, s.suspected(3)) for s in builders]
    await store.save_alerts([new(alert) for alert in alerts])
    loaded = [await load_one(store, alert.id) for alert in alerts]

    results = await asyncio.gather(*(store.save_alerts([versioned]) for versioned in [*loaded, *loaded]))

    assert sorted(i for conflicts in results for i in conflicts) == sorted(alert.id for alert in alerts)
    assert [(await load_one(store, alert.id)).version for alert in alerts] == [2] * 10


async def test_parallel_writers_all_succeed_and_none_is_overwritten(store: Store) -> None:
    """Ten writers each add one to the same relationship and retry until theirs is saved."""
    s = RuptureBuilder(NOW)

    async def add_one() -> None:
        while True:
            loaded = (await store.load_relationships([s.relationship_id]))[s.relationship_id]
            updated = create_relationship(s, loaded.value.alliance_version + 1)
            if not await store.save_relationships([Versioned(s.relationship_id, updated, loaded.version)]):
                return
            await asyncio.sleep(0)

    await asyncio.gather(*(add_one() for _ in range(10)))

    loaded = (await store.load_relationships([s.relationship_id]))[s.relationship_id]
    assert (loaded.version, loaded.value.alliance_version) == (10, 10)


async def test_an_alert_that_was_erased_after_it_was_loaded_is_not_written_again(store: Store) -> None:
    s, other = RuptureBuilder(NOW), RuptureBuilder(NOW)
    alert, other_alert = create_alert(s, s.suspected(3)), create_alert(other, other.suspected(3))
    await store.save_alerts([new(alert), new(other_alert)])
    loaded = await load_one(store, alert.id)

    await store.erase_alerts([s.relationship_id])
    await store.erase_alerts([s.relationship_id])

    assert await store.save_alerts([loaded]) == {alert.id}
    assert list(await store.load_alerts([alert.id, other_alert.id])) == [other_alert.id]


async def test_a_change_returns_what_it_did_and_a_repeated_one_does_nothing(store: Store) -> None:
    s = RuptureBuilder(NOW)
    alert = create_alert(s, s.suspected(3))
    await store.save_alerts([new(alert)])

    first = await store.change_alert(None, alert.id, acknowledge_existing)
    second = await store.change_alert(None, alert.id, acknowledge_existing)

    assert (first.before, first.after.status, [type(e).__name__ for e in first.events]) == (
        alert,
        "acknowledged",
        ["AlertAcknowledged"],
    )
    assert (second.before, second.after, list(second.events)) == (first.after, first.after, [])
    assert await load_one(store, alert.id) == Versioned(alert.id, first.after, 2)


async def test_a_rejected_change_writes_nothing(store: Store) -> None:
    def reject(alert: Alert | None) -> tuple[Alert, list[Event]]:
        assert alert is None
        raise NotFound("unknown-alert", "not known")

    unknown = uuid4()
    with pytest.raises(NotFound):
        await store.change_alert(None, unknown, reject)

    assert await store.load_alerts([unknown]) == {}


async def test_a_change_and_a_save_of_the_same_version_are_a_conflict(store: Store) -> None:
    s = RuptureBuilder(NOW)
    alert = create_alert(s, s.suspected(3))
    await store.save_alerts([new(alert)])
    loaded = await load_one(store, alert.id)

    await store.change_alert(None, alert.id, acknowledge_existing)

    assert await store.save_alerts([loaded]) == {alert.id}
    assert (await load_one(store, alert.id)).value.status == "acknowledged"


async def test_parallel_changes_of_one_alert_have_their_events_once(store: Store) -> None:
    s = RuptureBuilder(NOW)
    alert = create_alert(s, s.suspected(3))
    await store.save_alerts([new(alert)])

    changes = await asyncio.gather(*(store.change_alert(None, alert.id, acknowledge_existing) for _ in range(5)))

    assert [change.after.status for change in changes] == ["acknowledged"] * 5
    assert sum(len(change.events) for change in changes) == 1


async def test_alerts_are_found_by_id_and_those_that_may_change_by_relationship(store: Store) -> None:
    s, other = RuptureBuilder(NOW), RuptureBuilder(NOW)
    active = create_alert(s, s.suspected(3))
    closed = create_alert(s, s.suspected(4, episode=1), s.repaired(5, episode=1))
    resolved, _ = resolve(create_alert(s, s.suspected(6, episode=2)), True, NOW)
    not_named = resolved.model_copy(update={"episode_id": s.episode_id(3), "supported": False})
    of_another = create_alert(other, other.suspected(3))
    await store.save_alerts([new(alert) for alert in (active, closed, resolved, not_named, of_another)])

    async def find(alert_ids: list[UUID], relationships: list[UUID]) -> set[UUID]:
        return {versioned.id for versioned in await store.load_versioned_alerts(alert_ids, relationships)}

    assert await find([], [s.relationship_id]) == {active.id, resolved.id}
    assert await find([closed.id, uuid4()], []) == {closed.id}
    of_both = await find([closed.id], [s.relationship_id, other.relationship_id])
    assert of_both == {active.id, closed.id, resolved.id, of_another.id}


async def test_an_inbox_lists_open_alerts_first_then_the_most_severe_then_the_latest(store: Store) -> None:
    clinician = uuid4()
    builders = [RuptureBuilder(NOW, clinician) for _ in range(5)]
    closed, mild, older, newer, severe = (
        create_alert(builders[0], builders[0].suspected(3, "urgent"), builders[0].repaired(4, "urgent")),
        create_alert(builders[1], builders[1].suspected(3, "watch")),
        create_alert(builders[2], builders[2].suspected(3, days_ago=2)),
        create_alert(builders[3], builders[3].suspected(3, days_ago=1)),
        create_alert(builders[4], builders[4].suspected(3, "urgent", days_ago=3)),
    )
    of_another = RuptureBuilder(NOW)
    listed = [closed, mild, older, newer, severe]
    await store.save_alerts([new(alert) for alert in [*listed, create_alert(of_another, of_another.suspected(3))]])

    assert await store.list_inbox_alerts(None, clinician, 10) == [severe, newer, older, mild, closed]
    assert await store.list_inbox_alerts(None, clinician, 2) == [severe, newer]
    assert await store.list_inbox_alerts(None, clinician, 2, skip=3) == [mild, closed]
    assert await store.count_inbox_alerts(None, clinician) == InboxCounts(active=4, total=5)
    assert await store.count_inbox_alerts(None, uuid4()) == InboxCounts(active=0, total=0)


async def test_active_alerts_are_listed_since_their_last_sign_of_one_clinician_or_of_all(store: Store) -> None:
    s, other = RuptureBuilder(NOW), RuptureBuilder(NOW)
    recent, closed = (
        create_alert(s, s.suspected(3)),
        create_alert(s, s.suspected(4, episode=1), s.repaired(5, episode=1)),
    )
    old, of_another = create_alert(s, s.suspected(3, episode=2, days_ago=9)), create_alert(other, other.suspected(3))
    await store.save_alerts([new(alert) for alert in (recent, closed, old, of_another)])

    def ids(alerts: Iterable[Alert]) -> set[UUID]:
        return {alert.id for alert in alerts}

    last_week, earlier = NOW - timedelta(days=7), NOW - timedelta(days=9)
    assert ids(await store.list_active_alerts(last_week)) == {recent.id, of_another.id}
    assert ids(await store.list_alerts_to_send(None, s.clinician_id, last_week)) == {recent.id}
    assert ids(await store.list_alerts_to_send(None, s.clinician_id, earlier)) == {recent.id, old.id}
    assert await store.list_active_alerts(NOW - timedelta(days=0.5)) == []


async def test_active_alerts_are_counted_by_severity_and_status(store: Store) -> None:
    builders = [RuptureBuilder(NOW) for _ in range(4)]
    alerts = [create_alert(s, s.suspected(3, days_ago=1 + day)) for day, s in enumerate(builders[:3])]
    alerts.append(create_alert(builders[3], builders[3].suspected(3, "urgent"), builders[3].repaired(4, "urgent")))
    await store.save_alerts([new(alert) for alert in alerts])
    await store.change_alert(None, alerts[2].id, acknowledge_existing)

    counts = await store.count_active_alerts()

    assert {key: value for key, value in counts.items() if value[0]} == {
        ("concern", "open"): (2, NOW - timedelta(days=2)),
        ("concern", "acknowledged"): (1, NOW - timedelta(days=3)),
    }
    assert counts["urgent", "open"] == (0, None)


async def test_the_latest_event_of_a_clinician_counts_in_whichever_order_they_arrive(store: Store) -> None:
    clinician = uuid4()
    registered = ClinicianRegistered(
        id=uuid4(), occurred_at=NOW, clinician_id=clinician, clinic_id=uuid4(), time_zone="Asia/Tokyo"
    )
    update = partial(ClinicianUpdated, clinician_id=clinician, clinic_id=registered.clinic_id)
    updates = [
        update(id=uuid4(), occurred_at=NOW + timedelta(hours=hour), time_zone=zone)
        for hour, zone in enumerate(("Europe/Berlin", "Europe/Paris", "Europe/Rome"), start=1)
    ]

    assert await store.find_time_zone(None, clinician) is None
    await store.save_clinicians([updates[1], registered])
    await store.save_clinicians([updates[0]])
    assert await store.find_time_zone(None, clinician) == "Europe/Paris"
    await store.save_clinicians([updates[2], updates[1]])
    await store.save_clinicians([])
    assert await store.find_time_zone(None, clinician) == "Europe/Rome"


async def test_the_addresses_of_a_clinician_are_replaced_as_a_whole(store: Store) -> None:
    clinician, other = uuid4(), uuid4()
    await store.save_channels(None, clinician, ADDRESSES)
    assert await store.load_channels([clinician, other]) == {clinician: ADDRESSES}

    await store.save_channels(None, clinician, ChannelAddresses(email="another@clinic.example"))
    assert await store.load_channels([clinician]) == {clinician: ChannelAddresses(email="another@clinic.example")}
