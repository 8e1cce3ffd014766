"""Each service as it is in use: it knows relationships, sessions, links and alerts, so requests reach its rules."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
from fastapi import FastAPI

from services.alliance.app import create_app as create_alliance
from services.alliance.settings import Settings as AllianceSettings
from services.intake.app import create_app as create_intake
from services.intake.settings import Settings as IntakeSettings
from services.notify.app import create_app as create_notify
from services.notify.settings import Settings as NotifySettings
from services.sessions.app import create_app as create_sessions
from services.sessions.settings import Settings as SessionsSettings
from shared.events import Event
from shared.kafka.producer import Producer
from tests.support.builders import RelationshipBuilder
from tests.support.intake_client import IntakeClient
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import ServiceClient, run_app, wait_until
from tests.support.sessions_client import SessionsClient, ago

KnownValues = Mapping[str, Sequence[str]]
"""Values of parameters and fields that the service knows, by the name of the parameter or field."""


@dataclass(frozen=True)
class PreparedService:
    """A service that is ready to be asked."""

    url: str
    ops_url: str
    known_values: KnownValues


@dataclass(frozen=True)
class Servers:
    """What a service needs."""

    kafka: str
    mongodb: str

    def settings(self) -> dict[str, Any]:
        """The settings of a service with a database of its own; its OpenAPI document is served."""
        return {
            "kafka_bootstrap_servers": self.kafka,
            "mongodb_uri": self.mongodb,
            "mongodb_database": f"test_{uuid4().hex}",
            "api_docs": True,
        }


@asynccontextmanager
async def serve_intake(servers: Servers) -> AsyncIterator[PreparedService]:
    """One clinic with relationships between its clinicians and clients."""
    async with run_app(create_intake(IntakeSettings(**servers.settings()))) as http:
        clinic = IntakeClient(http, servers.kafka)
        await clinic.set_up()
        clinicians, clients, relationships = [clinic.clinician_id], [clinic.client_id], [clinic.relationship_id]
        for _ in range(3):
            clinicians.append(uuid4())
            (await clinic.register_clinician(clinicians[-1])).raise_for_status()
        for number in range(60):
            client, relationship = uuid4(), uuid4()
            (await clinic.add_client(client, case_code=f"C-{number}")).raise_for_status()
            (await clinic.start_relationship(relationship, client_id=str(client))).raise_for_status()
            clients.append(client)
            relationships.append(relationship)
        yield PreparedService(
            str(http.base_url),
            http.ops_url,
            {
                "clinic_id": _texts([clinic.clinic_id]),
                "clinician_id": _texts(clinicians),
                "client_id": _texts(clients),
                "relationship_id": _texts(relationships),
            },
        )


@asynccontextmanager
async def serve_sessions(servers: Servers) -> AsyncIterator[PreparedService]:
    """Appointments and completed sessions of one relationship, with links to their forms."""
    app = create_sessions(SessionsSettings(**servers.settings()))
    async with _producer(servers) as producer, run_app(app) as http:
        clinic = SessionsClient(http, producer, "")
        await clinic.start_relationship()
        appointments = [uuid4() for _ in range(80)]
        for number, appointment in enumerate(appointments):
            (await clinic.schedule(appointment, ago(24 * (60 + number)))).raise_for_status()
        for number, appointment in enumerate(appointments[:40]):
            (await clinic.complete(appointment, ago(24 * (60 + number) - 1))).raise_for_status()
        completed = [await clinic.create_completed_session(hours_ago=hours) for hours in range(1, 21)]
        yield PreparedService(
            str(http.base_url),
            http.ops_url,
            {
                "relationship_id": _texts([clinic.relationship_id]),
                "session_id": _texts([*appointments, *(session.session_id for session in completed)]),
                "token": [session.form_path("clinician").rpartition("/")[2] for session in completed],
            },
        )


@asynccontextmanager
async def serve_alliance(servers: Servers) -> AsyncIterator[PreparedService]:
    """Relationships with a rupture in their course."""
    builders = [RelationshipBuilder() for _ in range(3)]
    app = create_alliance(AllianceSettings(**servers.settings()))
    events = [event for builder in builders for event in _ruptured_history(builder)]
    async with _serve_events(servers, app, events) as http:
        for builder in builders:
            await _wait_for(http, f"/relationships/{builder.relationship_id}")
        started = [builder.started() for builder in builders]
        yield PreparedService(
            str(http.base_url),
            http.ops_url,
            {
                "relationship_id": _texts([event.relationship_id for event in started]),
                "clinic_id": _texts([event.clinic_id for event in started]),
                "clinician_id": _texts([event.clinician_id for event in started]),
            },
        )


@asynccontextmanager
async def serve_notify(servers: Servers) -> AsyncIterator[PreparedService]:
    """Alerts of two clinicians. No message is ever sent: it could go to an address that was made up."""
    builders = [RuptureBuilder(clinician_id=clinician) for clinician in (uuid4(), uuid4()) for _ in range(10)]
    app = create_notify(NotifySettings(**servers.settings(), notify_within_days=0, webhook_allow="127.0.0.1"))
    events: list[Event] = [
        event for s in builders for event in (s.registered(), s.started(), s.suspected(3), s.updated(3, 0))
    ]
    async with _serve_events(servers, app, events) as http:
        for s in builders:
            await _wait_for(http, f"/alerts/{s.alert_id()}")
        yield PreparedService(
            str(http.base_url),
            http.ops_url,
            {
                "clinician_id": _texts(list({s.clinician_id: None for s in builders})),
                "alert_id": _texts([s.alert_id() for s in builders]),
            },
        )


SERVE: Mapping[str, Callable[[Servers], AbstractAsyncContextManager[PreparedService]]] = {
    "intake": serve_intake,
    "sessions": serve_sessions,
    "alliance": serve_alliance,
    "notify": serve_notify,
}


@asynccontextmanager
async def _serve_events(servers: Servers, app: FastAPI, events: Sequence[Event]) -> AsyncIterator[ServiceClient]:
    """Serve `app`, and publish the events that it is to know."""
    async with _producer(servers) as producer, run_app(app) as http:
        await producer.publish(events)
        yield http


@asynccontextmanager
async def _producer(servers: Servers) -> AsyncIterator[Producer]:
    producer = Producer(servers.kafka, "test")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _ruptured_history(builder: RelationshipBuilder) -> list[Event]:
    ratings = [9, 9, 9, 2]
    weeks = [
        event
        for week, rating in enumerate(ratings)
        for event in (builder.completed(week), builder.feedback(week, rating))
    ]
    return [builder.started(), builder.consent_changed(-0.5, given=True), *weeks]


async def _wait_for(http: httpx2.AsyncClient, path: str) -> None:
    async def is_known() -> bool:
        return (await http.get(path)).status_code == 200

    await wait_until(is_known)


def _texts(ids: Sequence[UUID]) -> list[str]:
    return list(map(str, ids))
