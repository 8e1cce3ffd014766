"""Removing alerts past retention from MongoDB: none whose events are not published yet."""

from datetime import timedelta

from services.notify.domain.alert import Alert, fold_alerts
from services.notify.domain.relationship import Relationship
from shared.events import RuptureEvent
from shared.mongo.client import Mongo
from shared.outbox.documents import Versioned
from shared.runtime.clock import now
from tests.integration.notify.mongo_harness import create_mongo_store
from tests.support.rupture_builder import RuptureBuilder


def create_alert(s: RuptureBuilder, *events: RuptureEvent) -> Alert:
    relationship = Relationship(relationship_id=s.relationship_id, clinician_id=s.clinician_id)
    (alert,) = fold_alerts({}, events, relationship).values()
    return alert


async def test_an_alert_past_retention_is_removed_once_its_events_are_published(mongo: Mongo) -> None:
    store = create_mongo_store(mongo)
    settled, pending, waiting = RuptureBuilder(), RuptureBuilder(), RuptureBuilder()
    alerts = [create_alert(s, s.suspected(3), s.repaired(4)) for s in (settled, pending)]
    alerts.append(create_alert(waiting, waiting.suspected(3)))
    await store.save_alerts([Versioned(alert.id, alert) for alert in alerts])
    await mongo["alerts"].update_one({"_id": pending.alert_id()}, {"$set": {"owed": [{"id": "an event"}]}})

    assert await store.remove_past_alerts(now() - timedelta(days=1)) == 0
    assert await store.remove_past_alerts(now() + timedelta(days=1)) == 1
    await mongo["alerts"].update_one({"_id": pending.alert_id()}, {"$set": {"owed": []}})
    assert await store.remove_past_alerts(now() + timedelta(days=1)) == 1

    assert list(await store.load_alerts([alert.id for alert in alerts])) == [waiting.alert_id()]


async def test_an_alert_that_cannot_be_read_does_not_keep_the_others(mongo: Mongo) -> None:
    store = create_mongo_store(mongo)
    damaged, settled = RuptureBuilder(), RuptureBuilder()
    alerts = [create_alert(s, s.suspected(3), s.repaired(4)) for s in (damaged, settled)]
    await store.save_alerts([Versioned(alert.id, alert) for alert in alerts])
    await mongo["alerts"].update_one({"_id": damaged.alert_id()}, {"$set": {"said.severity": "gone"}})

    assert await store.remove_past_alerts(now() + timedelta(days=1)) == 1

    assert await mongo["alerts"].distinct("_id") == [damaged.alert_id()]


async def test_the_store_has_a_clock(mongo: Mongo) -> None:
    assert abs(await create_mongo_store(mongo).now() - now()) < timedelta(minutes=1)
