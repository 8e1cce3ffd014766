"""A process of sessions on one database, without HTTP and Kafka."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import uuid4

from prometheus_client import CollectorRegistry

from services.sessions.metrics import SessionsMetrics
from services.sessions.service import SessionsService
from services.sessions.store.mongo import SESSIONS, MongoStore
from shared.kafka.producer import Message
from shared.mongo.client import Mongo
from shared.outbox.metrics import OutboxMetrics
from shared.outbox.relay import Outbox
from tests.support.sessions_client import ago


class SessionsProcess:
    """The parts of a process that write: the service, its store and its outbox, with what was sent."""

    def __init__(
        self,
        mongodb_uri: str,
        database: str,
        driver: Literal["motor", "pymongo"] = "motor",
        hours_ahead: float = 0,
    ) -> None:
        clock = partial(ago, -hours_ahead)
        registry = CollectorRegistry()
        self.sent: list[Message] = []
        self.mongo = Mongo(mongodb_uri, database, driver)
        self.outbox = Outbox(self._send, [self.mongo[SESSIONS]], OutboxMetrics(registry), clock)
        self.store = MongoStore(self.mongo, self.outbox, clock)
        self.service = SessionsService(
            self.store, SessionsMetrics(registry), timedelta(hours=72), timedelta(0), clock, lambda: uuid4().hex
        )

    async def _send(self, messages: Sequence[Message]) -> None:
        self.sent += messages
