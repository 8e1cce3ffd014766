"""Keeps a rolling score of each working relationship, and sees signs of rupture in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.alliance import subscriptions
from services.alliance.handlers.dispositions import Judge
from services.alliance.handlers.projector import Hear
from services.alliance.http.api import routes
from services.alliance.metrics import Metrics
from services.alliance.policies.files import policies_in
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore
from shared.http.app import application
from shared.http.health import answer_health
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo, MongoMetrics
from shared.runtime.background import background, every, until_done
from shared.runtime.clock import now
from shared.runtime.metrics import process_registry

COUNT_EVERY = 15.0
"""Seconds; as often as the numbers are usually looked at."""


def create_app(settings: Settings) -> FastAPI:
    """The service with everything it needs; nothing is opened before it is served. Raises WrongPolicy."""
    policies = policies_in(settings.policy_dir)
    registry = process_registry()
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    store = MongoStore(mongo)
    kafka = Kafka(settings.kafka_bootstrap_servers, "alliance", KafkaMetrics(registry), now, settings.kafka_batch_size)
    metrics = Metrics(registry)
    subscriptions.subscribe(kafka, Hear(store, kafka.tell, policies, metrics), Judge(store, policies, metrics))

    async def count() -> None:
        metrics.open_episodes(await store.open_episodes())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        preparing = until_done("create indexes", store.prepare)
        counting = every(COUNT_EVERY, "count open episodes", count)
        async with background(preparing, counting), kafka.running():
            yield
        await mongo.close()

    app = application("Attune alliance", __doc__ or "", settings.http_body_limit, lifespan, registry)
    answer_health(app, alive=kafka.alive, ready={"mongodb": mongo.answers, "kafka": kafka.ready}, registry=registry)
    app.include_router(routes(store, policies))
    return app
