"""What the requests to intake about the staff of clinics cause."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.events import LeadUpdated, StaffUpdated
from shared.events.staff import StaffEvent
from tests.system.chaos.checker.acknowledged.history import AcknowledgedHistory
from tools.sandbox.network.ledger import AcknowledgedRequest


def save_person(history: AcknowledgedHistory, clinic: str, person: str, request: AcknowledgedRequest) -> None:
    fields = {"person_id": person, "roles": request.body["roles"], "clinician_id": request.body["clinician_id"]}
    _save(history, f"person {person}", StaffUpdated, {"clinic_id": UUID(clinic), **fields}, request)


def save_lead(history: AcknowledgedHistory, clinic: str, request: AcknowledgedRequest) -> None:
    fields = {"clinic_id": UUID(clinic), "person_id": request.body["person_id"]}
    _save(history, f"lead {clinic}", LeadUpdated, fields, request)


def _save(
    history: AcknowledgedHistory,
    record: str,
    event_type: type[StaffEvent],
    fields: Mapping[str, Any],
    request: AcknowledgedRequest,
) -> None:
    """A repeated request changes nothing."""
    if history.staff_records.get(record) != fields:
        between = (history.earliest, request.acknowledged_at + history.clock_skew)
        history.expect(event_type, between=between, **fields)
        history.staff_records[record] = fields
