"""Plan a caseload import: rows and existing records give the documents and events to write, or all errors.

An import only adds. A row that is already known changes nothing, and a row that contradicts existing records is an
error.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from uuid import UUID

from services.intake.domain import people, relationships
from services.intake.domain.caseload_csv import Row, RowError
from services.intake.domain.people import CaseCodeAssignment, Client, Clinician
from services.intake.domain.relationship import (
    Relationship,
    Start,
)
from shared.errors import NotFound, Rejected
from shared.events import Event, UtcDatetime

COLUMN_OF_REJECTION = {
    "row-repeated": "relationship_id",
    "started-otherwise": "relationship_id",
    "already-together": "relationship_id",
    "unknown-clinician": "clinician_id",
    "clinician-of-another-clinic": "clinician_id",
    "client-of-another-clinic": "client_id",
    "other-case-code": "case_code",
    "case-code-taken": "case_code",
    "case-code-identifies": "case_code",
    "in-the-future": "started_at",
}
"""The column that each rejection code concerns."""

FIRST_MIDNIGHT, LAST_MIDNIGHT = timedelta(hours=-14), timedelta(hours=12)
"""When a day begins, first in UTC+14 and last in UTC-12, counted from its beginning in UTC."""
OFFSET_STEP = timedelta(minutes=15)
"""All time zones differ from UTC by a multiple of this."""


@dataclass(frozen=True)
class ExistingRecords:
    """The stored records that a file refers to."""

    clinicians: Mapping[UUID, Clinician] = field(default_factory=dict)
    clients: Mapping[UUID, Client] = field(default_factory=dict)
    case_codes: Mapping[UUID, CaseCodeAssignment] = field(default_factory=dict)
    relationships: Mapping[UUID, Relationship] = field(default_factory=dict)
    open_relationships: Mapping[UUID, Sequence[Relationship]] = field(default_factory=dict)
    """The relationships that have not ended, by client."""


@dataclass(frozen=True)
class ImportPlan:
    """What a file adds, and its errors. The whole plan is written, and only if there are no errors."""

    clients: dict[UUID, Client] = field(default_factory=dict)
    case_codes: dict[UUID, CaseCodeAssignment] = field(default_factory=dict)
    relationships: dict[UUID, tuple[Relationship, Sequence[Event]]] = field(default_factory=dict)
    errors: list[RowError] = field(default_factory=list)
    open_relationships: dict[UUID, list[Relationship]] = field(default_factory=dict, compare=False, repr=False)
    """The same relationships, by client."""

    @property
    def events(self) -> list[Event]:
        """The events of all relationships that the file adds."""
        return [event for _, events in self.relationships.values() for event in events]

    def contradicts(self, open_relationships: Iterable[Relationship]) -> bool:
        """Whether a client and a clinician of the plan already work together in one of `open_relationships`."""
        pairs = {(r.start.client_id, r.start.clinician_id) for r, _ in self.relationships.values()}
        return any((r.start.client_id, r.start.clinician_id) in pairs for r in open_relationships)


def group_by_client(relationships: Iterable[Relationship]) -> dict[UUID, list[Relationship]]:
    """The relationships of each client."""
    grouped: dict[UUID, list[Relationship]] = {}
    for relationship in relationships:
        grouped.setdefault(relationship.start.client_id, []).append(relationship)
    return grouped


def plan_import(clinic_id: UUID, rows: Sequence[Row], existing: ExistingRecords, now: UtcDatetime) -> ImportPlan:
    """Decide on every row as if the rows above it were already written."""
    plan = ImportPlan()
    first_row_of: dict[UUID, int] = {}
    for row in rows:
        first_row = first_row_of.setdefault(row.relationship_id, row.number)
        try:
            if first_row != row.number:
                raise Rejected("row-repeated", f"repeats row {first_row}")
            _plan_row(clinic_id, row, existing, plan, now)
        except Rejected as error:
            plan.errors.append(RowError(row.number, COLUMN_OF_REJECTION.get(error.code), str(error)))
    return plan


def _plan_row(clinic_id: UUID, row: Row, existing: ExistingRecords, plan: ImportPlan, now: UtcDatetime) -> None:
    case_code_id = CaseCodeAssignment.document_id(clinic_id, row.case_code)
    client_before = existing.clients.get(row.client_id) or plan.clients.get(row.client_id)
    case_code_before = existing.case_codes.get(case_code_id) or plan.case_codes.get(case_code_id)
    requested = Client(client_id=row.client_id, clinic_id=clinic_id, case_code=row.case_code)
    client, _ = people.add_client(client_before, requested)
    case_code, _ = people.assign_case_code(case_code_before, CaseCodeAssignment(**requested.model_dump()))
    before = existing.relationships.get(row.relationship_id)
    start = _make_start(clinic_id, row, before)
    clinician = _require_clinician(row, existing)
    open_relationships = [records.open_relationships.get(row.client_id, ()) for records in (existing, plan)]
    relationship, events = relationships.start_relationship(
        before, row.relationship_id, start, clinician, client, now, chain.from_iterable(open_relationships)
    )
    if client_before is None:
        plan.clients[row.client_id] = client
    if case_code_before is None:
        plan.case_codes[case_code_id] = case_code
    if before is None:
        plan.relationships[row.relationship_id] = relationship, events
        plan.open_relationships.setdefault(row.client_id, []).append(relationship)


def _make_start(clinic_id: UUID, row: Row, before: Relationship | None) -> Start:
    """The start in a row. A day is the same day even if the clinic's time zone was another one when it was stored."""
    start = Start(clinic_id=clinic_id, **row.model_dump(exclude={"number", "relationship_id", "start_day"}))
    if before is None or row.start_day is None or not _is_midnight_of(row.start_day, before.start.started_at):
        return start
    return start.model_copy(update={"started_at": before.start.started_at})


def _is_midnight_of(day: date, moment: datetime) -> bool:
    """Whether `day` begins at `moment` in some time zone."""
    since_midnight_utc = moment - datetime.combine(day, time(), UTC)
    return FIRST_MIDNIGHT <= since_midnight_utc <= LAST_MIDNIGHT and not since_midnight_utc % OFFSET_STEP


def _require_clinician(row: Row, existing: ExistingRecords) -> Clinician:
    if row.clinician_id not in existing.clinicians:
        raise NotFound(
            "unknown-clinician",
            f"Clinician {row.clinician_id} is not known here; register them first: PUT /clinicians/{row.clinician_id}.",
        )
    return existing.clinicians[row.clinician_id]
