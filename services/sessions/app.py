"""What became of each appointment, and how it felt to the two who met."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from services.sessions import subscriptions
from services.sessions.http import routes
from services.sessions.metrics import SessionMetrics
from services.sessions.service import Desk
from services.sessions.settings import Settings
from services.sessions.store.mongo import SESSIONS, Store
from shared.http.app import application
from shared.http.health import answer_health
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo, MongoMetrics
from shared.outbox.relay import Outbox
from shared.runtime.background import background, every, until_done
from shared.runtime.clock import now
from shared.runtime.metrics import process_registry

TOKEN_BYTES = 32
"""256 bits: nobody guesses a link."""


def create_app(settings: Settings) -> FastAPI:
    """The sessions service, wired."""
    registry = process_registry()
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    kafka = Kafka(settings.kafka_bootstrap_servers, "sessions", KafkaMetrics(registry), now, settings.kafka_batch_size)
    outbox = Outbox(kafka, [mongo[SESSIONS]], registry, now)
    store = Store(mongo, outbox, now)
    service = Desk(
        store,
        SessionMetrics(registry),
        window=timedelta(hours=settings.feedback_window_hours),
        grace=timedelta(seconds=settings.lapse_grace_seconds),
        clock=now,
        draw_token=_draw_token,
    )
    subscriptions.subscribe(kafka, store)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        index_creation = until_done("create indexes", store.prepare)
        lapse_timer = every(settings.lapse_check_seconds, "lapse what nobody answered", service.lapse_due)
        async with kafka.running(), outbox.running(), background(index_creation, lapse_timer):
            yield
        await mongo.close()

    app = application("Attune sessions", __doc__ or "", settings.http_body_limit, lifespan, registry)
    answer_health(app, alive=kafka.alive, ready={"mongodb": mongo.answers, "kafka": kafka.ready}, registry=registry)
    app.include_router(routes(service, settings.public_url, settings.crisis_text))
    return app


def _draw_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)
