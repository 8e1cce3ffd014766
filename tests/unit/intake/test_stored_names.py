"""Stored documents keep their field names, whatever the code calls the fields."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.intake.domain.people import Clinician
from services.intake.store.stored_names import STORED_NAMES
from shared.outbox.documents import Documents

STORED_CLINICIAN = {
    "clinician_id": UUID(int=1),
    "clinic_id": UUID(int=2),
    "contact": "anna@example.org",
    "time_zone": "Europe/Berlin",
    "updates": 3,
    "told_at": datetime(2026, 3, 2, 9, tzinfo=UTC),
}
"""As databases hold it."""


def test_a_stored_clinician_is_loaded_and_written_with_the_same_field_names() -> None:
    unused: Any = None
    clinicians = Documents(unused, Clinician, unused, unused, STORED_NAMES)

    clinician = clinicians.parse({"_id": UUID(int=1), "v": 4, **STORED_CLINICIAN})

    assert clinician.last_event_at == STORED_CLINICIAN["told_at"]
    assert clinicians.dump(clinician) == STORED_CLINICIAN
