"""A clinic at the sessions service: what it knows of relationships, and what it asks over HTTP."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx2

from services.sessions.app import create_app
from services.sessions.settings import Settings
from shared.events import ConsentGiven, Event
from shared.kafka.producer import Producer
from tests.support.builders import Told
from tests.support.serving import served, until

HOUR = timedelta(hours=1)


def settings(kafka_servers: str, mongodb_uri: str, **overrides: Any) -> Settings:
    defaults = {"mongodb_database": f"test_{uuid4().hex}", "lapse_check_seconds": 0.05, "lapse_grace_seconds": 0}
    return Settings(kafka_bootstrap_servers=kafka_servers, mongodb_uri=mongodb_uri, **{**defaults, **overrides})


def ago(hours: float = 0) -> datetime:
    """So many hours ago, as fine as the service keeps it."""
    moment = datetime.now(UTC) - timedelta(hours=hours)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@dataclass
class Clinic:
    """One relationship at a service, and short words for the requests about it."""

    http: httpx2.AsyncClient
    kafka: Producer
    database: str
    told: Told = field(default_factory=lambda: Told(beginning=ago(24 * 300)))

    @property
    def relationship(self) -> UUID:
        return self.told.relationship

    async def tell(self, *events: Event) -> None:
        await self.kafka.tell(events)

    async def begins(self, consent: bool = True) -> None:
        """The relationship starts, and the service has heard of it and of the consent."""
        consent_given = ConsentGiven(id=uuid4(), occurred_at=ago(24 * 300), relationship_id=self.relationship)
        await self.tell(*([consent_given] if consent else []), self.told.started())
        await until(self._is_known)

    async def _is_known(self) -> bool:
        return (await self.schedule(uuid4(), ago(-48))).status_code == 200

    async def schedule(self, session: UUID, starts_at: datetime, minutes: int = 50) -> httpx2.Response:
        body = {"relationship_id": str(self.relationship), "starts_at": starts_at.isoformat(), "minutes": minutes}
        return await self.http.put(f"/sessions/{session}", json=body)

    async def complete(self, session: UUID, ended_at: datetime, minutes: int = 50) -> httpx2.Response:
        body = {"ended_at": ended_at.isoformat(), "minutes": minutes}
        return await self.http.post(f"/sessions/{session}/completion", json=body)

    async def held(self, hours_ago: float = 1.0) -> "Held":
        """A session that was held, with the links that were given out for it."""
        session_id, ended_at = uuid4(), ago(hours_ago)
        (await self.schedule(session_id, ended_at - HOUR)).raise_for_status()
        forms = (await self.complete(session_id, ended_at)).raise_for_status().json()
        return Held(session_id, ended_at, forms)

    async def answer(
        self, session: UUID, rater: Literal["client", "clinician"], given_at: datetime, **answer: Any
    ) -> httpx2.Response:
        body = {"given_at": given_at.isoformat(), **answer}
        return await self.http.put(f"/sessions/{session}/feedback/{rater}", json=body)

    async def status(self, session: UUID, rater: Literal["client", "clinician"]) -> str | None:
        body = (await self.http.get(f"/sessions/{session}")).raise_for_status().json()
        status: str | None = body["feedback"].get(rater, {}).get("status")
        return status


@dataclass(frozen=True)
class Held:
    """A session that was held."""

    session: UUID
    ended_at: datetime
    forms: dict[str, Any]

    def path(self, rater: Literal["client", "clinician"]) -> str:
        """The path of the form, as the browser asks for it."""
        url: str = self.forms[f"{rater}_form"]["url"]
        return url.removeprefix("http://127.0.0.1:8002")


@asynccontextmanager
async def open_clinic(chosen: Settings) -> AsyncIterator[Clinic]:
    """A service with settings of our choice, and one clinic at it."""
    producer = Producer(chosen.kafka_bootstrap_servers, f"test-{os.getpid()}")
    await producer.start()
    try:
        async with served(create_app(chosen)) as http:
            yield Clinic(http, producer, chosen.mongodb_database)
    finally:
        await producer.stop()
