"""A clinic at the intake service, and short words for what its desk asks over HTTP."""

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
from tests.support.kafka_reader import told
from tests.support.serving import until

STARTED = datetime(2024, 1, 8, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def settings(kafka_servers: str, mongodb_uri: str, **overrides: Any) -> Settings:
    defaults = {"mongodb_database": f"test_{uuid4().hex}"}
    return Settings(kafka_bootstrap_servers=kafka_servers, mongodb_uri=mongodb_uri, **{**defaults, **overrides})


@dataclass
class Clinic:
    """A clinic with a clinician, a client and a relationship of its own."""

    http: httpx2.AsyncClient
    kafka_servers: str
    id: UUID = field(default_factory=uuid4)
    clinician: UUID = field(default_factory=uuid4)
    client: UUID = field(default_factory=uuid4)
    relationship: UUID = field(default_factory=uuid4)

    async def put(self, path: str, **body: Any) -> httpx2.Response:
        return await self.http.put(path, json=body)

    async def opens(self) -> httpx2.Response:
        body = {"name": "Clinic by the Lake", "time_zone": "Europe/Berlin", "crisis_contact": "030 112 112"}
        return await self.put(f"/clinics/{self.id}", **body)

    async def registers(self, clinician: UUID | None = None, **overrides: Any) -> httpx2.Response:
        body = {"clinic_id": str(self.id), "contact": "anna@example.org", "time_zone": "Europe/Berlin"}
        return await self.put(f"/clinicians/{clinician or self.clinician}", **{**body, **overrides})

    async def admits(self, client: UUID | None = None, case_code: str = "AB-12", **overrides: Any) -> httpx2.Response:
        body = {"clinic_id": str(self.id), "case_code": case_code}
        return await self.put(f"/clients/{client or self.client}", **{**body, **overrides})

    async def starts(self, relationship: UUID | None = None, **overrides: Any) -> httpx2.Response:
        body = {
            "clinic_id": str(self.id),
            "clinician_id": str(self.clinician),
            "client_id": str(self.client),
            "started_at": STARTED.isoformat(),
            "aims": ["relief", "coping"],
            "cadence_days": 7,
            "consent": True,
        }
        return await self.put(f"/relationships/{relationship or self.relationship}", **{**body, **overrides})

    async def works(self) -> None:
        """The clinic is open, with a clinician, a client and a relationship."""
        for request in (self.opens, self.registers, self.admits, self.starts):
            (await request()).raise_for_status()

    async def agrees(self, aims: Sequence[str], agreed_at: datetime) -> httpx2.Response:
        return await self.put(f"/relationships/{self.relationship}/aims", aims=aims, agreed_at=agreed_at.isoformat())

    async def consents(self, given: bool, at: datetime) -> httpx2.Response:
        return await self.put(f"/relationships/{self.relationship}/consent", given=given, at=at.isoformat())

    async def ends(self, reason: str, at: datetime) -> httpx2.Response:
        body = {"reason": reason, "at": at.isoformat()}
        return await self.http.post(f"/relationships/{self.relationship}/end", json=body)

    async def transfers(self, clinician: UUID, successor: UUID, at: datetime) -> httpx2.Response:
        body = {"clinician_id": str(clinician), "relationship_id": str(successor), "at": at.isoformat()}
        return await self.http.post(f"/relationships/{self.relationship}/transfer", json=body)

    async def sends(self, content: bytes, *, dry_run: bool | None = None) -> httpx2.Response:
        return await self.http.post(
            f"/clinics/{self.id}/caseload",
            content=content,
            params={} if dry_run is None else {"dry_run": dry_run},
            headers={"Content-Type": "text/csv; charset=utf-8"},
        )

    def row(self, number: int, **overrides: Any) -> dict[str, str]:
        """A relationship of a caseload file."""
        cells = (uuid4(), self.clinician, uuid4(), f"C-{number}", STARTED.isoformat(), "relief|coping", 7, "yes")
        return {**{name: str(cell) for name, cell in zip(COLUMNS, cells, strict=True)}, **overrides}

    async def listed(self, **query: Any) -> dict[str, Any]:
        response = await self.http.get(f"/clinics/{self.id}/relationships", params=query)
        caseload: dict[str, Any] = response.raise_for_status().json()
        return caseload

    async def told(self, key: UUID, at_least: int) -> list[Event]:
        """What others have heard of `key`, once it is as much as that."""
        events: list[Event] = []

        async def enough() -> bool:
            events[:] = await told(self.kafka_servers, INTAKE, key)
            return len(events) >= at_least

        await until(enough)
        return events


def file(rows: Sequence[dict[str, str]], delimiter: str = ",") -> bytes:
    return "\r\n".join(delimiter.join(cells) for cells in (COLUMNS, *(row.values() for row in rows))).encode()


def problem(answer: httpx2.Response, status: int) -> str:
    """The kind of problem that was answered."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem_type: str = answer.json()["type"]
    return problem_type.removeprefix("urn:attune:problem:")
