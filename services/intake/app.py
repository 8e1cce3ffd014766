"""Who works with whom, on what, and what the client agreed to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from fastapi import FastAPI

from services.intake.http.api import routes
from services.intake.http.staff_api import staff_routes
from services.intake.metrics import IntakeMetrics
from services.intake.service.caseload import CaseloadService
from services.intake.service.people import PeopleService
from services.intake.service.relationships import RelationshipService
from services.intake.service.staff import RecordedStaff, StaffService
from services.intake.settings import Settings
from services.intake.store.mongo import CLINICIANS, CLINICS, RELATIONSHIPS, STAFF_RECORDS, MongoStore
from shared.http.app import create_base_app
from shared.http.health import add_health_routes
from shared.http.ops import ops_app
from shared.identity.secret_values import create_secret, hash_secret
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo, MongoMetrics
from shared.outbox.metrics import OutboxMetrics
from shared.outbox.relay import Outbox
from shared.runtime.background import retry_until_done, run_in_background
from shared.runtime.clock import now
from shared.runtime.metrics import process_registry
from shared.staff.cache import CachedStaff


def create_app(settings: Settings) -> FastAPI:
    """Build the intake service. It connects to MongoDB and Kafka only when it starts to serve."""
    registry = process_registry()
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database, settings.mongodb_driver, MongoMetrics(registry))
    kafka = Kafka(settings.kafka, "intake", KafkaMetrics(registry), now)
    collections = [mongo[name] for name in (CLINICS, STAFF_RECORDS, CLINICIANS, RELATIONSHIPS)]
    outbox = Outbox(kafka.send, collections, OutboxMetrics(registry), now)
    store = MongoStore(mongo, outbox, now)
    metrics = IntakeMetrics(registry)
    people = PeopleService(store, metrics, now)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        index_creation = retry_until_done("create indexes", store.create_indexes)
        clinic_publication = retry_until_done("publish clinics", people.publish_unpublished_clinics)
        async with kafka.run(), outbox.run(), run_in_background(index_creation, clinic_publication):
            yield
        await mongo.close()

    app = create_base_app("Attune intake", __doc__ or "", settings.http_limits, lifespan, registry)
    add_health_routes(
        ops_app(app),
        liveness=kafka.is_alive,
        readiness={"mongodb": mongo.is_available, "kafka": kafka.is_ready},
        registry=registry,
    )
    app.include_router(routes(people, RelationshipService(store, metrics, now), CaseloadService(store, metrics, now)))
    app.include_router(staff_routes(create_staff_service(store, metrics), settings.public_url))
    return app


def create_staff_service(store: MongoStore, metrics: IntakeMetrics) -> StaffService:
    """The use cases of a clinic's staff."""
    cached_staff = CachedStaff(RecordedStaff(store))
    return StaffService(store, cached_staff, metrics, now, create_secret, hash_secret, _remove_no_account)


async def _remove_no_account(_person_id: UUID) -> None:
    """There are no accounts yet: nobody signs in."""
