"""The notify service on MongoDB, without Kafka and HTTP, and what it stored."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from services.notify.delivery.worker import DeliverySettings
from services.notify.store.mongo import ALERTS, MongoDeliveryStore, MongoStore
from services.notify.store.protocol import DUE_IMMEDIATELY
from shared.mongo.client import Document, Mongo
from shared.runtime.clock import now
from tests.support.mongo import create_idle_outbox
from tests.support.notify_harness import DELIVERY_SETTINGS, FakeChannel, NotifyHarness


def create_mongo_store(mongo: Mongo, clock: Callable[[], datetime] = now) -> MongoStore:
    """A store whose outbox nobody publishes."""
    return MongoStore(mongo, create_idle_outbox(mongo, [ALERTS], clock), clock)


class MongoNotifyHarness(NotifyHarness):
    """One process of the service; several can share a database, each with its own clock."""

    def __init__(
        self,
        mongo: Mongo,
        channel: FakeChannel,
        clock_offset: timedelta = timedelta(0),
        settings: DeliverySettings = DELIVERY_SETTINGS,
        monotonic_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        def clock() -> datetime:
            return now() + clock_offset

        self.mongo = mongo
        stores = create_mongo_store(mongo, clock), MongoDeliveryStore(mongo)
        super().__init__(*stores, channel, clock, settings, monotonic_clock)

    async def make_due(self) -> None:
        """Make every unfinished delivery due now."""
        await self.mongo["deliveries"].update_many(
            {"next_at": {"$exists": True}}, {"$set": {"next_at": DUE_IMMEDIATELY}}
        )

    async def delivery(self) -> Document:
        (found,) = await self.mongo["deliveries"].find({}).to_list(2)
        return found
