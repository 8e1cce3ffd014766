"""Keeps a rolling score of each working relationship and detects signs of rupture in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.alliance import subscriptions
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.http.api import routes
from services.alliance.metrics import Metrics
from services.alliance.policies.files import load_policies
from services.alliance.service import AllianceService
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore
from shared.http.app import create_base_app
from shared.http.health import add_health_routes
from shared.http.ops import ops_app
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo, MongoMetrics
from shared.runtime.background import repeat_every, retry_until_done, run_in_background
from shared.runtime.clock import now
from shared.runtime.metrics import process_registry
from shared.staff.cache import CachedStaff
from shared.staff.store import MongoStaffStore

COUNT_INTERVAL_SECONDS = 15.0
"""As often as Prometheus scrapes."""


def create_app(settings: Settings) -> FastAPI:
    """The service with all its parts; nothing connects before it is served. Raises InvalidPolicy."""
    policies = load_policies(settings.policy_dir)
    registry = process_registry()
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    store = MongoStore(mongo)
    kafka = Kafka(settings.kafka, "alliance", KafkaMetrics(registry), now)
    metrics = Metrics(registry)
    projector = AllianceProjector(store, kafka.publish, policies, metrics)
    disposition_recorder = DispositionRecorder(store, policies, metrics)
    staff_store = MongoStaffStore(mongo)
    subscriptions.subscribe(kafka, projector, disposition_recorder, staff_store, CachedStaff(staff_store))

    async def count_open_episodes() -> None:
        metrics.set_open_episodes(await store.count_open_episodes())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        preparing = retry_until_done("create indexes", store.create_indexes)
        counting = repeat_every(COUNT_INTERVAL_SECONDS, "count open episodes", count_open_episodes)
        async with run_in_background(preparing, counting), kafka.run():
            yield
        await mongo.close()

    app = create_base_app("Attune alliance", __doc__ or "", settings.http_limits, lifespan, registry)
    add_health_routes(
        ops_app(app),
        liveness=kafka.is_alive,
        readiness={"mongodb": mongo.is_available, "kafka": kafka.is_ready},
        registry=registry,
    )
    app.include_router(routes(AllianceService(store, policies)))
    return app
