"""A client of the sessions service for one relationship, with a method for each request."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2

from services.sessions.app import create_app
from services.sessions.settings import Settings
from shared.events import ClinicUpdated, ConsentGiven, Event, Rater
from shared.kafka.producer import Producer
from tests.support.builders import RelationshipBuilder
from tests.support.serving import run_app, wait_until

HOUR = timedelta(hours=1)
PUBLIC_URL = "http://127.0.0.1:8002"
"""The default of the setting: where links to forms lead."""


def make_settings(kafka_servers: str, mongodb_uri: str, **overrides: Any) -> Settings:
    defaults = {"mongodb_database": f"test_{uuid4().hex}", "lapse_check_seconds": 0.05, "lapse_grace_seconds": 0}
    return Settings(kafka_bootstrap_servers=kafka_servers, mongodb_uri=mongodb_uri, **{**defaults, **overrides})


def ago(hours: float = 0) -> datetime:
    """So many hours ago, in the precision of the service."""
    moment = datetime.now(UTC) - timedelta(hours=hours)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass
class SessionsClient:
    """Publishes the events of one relationship, and sends the requests about it."""

    http: httpx2.AsyncClient
    producer: Producer
    database: str
    builder: RelationshipBuilder = field(default_factory=lambda: RelationshipBuilder(first_session_at=ago(24 * 300)))

    @property
    def relationship_id(self) -> UUID:
        return self.builder.relationship_id

    async def publish(self, *events: Event) -> None:
        await self.producer.publish(events)

    async def publish_clinic(self, **fields: Any) -> None:
        """Publish the clinic of the relationship, as intake does."""
        clinic_id = self.builder.started().clinic_id
        await self.publish(
            ClinicUpdated(id=uuid4(), occurred_at=ago(), clinic_id=clinic_id, time_zone="Europe/Berlin", **fields)
        )

    async def start_relationship(self, consent: bool = True) -> None:
        """Publish the start and the consent, and wait until the service knows the relationship."""
        consent_given = ConsentGiven(id=uuid4(), occurred_at=ago(24 * 300), relationship_id=self.relationship_id)
        await self.publish(*([consent_given] if consent else []), self.builder.started())
        await wait_until(self._is_known)

    async def _is_known(self) -> bool:
        return (await self.schedule(uuid4(), ago(-48))).status_code == 200

    async def schedule(self, session_id: UUID, starts_at: datetime, minutes: int = 50) -> httpx2.Response:
        body = {"relationship_id": str(self.relationship_id), "starts_at": starts_at.isoformat(), "minutes": minutes}
        return await self.http.put(f"/sessions/{session_id}", json=body)

    async def complete(self, session_id: UUID, ended_at: datetime, minutes: int = 50) -> httpx2.Response:
        body = {"ended_at": ended_at.isoformat(), "minutes": minutes}
        return await self.http.post(f"/sessions/{session_id}/completion", json=body)

    async def request_client_link(self, session_id: UUID) -> httpx2.Response:
        return await self.http.post(f"/sessions/{session_id}/client-link", json={})

    async def client_form_path(self, session_id: UUID) -> str:
        """The path of a new link to the client's form."""
        return self.path_of((await self.request_client_link(session_id)).raise_for_status().json()["url"])

    @staticmethod
    def path_of(url: str) -> str:
        """The path of a form, as a browser requests it."""
        return url.removeprefix(PUBLIC_URL)

    @staticmethod
    def form_paths(text: str) -> list[str]:
        """The paths of all links to forms in a text."""
        return [path.removeprefix(PUBLIC_URL) for path in re.findall(rf"{PUBLIC_URL}/f/[\w-]+", text)]

    async def create_completed_session(self, hours_ago: float = 1.0) -> "CompletedSession":
        """Complete a session, and get the client's link if the client is asked."""
        session_id, ended_at = uuid4(), ago(hours_ago)
        (await self.schedule(session_id, ended_at - HOUR)).raise_for_status()
        completion = (await self.complete(session_id, ended_at)).raise_for_status().json()
        paths: dict[Rater, str] = {"clinician": self.path_of(completion["clinician_form"]["url"])}
        if "client" in completion["feedback"]:
            paths["client"] = await self.client_form_path(session_id)
        return CompletedSession(session_id, ended_at, completion, paths)

    async def submit_answer(self, session_id: UUID, rater: Rater, given_at: datetime, **answer: Any) -> httpx2.Response:
        body = {"given_at": given_at.isoformat(), **answer}
        return await self.http.put(f"/sessions/{session_id}/feedback/{rater}", json=body)

    async def feedback_status(self, session_id: UUID, rater: Rater) -> str | None:
        body = (await self.http.get(f"/sessions/{session_id}")).raise_for_status().json()
        status: str | None = body["feedback"].get(rater, {}).get("status")
        return status


@dataclass(frozen=True)
class CompletedSession:
    """A completed session."""

    session_id: UUID
    ended_at: datetime
    completion: dict[str, Any]
    paths: dict[Rater, str]

    def form_path(self, rater: Rater) -> str:
        """The path of the first link to the form of a rater."""
        return self.paths[rater]


@asynccontextmanager
async def serve_clinic(settings: Settings) -> AsyncIterator[SessionsClient]:
    """Serve the sessions service with these settings; yields a client for it."""
    producer = Producer(settings.kafka_bootstrap_servers, f"test-{os.getpid()}")
    await producer.start()
    try:
        async with run_app(create_app(settings)) as http:
            yield SessionsClient(http, producer, settings.mongodb_database)
    finally:
        await producer.stop()


def problem_of(response: httpx2.Response) -> tuple[int, str]:
    """The status and the short name of the problem of a rejected request."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json()["type"].removeprefix("urn:attune:problem:")
