"""Builds clinicians, clients and relationships of intake."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from services.intake.domain.people import Client, Clinician
from services.intake.domain.relationship import (
    Relationship,
    Start,
)
from services.intake.domain.relationships import (
    Decision,
    start_relationship,
)
from shared.access.clinic_id import ClinicId

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
STARTED = datetime(2026, 1, 5, 10, tzinfo=UTC)
DAY = timedelta(days=1)
CLINIC = ClinicId(uuid4())
OTHER_CLINIC = ClinicId(uuid4())
RELATIONSHIP = uuid4()


def make_clinician(**overrides: Any) -> Clinician:
    defaults = {"clinician_id": uuid4(), "clinic_id": CLINIC, "contact": "a@example.org", "time_zone": "Europe/Berlin"}
    return Clinician(**{"last_event_at": NOW, **defaults, **overrides})


ANNA = make_clinician()
BEN = make_clinician()
CLIENT = Client(client_id=uuid4(), clinic_id=CLINIC, case_code="AB-12")


def make_start(**overrides: Any) -> Start:
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


def decide_start(
    before: Relationship | None = None,
    relationship_id: UUID = RELATIONSHIP,
    clinician: Clinician | None = ANNA,
    client: Client = CLIENT,
    **overrides: Any,
) -> Decision:
    return start_relationship(before, relationship_id, make_start(**overrides), clinician, client, NOW)


def make_relationship(**overrides: Any) -> Relationship:
    return decide_start(**overrides)[0]
