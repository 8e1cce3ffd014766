"""Handling batches of events on MongoDB with either driver, also in several processes at once."""

import asyncio
from uuid import uuid4

from services.notify.store.mongo import ALERTS
from shared.mongo.client import Mongo
from tests.integration.notify.mongo_harness import MongoNotifyHarness
from tests.support.notify_harness import EMAIL_ADDRESS, FakeChannel
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until


async def test_a_batch_delivered_again_raises_no_new_alerts(mongo: Mongo, channel: FakeChannel) -> None:
    service, s = MongoNotifyHarness(mongo, channel), RuptureBuilder()
    batch = [s.started(), s.suspected(3), s.updated(3, 0)]
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)

    async with service.worker.run():
        for _ in range(3):
            await service.projector.handle_batch(batch)
        await wait_until(service.is_all_delivered)

    assert await service.statuses(s.clinician_id) == [("concern", "open")]
    assert len(channel.sent) == 1
    assert len(service.raised_alerts()) == 1
    assert service.registry.get_sample_value("attune_notify_alerts_raised_total", {"severity": "concern"}) == 1


async def test_several_workers_never_send_a_message_twice(mongo: Mongo, channel: FakeChannel) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(clinician_id=clinician) for _ in range(40)]
    one, other = MongoNotifyHarness(mongo, channel), MongoNotifyHarness(mongo, channel)
    await one.planner.update_channels(None, clinician, EMAIL_ADDRESS)
    batch = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]

    async with one.worker.run(), other.worker.run():
        await asyncio.gather(one.projector.handle_batch(batch), other.projector.handle_batch(batch))
        await wait_until(one.is_all_delivered)

    assert sorted(n.alert_id for n in channel.sent) == sorted(s.alert_id() for s in relationships)


async def test_concurrent_writers_of_the_same_alerts_converge(mongo: Mongo, channel: FakeChannel) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(clinician_id=clinician) for _ in range(20)]
    one, other = MongoNotifyHarness(mongo, channel), MongoNotifyHarness(mongo, channel)
    first = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]
    later = [e for s in relationships for e in (s.changed(4, "urgent"), s.updated(4, 0), s.updated(5))]

    await asyncio.gather(
        one.projector.handle_batch(first),
        other.projector.handle_batch(later),
        other.projector.handle_batch(first),
        one.projector.handle_batch(later),
    )

    assert await one.statuses(clinician) == [("urgent", "retracted")] * 20


async def test_concurrent_changes_by_a_clinician_and_by_alliance_are_both_kept(
    mongo: Mongo, channel: FakeChannel
) -> None:
    service = MongoNotifyHarness(mongo, channel)
    relationships = [RuptureBuilder() for _ in range(10)]
    await service.projector.handle_batch(
        [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]
    )

    await asyncio.gather(
        service.projector.handle_batch([e for s in relationships for e in (s.changed(4, days_ago=1), s.updated(4, 0))]),
        *(service.acknowledge(s.alert_id()) for s in relationships),
    )

    for s in relationships:
        stored = await mongo[ALERTS].find_one({"_id": s.alert_id()})
        assert stored is not None
        assert (stored["status"], stored["said"]["version"]) == ("acknowledged", 4)
        assert len(stored["owed"]) == 1


async def test_the_alerts_of_an_erased_client_are_deleted_and_stay_deleted(mongo: Mongo, channel: FakeChannel) -> None:
    service, s = MongoNotifyHarness(mongo, channel), RuptureBuilder()
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)
    await service.projector.handle_batch([s.registered(), s.started(), s.suspected(3), s.updated(3, 0)])

    await service.projector.handle_batch([s.erased()])
    await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])

    assert await service.statuses(s.clinician_id) == []
    assert await mongo[ALERTS].count_documents({}) == 0
    async with service.worker.run():
        await wait_until(service.is_all_delivered)
    assert channel.sent == []
