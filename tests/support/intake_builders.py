"""People and a relationship to begin with."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from services.intake.domain.people import Client, Clinician
from services.intake.domain.relationships import Decided, Relationship, Start, begin

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
STARTED = datetime(2026, 1, 5, 10, tzinfo=UTC)
DAY = timedelta(days=1)
CLINIC = uuid4()
RELATIONSHIP = uuid4()


def clinician(**overrides: Any) -> Clinician:
    defaults = {"clinician_id": uuid4(), "clinic_id": CLINIC, "contact": "a@example.org", "time_zone": "Europe/Berlin"}
    return Clinician(**{"told_at": NOW, **defaults, **overrides})


ANNA = clinician()
BEN = clinician()
CLIENT = Client(client_id=uuid4(), clinic_id=CLINIC, case_code="AB-12")


def start(**overrides: Any) -> Start:
    defaults = {
        "clinic_id": CLINIC,
        "clinician_id": ANNA.clinician_id,
        "client_id": CLIENT.client_id,
        "case_code": CLIENT.case_code,
        "started_at": STARTED,
        "aims": ("relief", "coping"),
        "cadence_days": 7,
        "consent": True,
    }
    return Start(**{**defaults, **overrides})


def begun(
    before: Relationship | None = None,
    relationship_id: UUID = RELATIONSHIP,
    who: Clinician = ANNA,
    client: Client = CLIENT,
    **overrides: Any,
) -> Decided:
    return begin(before, relationship_id, start(**overrides), who, client, NOW)


def relationship(**overrides: Any) -> Relationship:
    return begun(**overrides)[0]
