"""Alerts clinicians to relationships that show signs of rupture, with the reasons, in time to repair them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI
from httpx2 import AsyncClient

from services.notify import subscriptions
from services.notify.channels.email import EmailChannel
from services.notify.channels.webhook import WebhookChannel
from services.notify.delivery import DeliveryWorker
from services.notify.handlers import AlertProjector
from services.notify.http import routes
from services.notify.http.inbox_updates import InboxUpdates
from services.notify.metrics import Metrics
from services.notify.service import InboxService
from services.notify.settings import Settings
from services.notify.store import ALERTS, DeliveryStore, Store
from shared.http.app import create_base_app
from shared.http.health import add_health_routes
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo, MongoMetrics
from shared.outbox.relay import Outbox
from shared.runtime.background import repeat_every, retry_until_done, run_in_background
from shared.runtime.clock import now
from shared.runtime.metrics import process_registry

WEBHOOK_TIMEOUT_SECONDS = 10.0
"""Limit for connecting to a webhook, and for each part of its response."""
COUNT_INTERVAL_SECONDS = 15.0
"""About as often as Prometheus scrapes."""


def create_app(settings: Settings) -> FastAPI:
    """The service with all its parts; no connection is opened before the lifespan starts."""
    registry = process_registry()
    metrics = Metrics(registry)
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    kafka = Kafka(settings.kafka_bootstrap_servers, "notify", KafkaMetrics(registry), now, settings.kafka_batch_size)
    outbox = Outbox(kafka, [mongo[ALERTS]], registry, now)
    store, delivery_store = Store(mongo, outbox, now), DeliveryStore(mongo)
    http_client = AsyncClient(timeout=WEBHOOK_TIMEOUT_SECONDS, follow_redirects=False)
    delivery_worker = DeliveryWorker(
        store,
        delivery_store,
        {"email": EmailChannel(settings), "webhook": WebhookChannel(http_client)},
        metrics,
        now,
        inbox_url=lambda clinician_id: f"{settings.public_url.rstrip('/')}/inbox/{clinician_id}",
        max_sign_age=timedelta(days=settings.notify_within_days),
        first_retry_wait=timedelta(seconds=settings.delivery_retry_seconds),
        give_up_after=timedelta(days=settings.delivery_give_up_days),
        concurrency=settings.delivery_parallel,
    )
    subscriptions.subscribe(kafka, AlertProjector(store, delivery_worker, kafka.publish, metrics))
    inbox_updates = InboxUpdates(mongo, metrics)

    async def count_backlog() -> None:
        metrics.set_active_alerts(await store.count_active_alerts(), now())
        metrics.set_due_deliveries(*await delivery_store.count_due(), now())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        index_tasks = (
            retry_until_done("create indexes", create_indexes)
            for create_indexes in (store.create_indexes, delivery_store.create_indexes)
        )
        count_task = repeat_every(COUNT_INTERVAL_SECONDS, "count active alerts and due deliveries", count_backlog)
        async with (
            http_client,
            run_in_background(*index_tasks, count_task),
            delivery_worker.run(),
            kafka.run(),
            outbox.run(),
            inbox_updates.run(),
        ):
            yield
        await mongo.close()

    app = create_base_app("Attune notify", __doc__ or "", settings.http_body_limit, lifespan, registry)
    add_health_routes(
        app,
        liveness=kafka.is_alive,
        readiness={"mongodb": mongo.is_available, "kafka": kafka.is_ready},
        registry=registry,
    )
    app.include_router(routes(InboxService(store, now, metrics), delivery_worker, inbox_updates, store))
    return app
