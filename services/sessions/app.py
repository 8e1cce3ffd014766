"""The outcome of each appointment, and how client and clinician rated the session."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from services.sessions import subscriptions
from services.sessions.http import routes
from services.sessions.http.pages import create_error_page
from services.sessions.metrics import SessionsMetrics
from services.sessions.service import SessionsService
from services.sessions.service.clinics import EVENTS_WITH_CLINICS, create_backfill
from services.sessions.settings import Settings
from services.sessions.store.mongo import SESSIONS, MongoStore
from shared.clinics.backfill import BACKFILL_INTERVAL_SECONDS
from shared.clinics.intake_history import open_intake_history
from shared.http.app import create_base_app
from shared.http.health import add_health_routes
from shared.http.ops import ops_app
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo, MongoMetrics
from shared.outbox.metrics import OutboxMetrics
from shared.outbox.relay import Outbox
from shared.runtime.background import repeat_every, retry_until_done, run_in_background
from shared.runtime.clock import now
from shared.runtime.metrics import process_registry
from shared.staff.cache import CachedStaff
from shared.staff.store import MongoStaffStore

TOKEN_BYTES = 32
"""256 bits, so that nobody can guess a link."""


def create_app(settings: Settings) -> FastAPI:
    """Build the sessions service. It connects to MongoDB and Kafka only when it starts to serve."""
    registry = process_registry()
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    kafka = Kafka(settings.kafka, "sessions", KafkaMetrics(registry), now)
    outbox = Outbox(kafka.send, [mongo[SESSIONS]], OutboxMetrics(registry), now)
    store = MongoStore(mongo, outbox, now)
    metrics = SessionsMetrics(registry)
    service = SessionsService(
        store,
        metrics,
        response_window=timedelta(hours=settings.feedback_window_hours),
        lapse_grace=timedelta(seconds=settings.lapse_grace_seconds),
        clock=now,
        generate_token=_generate_token,
    )
    staff_store = MongoStaffStore(mongo)
    subscriptions.subscribe(kafka, store, staff_store, CachedStaff(staff_store))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with kafka.run(), outbox.run(), _run_background_tasks(settings, store, service, metrics):
            yield
        await mongo.close()

    error_page = create_error_page(metrics, settings.crisis_text)
    app = create_base_app("Attune sessions", __doc__ or "", settings.http_limits, lifespan, registry, error_page)
    add_health_routes(
        ops_app(app),
        liveness=kafka.is_alive,
        readiness={"mongodb": mongo.is_available, "kafka": kafka.is_ready},
        registry=registry,
    )
    app.include_router(routes(service, settings.public_url, settings.crisis_text))
    return app


def _run_background_tasks(
    settings: Settings, store: MongoStore, service: SessionsService, metrics: SessionsMetrics
) -> AbstractAsyncContextManager[None]:
    history = open_intake_history(settings.kafka_bootstrap_servers, "sessions", EVENTS_WITH_CLINICS)
    backfill = create_backfill(store, metrics, history)
    return run_in_background(
        retry_until_done("create indexes", store.create_indexes),
        repeat_every(settings.lapse_check_seconds, "lapse overdue requests", service.lapse_overdue_requests),
        repeat_every(BACKFILL_INTERVAL_SECONDS, "fill in clinics", backfill.run),
    )


def _generate_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)
