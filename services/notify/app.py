"""Tells clinicians which relationships show signs of rupture, why, and in time to repair them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI
from httpx2 import AsyncClient

from services.notify import subscriptions
from services.notify.channels.email import Email
from services.notify.channels.webhook import Webhook
from services.notify.delivery import Deliver
from services.notify.handlers import Alerting
from services.notify.http import routes
from services.notify.http.inbox_updates import Live
from services.notify.metrics import Metrics
from services.notify.service import Inbox
from services.notify.settings import Settings
from services.notify.store import ALERTS, Deliveries, Store
from shared.http.app import application
from shared.http.health import answer_health
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo, MongoMetrics
from shared.outbox.relay import Outbox
from shared.runtime.background import background, every, until_done
from shared.runtime.clock import now
from shared.runtime.metrics import process_registry

ANSWER_SECONDS = 10.0
"""How long a webhook may take to connect, and for each part of its answer."""
COUNT_EVERY = 15.0
"""Seconds; as often as the numbers are usually looked at."""


def create_app(settings: Settings) -> FastAPI:
    """The service with everything it needs; nothing is opened before it is served."""
    registry = process_registry()
    metrics = Metrics(registry)
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    kafka = Kafka(settings.kafka_bootstrap_servers, "notify", KafkaMetrics(registry), now, settings.kafka_batch_size)
    outbox = Outbox(kafka, [mongo[ALERTS]], registry, now)
    store, delivery_store = Store(mongo, outbox, now), Deliveries(mongo)
    http_client = AsyncClient(timeout=ANSWER_SECONDS, follow_redirects=False)
    delivery_worker = Deliver(
        store,
        delivery_store,
        {"email": Email(settings), "webhook": Webhook(http_client)},
        metrics,
        now,
        inbox_of=lambda clinician_id: f"{settings.public_url.rstrip('/')}/inbox/{clinician_id}",
        fresh_within=timedelta(days=settings.notify_within_days),
        first_wait=timedelta(seconds=settings.delivery_retry_seconds),
        give_up_after=timedelta(days=settings.delivery_give_up_days),
        parallel=settings.delivery_parallel,
    )
    subscriptions.subscribe(kafka, Alerting(store, delivery_worker, kafka.tell, metrics))
    inbox_updates = Live(mongo, metrics)

    async def count() -> None:
        metrics.waiting(await store.waiting(), now())
        metrics.owed(*await delivery_store.due(), now())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        index_tasks = (
            until_done("create indexes", create_indexes) for create_indexes in (store.prepare, delivery_store.prepare)
        )
        count_task = every(COUNT_EVERY, "count what waits", count)
        async with (
            http_client,
            background(*index_tasks, count_task),
            delivery_worker.running(),
            kafka.running(),
            outbox.running(),
            inbox_updates.running(),
        ):
            yield
        await mongo.close()

    app = application("Attune notify", __doc__ or "", settings.http_body_limit, lifespan, registry)
    answer_health(app, alive=kafka.alive, ready={"mongodb": mongo.answers, "kafka": kafka.ready}, registry=registry)
    app.include_router(routes(Inbox(store, now, metrics), delivery_worker, inbox_updates, store))
    return app
