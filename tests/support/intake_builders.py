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


def clinician(**others: Any) -> Clinician:
    given = {"clinician_id": uuid4(), "clinic_id": CLINIC, "contact": "a@example.org", "time_zone": "Europe/Berlin"}
    return Clinician(**{"told_at": NOW, **given, **others})


ANNA = clinician()
BEN = clinician()
CLIENT = Client(client_id=uuid4(), clinic_id=CLINIC, case_code="AB-12")


def start(**others: Any) -> Start:
    given = {
        "clinic_id": CLINIC,
        "clinician_id": ANNA.clinician_id,
        "client_id": CLIENT.client_id,
        "case_code": CLIENT.case_code,
        "started_at": STARTED,
        "aims": ("relief", "coping"),
        "cadence_days": 7,
        "consent": True,
    }
    return Start(**{**given, **others})


def begun(
    before: Relationship | None = None,
    relationship_id: UUID = RELATIONSHIP,
    who: Clinician = ANNA,
    client: Client = CLIENT,
    **others: Any,
) -> Decided:
    return begin(before, relationship_id, start(**others), who, client, NOW)


def relationship(**others: Any) -> Relationship:
    return begun(**others)[0]
