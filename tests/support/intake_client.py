"""A client of the intake service for one clinic, with a method for each request."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2

from services.intake.domain.caseload_csv import COLUMNS
from services.intake.settings import Settings
from shared.events import Event
from shared.events.topics import INTAKE
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until

STARTED_AT = datetime(2024, 1, 8, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def make_settings(kafka_servers: str, mongodb_uri: str, **overrides: Any) -> Settings:
    defaults = {"mongodb_database": f"test_{uuid4().hex}"}
    return Settings(kafka_bootstrap_servers=kafka_servers, mongodb_uri=mongodb_uri, **{**defaults, **overrides})


@dataclass
class IntakeClient:
    """Sends the requests of one clinic with a clinician, a client and a relationship."""

    http: httpx2.AsyncClient
    kafka_servers: str
    clinic_id: UUID = field(default_factory=uuid4)
    clinician_id: UUID = field(default_factory=uuid4)
    client_id: UUID = field(default_factory=uuid4)
    relationship_id: UUID = field(default_factory=uuid4)

    async def put(self, path: str, **body: Any) -> httpx2.Response:
        return await self.http.put(path, json=body)

    async def save_clinic(self, **overrides: Any) -> httpx2.Response:
        body = {"name": "Clinic by the Lake", "time_zone": "Europe/Berlin", "crisis_contact": "030 112 112"}
        return await self.put(f"/clinics/{self.clinic_id}", **{**body, **overrides})

    async def register_clinician(self, clinician_id: UUID | None = None, **overrides: Any) -> httpx2.Response:
        body = {"clinic_id": str(self.clinic_id), "contact": "anna@example.org", "time_zone": "Europe/Berlin"}
        return await self.put(f"/clinicians/{clinician_id or self.clinician_id}", **{**body, **overrides})

    async def add_client(
        self, client_id: UUID | None = None, case_code: str | None = "AB-12", **overrides: Any
    ) -> httpx2.Response:
        body = {"clinic_id": str(self.clinic_id), "case_code": case_code}
        return await self.put(f"/clients/{client_id or self.client_id}", **{**body, **overrides})

    async def start_relationship(self, relationship_id: UUID | None = None, **overrides: Any) -> httpx2.Response:
        body = {
            "clinic_id": str(self.clinic_id),
            "clinician_id": str(self.clinician_id),
            "client_id": str(self.client_id),
            "started_at": STARTED_AT.isoformat(),
            "aims": ["relief", "coping"],
            "cadence_days": 7,
            "consent": True,
        }
        return await self.put(f"/relationships/{relationship_id or self.relationship_id}", **{**body, **overrides})

    async def set_up(self) -> None:
        """Create the clinic, the clinician, the client and the relationship."""
        for request in (self.save_clinic, self.register_clinician, self.add_client, self.start_relationship):
            (await request()).raise_for_status()

    async def update_aims(self, aims: Sequence[str], agreed_at: datetime) -> httpx2.Response:
        return await self.put(f"/relationships/{self.relationship_id}/aims", aims=aims, agreed_at=agreed_at.isoformat())

    async def change_consent(self, given: bool, at: datetime) -> httpx2.Response:
        return await self.put(f"/relationships/{self.relationship_id}/consent", given=given, at=at.isoformat())

    async def end_relationship(self, reason: str, at: datetime) -> httpx2.Response:
        body = {"reason": reason, "at": at.isoformat()}
        return await self.http.post(f"/relationships/{self.relationship_id}/end", json=body)

    async def transfer_relationship(self, clinician_id: UUID, successor_id: UUID, at: datetime) -> httpx2.Response:
        body = {"clinician_id": str(clinician_id), "relationship_id": str(successor_id), "at": at.isoformat()}
        return await self.http.post(f"/relationships/{self.relationship_id}/transfer", json=body)

    async def import_caseload(self, content: bytes, *, dry_run: bool | None = None) -> httpx2.Response:
        return await self.http.post(
            f"/clinics/{self.clinic_id}/caseload",
            content=content,
            params={} if dry_run is None else {"dry_run": dry_run},
            headers={"Content-Type": "text/csv; charset=utf-8"},
        )

    def make_row(self, number: int, **overrides: Any) -> dict[str, str]:
        """A row of a caseload file: one relationship."""
        cells = (uuid4(), self.clinician_id, uuid4(), f"C-{number}", STARTED_AT.isoformat(), "relief|coping", 7, "yes")
        return {**{name: str(cell) for name, cell in zip(COLUMNS, cells, strict=True)}, **overrides}

    async def list_relationships(self, **query: Any) -> dict[str, Any]:
        response = await self.http.get(f"/clinics/{self.clinic_id}/relationships", params=query)
        caseload: dict[str, Any] = response.raise_for_status().json()
        return caseload

    async def wait_for_events(self, key: UUID, at_least: int) -> list[Event]:
        """The events about `key`, as soon as there are `at_least` so many."""
        events: list[Event] = []

        async def has_enough() -> bool:
            events[:] = await read_events(self.kafka_servers, INTAKE, key)
            return len(events) >= at_least

        await wait_until(has_enough)
        return events


def make_csv(rows: Sequence[dict[str, str]], delimiter: str = ",") -> bytes:
    return "\r\n".join(delimiter.join(cells) for cells in (COLUMNS, *(row.values() for row in rows))).encode()


def problem_code(response: httpx2.Response, status: int) -> str:
    """The code of the problem in the response."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem_type: str = response.json()["type"]
    return problem_type.removeprefix("urn:attune:problem:")


def row_errors(response: httpx2.Response) -> list[str]:
    """Where the errors of a rejected caseload file are."""
    assert problem_code(response, 422) == "caseload-not-valid"
    return [error["pointer"] for error in response.json()["errors"]]
