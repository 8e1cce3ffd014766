"""What the requests to intake cause: clinics, clinicians, clients, relationships, their aims and consents."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.events import (
    ClinicianRegistered,
    ClinicianUpdated,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
)
from tests.system.chaos.checker.acknowledged.history import AcknowledgedHistory, AcknowledgedRelationship
from tests.system.chaos.checker.acknowledged.times import parse_datetime
from tools.sandbox.network.ledger import AcknowledgedRequest

ONE_YEAR = timedelta(days=365)
"""A clinic that an older version stored without an event is published when a newer one starts, whenever that is."""


def save_clinic(history: AcknowledgedHistory, clinic: str, request: AcknowledgedRequest) -> None:
    clinic_id, fields = UUID(clinic), dict(request.body)
    if fields != history.clinics.get(clinic_id):
        history.expect(
            ClinicUpdated, between=(history.earliest, request.acknowledged_at + ONE_YEAR), clinic_id=clinic_id, **fields
        )
        history.clinics[clinic_id] = fields


def register_clinician(history: AcknowledgedHistory, clinician: str, request: AcknowledgedRequest) -> None:
    clinician_id, registration = UUID(clinician), (request.body["clinic_id"], request.body["time_zone"])
    if registration != history.clinicians.get(clinician_id):
        event_type = ClinicianUpdated if clinician_id in history.clinicians else ClinicianRegistered
        recorded_between = (history.earliest, request.acknowledged_at + history.clock_skew)
        history.expect(
            event_type,
            between=recorded_between,
            clinician_id=clinician_id,
            clinic_id=registration[0],
            time_zone=registration[1],
        )
        history.clinicians[clinician_id] = registration


def add_client(history: AcknowledgedHistory, client: str, request: AcknowledgedRequest) -> None:
    history.case_codes[UUID(client)] = request.body["case_code"]


def start_relationship(history: AcknowledgedHistory, relationship: str, request: AcknowledgedRequest) -> None:
    body = request.body
    start_fields = {name: body[name] for name in ("clinic_id", "clinician_id", "client_id", "cadence_days")}
    start_fields["case_code"] = history.case_codes[UUID(body["client_id"])]
    _start_relationship(
        history,
        UUID(relationship),
        start_fields,
        parse_datetime(body["started_at"]),
        tuple(body["aims"]),
        body["consent"],
    )


def _start_relationship(
    history: AcknowledgedHistory,
    relationship_id: UUID,
    start_fields: Mapping[str, Any],
    started_at: datetime,
    aims: tuple[str, ...],
    consent: bool,
) -> None:
    if relationship_id in history.relationships:
        return
    history.relationships[relationship_id] = AcknowledgedRelationship(start_fields, [(started_at, aims)])
    history.expect(
        RelationshipStarted, occurred_at=started_at, relationship_id=relationship_id, aims=aims, **start_fields
    )
    if consent:
        _change_consent(history, relationship_id, started_at, given=True)


def update_aims(history: AcknowledgedHistory, relationship: str, request: AcknowledgedRequest) -> None:
    relationship_id, agreement = (
        UUID(relationship),
        (parse_datetime(request.body["agreed_at"]), tuple(request.body["aims"])),
    )
    if agreement not in history.relationships[relationship_id].aims_history:
        history.relationships[relationship_id].aims_history.append(agreement)
        history.expect(
            RelationshipAimsUpdated, occurred_at=agreement[0], relationship_id=relationship_id, aims=agreement[1]
        )


def change_consent(history: AcknowledgedHistory, relationship: str, request: AcknowledgedRequest) -> None:
    relationship_id, changed_at, given = (
        UUID(relationship),
        parse_datetime(request.body["at"]),
        request.body["given"],
    )
    if history.relationships[relationship_id].has_consent_at(changed_at) != given:
        _change_consent(history, relationship_id, changed_at, given=given)


def _change_consent(history: AcknowledgedHistory, relationship_id: UUID, changed_at: datetime, *, given: bool) -> None:
    history.relationships[relationship_id].consent_changes.append((changed_at, given))
    history.expect(ConsentGiven if given else ConsentWithdrawn, occurred_at=changed_at, relationship_id=relationship_id)


def end_relationship(history: AcknowledgedHistory, relationship: str, request: AcknowledgedRequest) -> None:
    _end_relationship(
        history, UUID(relationship), occurred_at=parse_datetime(request.body["at"]), reason=request.body["reason"]
    )


def transfer_relationship(history: AcknowledgedHistory, relationship: str, request: AcknowledgedRequest) -> None:
    old_id, new_id, transferred_at = (
        UUID(relationship),
        UUID(request.body["relationship_id"]),
        parse_datetime(request.body["at"]),
    )
    _end_relationship(history, old_id, occurred_at=transferred_at, reason="transferred", successor_id=new_id)
    predecessor = history.relationships[old_id]
    start_fields = {
        **predecessor.start_fields,
        "clinician_id": request.body["clinician_id"],
        "predecessor_id": old_id,
    }
    consent = bool(predecessor.consent_changes) and predecessor.consent_changes[-1][1]
    _start_relationship(history, new_id, start_fields, transferred_at, predecessor.aims_history[-1][1], consent)


def _end_relationship(history: AcknowledgedHistory, relationship_id: UUID, **fields: Any) -> None:
    if not history.relationships[relationship_id].has_ended:
        history.relationships[relationship_id].has_ended = True
        history.expect(RelationshipEnded, relationship_id=relationship_id, **fields)
