"""A database for one test, and an outbox that nobody publishes."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Literal
from uuid import uuid4

from prometheus_client import CollectorRegistry

from shared.kafka.producer import Message
from shared.mongo.client import Mongo
from shared.outbox.metrics import OutboxMetrics
from shared.outbox.relay import Outbox


@asynccontextmanager
async def open_mongo(uri: str, driver: Literal["motor", "pymongo"]) -> AsyncIterator[Mongo]:
    """A database for one test."""
    mongo = Mongo(uri, f"test_{uuid4().hex}", driver)
    try:
        yield mongo
    finally:
        await mongo.close()


def create_idle_outbox(mongo: Mongo, collections: Sequence[str], clock: Callable[[], datetime]) -> Outbox:
    """An outbox that does not run, so that outbox entries stay in their documents."""
    return Outbox(_send_nothing, [mongo[name] for name in collections], OutboxMetrics(CollectorRegistry()), clock)


async def _send_nothing(_messages: Sequence[Message]) -> None:
    raise AssertionError("the outbox does not run")
