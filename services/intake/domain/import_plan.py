"""Plan a caseload import: rows and existing records give the documents and events to write, or all errors.

An import only adds. A row that is already known changes nothing, and a row that contradicts existing records is an
error.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain, islice
from uuid import UUID

from services.intake.domain import people, relationships
from services.intake.domain.case_codes import choose_case_codes
from services.intake.domain.caseload_csv import Row, RowError
from services.intake.domain.people import CaseCodeAssignment, Client, Clinician
from services.intake.domain.relationship import (
    Relationship,
    Start,
)
from shared.errors import IdTaken, Rejected
from shared.events import CaseCode, Event, UtcDatetime

COLUMN_OF_REJECTION = {
    "row-repeated": "relationship_id",
    "started-otherwise": "relationship_id",
    "already-together": "relationship_id",
    "unknown-clinician": "clinician_id",
    "relationship-id-taken": "relationship_id",
    "client-id-taken": "client_id",
    "other-case-code": "case_code",
    "case-code-taken": "case_code",
    "case-code-identifies": "case_code",
    "no-free-case-code": "case_code",
    "in-the-future": "started_at",
}
"""The column that each rejection code concerns."""

CASE_CODE_CHOICES = 5
"""For a row without a code: at a clinic of 50,000 clients, one row in ten billion finds all of them taken."""
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
    ids_of_other_clinics: Collection[UUID] = frozenset()
    """Of the clients and relationships: those under which another clinic holds a record."""


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


def possible_case_codes(row: Row) -> Sequence[CaseCode]:
    """The code in the row, or those from which one is chosen for a new client, the first choice first."""
    return [row.case_code] if row.case_code else list(islice(choose_case_codes(row.client_id), CASE_CODE_CHOICES))


def case_code_ids(clinic_id: UUID, rows: Iterable[Row]) -> set[UUID]:
    """The ids of the documents that assign the codes which the rows may need."""
    return {CaseCodeAssignment.document_id(clinic_id, code) for row in rows for code in possible_case_codes(row)}


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
    _reject_ids_of_other_clinics(row, existing)
    client_before = existing.clients.get(row.client_id) or plan.clients.get(row.client_id)
    client, case_code = _decide_client(clinic_id, row, client_before, existing, plan)
    before = existing.relationships.get(row.relationship_id)
    start = _make_start(client, row, before)
    clinician = existing.clinicians.get(row.clinician_id)
    open_relationships = [records.open_relationships.get(row.client_id, ()) for records in (existing, plan)]
    relationship, events = relationships.start_relationship(
        before, row.relationship_id, start, clinician, client, now, chain.from_iterable(open_relationships)
    )
    if client_before is None:
        plan.clients[row.client_id] = client
        plan.case_codes[CaseCodeAssignment.document_id(clinic_id, client.case_code)] = case_code
    if before is None:
        plan.relationships[row.relationship_id] = relationship, events
        plan.open_relationships.setdefault(row.client_id, []).append(relationship)


def _decide_client(
    clinic_id: UUID, row: Row, before: Client | None, existing: ExistingRecords, plan: ImportPlan
) -> tuple[Client, CaseCodeAssignment]:
    """The client of a row. Without a code in the row, a known client keeps the code, and a new one gets a free one."""
    case_code = row.case_code or (before.case_code if before else _choose_case_code(clinic_id, row, existing, plan))
    requested = Client(client_id=row.client_id, clinic_id=clinic_id, case_code=case_code)
    client, _ = people.add_client(before, requested)
    case_code_id = CaseCodeAssignment.document_id(clinic_id, case_code)
    assignment_before = existing.case_codes.get(case_code_id) or plan.case_codes.get(case_code_id)
    assignment, _ = people.assign_case_code(assignment_before, CaseCodeAssignment(**requested.model_dump()))
    return client, assignment


def _choose_case_code(clinic_id: UUID, row: Row, existing: ExistingRecords, plan: ImportPlan) -> CaseCode:
    for case_code in possible_case_codes(row):
        case_code_id = CaseCodeAssignment.document_id(clinic_id, case_code)
        if case_code_id not in existing.case_codes and case_code_id not in plan.case_codes:
            return case_code
    raise Rejected("no-free-case-code", "is empty, and Attune found no code that is free: choose one")


def _make_start(client: Client, row: Row, before: Relationship | None) -> Start:
    """The start in a row. A day is the same day even if the clinic's time zone was another one when it was stored."""
    fields = row.model_dump(exclude={"number", "relationship_id", "client_id", "case_code", "start_day"})
    start = Start(**client.model_dump(), **fields)
    if before is None or row.start_day is None or not _is_midnight_of(row.start_day, before.start.started_at):
        return start
    return start.model_copy(update={"started_at": before.start.started_at})


def _is_midnight_of(day: date, moment: datetime) -> bool:
    """Whether `day` begins at `moment` in some time zone."""
    since_midnight_utc = moment - datetime.combine(day, time(), UTC)
    return FIRST_MIDNIGHT <= since_midnight_utc <= LAST_MIDNIGHT and not since_midnight_utc % OFFSET_STEP


def _reject_ids_of_other_clinics(row: Row, existing: ExistingRecords) -> None:
    for resource, record_id in (("relationship", row.relationship_id), ("client", row.client_id)):
        if record_id in existing.ids_of_other_clinics:
            raise Rejected(f"{resource}-id-taken", str(IdTaken()))
