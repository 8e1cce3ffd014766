"""Alerts clinicians to relationships that show signs of rupture, with the reasons, in time to repair them."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from services.notify import subscriptions
from services.notify.channels import ChannelsByName
from services.notify.channels.destinations import Destinations
from services.notify.channels.email import EmailChannel
from services.notify.channels.webhook import WebhookChannel, create_webhook_client
from services.notify.delivery.planner import DeliveryPlanner
from services.notify.delivery.worker import DeliverySettings, DeliveryWorker
from services.notify.domain.destinations import AllowedDestinations
from services.notify.handlers import AlertProjector
from services.notify.http import routes
from services.notify.http.inbox_updates import PING_SECONDS, InboxUpdates, StreamLimits
from services.notify.http.pages import render_error_page
from services.notify.metrics import Metrics
from services.notify.service import InboxService, Retention, RetentionService
from services.notify.service.clinics import EVENTS_WITH_CLINICS, create_backfill
from services.notify.settings import Settings
from services.notify.store.mongo import ALERTS, MongoDeliveryStore, MongoStore
from shared.clinics.backfill import BACKFILL_INTERVAL_SECONDS, ClinicBackfill
from shared.clinics.intake_history import open_intake_history
from shared.http.app import create_base_app
from shared.http.health import Check, add_health_routes
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

COUNT_INTERVAL_SECONDS = 15.0
"""About as often as Prometheus scrapes."""
RETENTION_INTERVAL_SECONDS = 3600.0
"""Often enough for times of retention that are given in days."""


def delivery_settings(settings: Settings) -> DeliverySettings:
    """What the operator chose for deliveries, and the defaults."""
    return DeliverySettings(
        public_url=settings.public_url,
        first_retry_wait=timedelta(seconds=settings.delivery_retry_seconds),
        give_up_after=timedelta(days=settings.delivery_give_up_days),
        concurrency=settings.delivery_parallel,
    )


def retention_of(settings: Settings) -> Retention:
    """How long the operator wants settled alerts and completed deliveries to be kept."""
    return Retention(
        alerts=timedelta(days=settings.alert_retention_days),
        deliveries=timedelta(days=settings.delivery_retention_days),
        max_sign_age=timedelta(days=settings.notify_within_days),
    )


def stream_limits(settings: Settings) -> StreamLimits:
    """How many inbox streams the operator allows."""
    return StreamLimits(settings.inbox_streams_per_inbox, settings.inbox_streams)


def create_app(
    settings: Settings, delivery: DeliverySettings | None = None, ping_seconds: float = PING_SECONDS
) -> FastAPI:
    """The service; nothing connects before it is served. `delivery` replaces what follows from `settings`."""
    registry = process_registry()
    metrics = Metrics(registry)
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    kafka = Kafka(settings.kafka, "notify", KafkaMetrics(registry), now)
    outbox = Outbox(kafka.send, [mongo[ALERTS]], OutboxMetrics(registry), now)
    store, delivery_store = MongoStore(mongo, outbox, now), MongoDeliveryStore(mongo)
    destinations = Destinations(AllowedDestinations.parse(settings.webhook_allow), public_url=settings.public_url)
    webhook_client = create_webhook_client(destinations)
    channels: ChannelsByName = {"email": EmailChannel(settings), "webhook": WebhookChannel(webhook_client)}
    planner = DeliveryPlanner(store, delivery_store, now, timedelta(days=settings.notify_within_days))
    delivery = delivery or delivery_settings(settings)
    delivery_worker = DeliveryWorker(store, delivery_store, planner, channels, metrics, delivery, now)
    retention_service = RetentionService(store, delivery_store, retention_of(settings), metrics)
    projector = AlertProjector(store, planner, kafka.publish, metrics, retention_of(settings).alerts)
    backfill = _create_backfill(settings, store, delivery_store, projector, metrics)
    _subscribe(kafka, mongo, projector)
    inbox_updates = InboxUpdates(mongo, metrics, stream_limits(settings), ping_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with (
            webhook_client,
            _run_background_tasks(store, delivery_store, planner, retention_service, backfill, metrics),
            delivery_worker.run(),
            kafka.run(),
            outbox.run(),
            inbox_updates.run(),
        ):
            yield
        await mongo.close()

    app = create_base_app("Attune notify", __doc__ or "", settings.http_limits, lifespan, registry, render_error_page)
    readiness: dict[str, Check] = {"mongodb": mongo.is_available, "kafka": kafka.is_ready}
    add_health_routes(ops_app(app), liveness=kafka.is_alive, readiness=readiness, registry=registry)
    app.include_router(routes(InboxService(store, planner, now, metrics), destinations, inbox_updates))
    return app


def _subscribe(kafka: Kafka, mongo: Mongo, projector: AlertProjector) -> None:
    staff_store = MongoStaffStore(mongo)
    subscriptions.subscribe(kafka, projector, staff_store, CachedStaff(staff_store))


def _create_backfill(
    settings: Settings,
    store: MongoStore,
    delivery_store: MongoDeliveryStore,
    projector: AlertProjector,
    metrics: Metrics,
) -> ClinicBackfill:
    history = open_intake_history(settings.kafka_bootstrap_servers, "notify", EVENTS_WITH_CLINICS)
    return create_backfill(store, delivery_store, projector, metrics, history)


def _run_background_tasks(
    store: MongoStore,
    delivery_store: MongoDeliveryStore,
    planner: DeliveryPlanner,
    retention_service: RetentionService,
    backfill: ClinicBackfill,
    metrics: Metrics,
) -> AbstractAsyncContextManager[None]:
    async def count_backlog() -> None:
        metrics.set_active_alerts(await store.count_active_alerts(), now())
        metrics.set_due_deliveries(*await delivery_store.count_due(), now())

    return run_in_background(
        retry_until_done("create indexes of alerts", store.create_indexes),
        retry_until_done("create indexes of deliveries", delivery_store.create_indexes),
        retry_until_done("plan deliveries missed by a crash", planner.plan_missing),
        repeat_every(BACKFILL_INTERVAL_SECONDS, "fill in clinics", backfill.run),
        repeat_every(RETENTION_INTERVAL_SECONDS, "remove what is past retention", retention_service.remove_past),
        repeat_every(COUNT_INTERVAL_SECONDS, "count active alerts and due deliveries", count_backlog),
    )
