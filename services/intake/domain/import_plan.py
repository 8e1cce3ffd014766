"""What a caseload file would change: rows and what is known give what is to be written, or all that stands against it.

A file only ever adds: a row that is known already changes nothing, and one that contradicts what is known is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.intake.domain import people, relationships
from services.intake.domain.caseload_csv import Row, Wrong
from services.intake.domain.people import Client, Clinician, TakenCode
from services.intake.domain.relationships import Relationship, Start
from shared.errors import Refused, Unknown
from shared.events import Event, Moment

COLUMN_OF = {
    "row-repeated": "relationship_id",
    "started-otherwise": "relationship_id",
    "unknown-clinician": "clinician_id",
    "clinician-of-another-clinic": "clinician_id",
    "client-of-another-clinic": "client_id",
    "other-case-code": "case_code",
    "case-code-taken": "case_code",
    "in-the-future": "started_at",
}
"""The cell that each kind of refusal is about."""


@dataclass(frozen=True)
class Known:
    """What is known already of those whom a file names."""

    clinicians: Mapping[UUID, Clinician] = field(default_factory=dict)
    clients: Mapping[UUID, Client] = field(default_factory=dict)
    codes: Mapping[UUID, TakenCode] = field(default_factory=dict)
    relationships: Mapping[UUID, Relationship] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a file adds, and what is wrong in it; it is written whole, and only when nothing is wrong."""

    clients: dict[UUID, Client] = field(default_factory=dict)
    codes: dict[UUID, TakenCode] = field(default_factory=dict)
    relationships: dict[UUID, tuple[Relationship, Sequence[Event]]] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        """All that follows."""
        return [event for _, events in self.relationships.values() for event in events]


def plan(clinic_id: UUID, rows: Sequence[Row], known: Known, now: Moment) -> Plan:
    """Decide on every row, each as if those above it had been written."""
    planned = Plan()
    first_row_of: dict[UUID, int] = {}
    for row in rows:
        first_row = first_row_of.setdefault(row.relationship_id, row.number)
        try:
            if first_row != row.number:
                raise Refused("row-repeated", f"stands in row {first_row} already")
            _plan_row(clinic_id, row, known, planned, now)
        except Refused as error:
            planned.wrong.append(Wrong(row.number, COLUMN_OF.get(error.kind), str(error)))
    return planned


def _plan_row(clinic_id: UUID, row: Row, known: Known, planned: Plan, now: Moment) -> None:
    case_code_id = TakenCode.id_of(clinic_id, row.case_code)
    client_before = known.clients.get(row.client_id) or planned.clients.get(row.client_id)
    case_code_before = known.codes.get(case_code_id) or planned.codes.get(case_code_id)
    requested = Client(client_id=row.client_id, clinic_id=clinic_id, case_code=row.case_code)
    client, _ = people.admit(client_before, requested)
    case_code, _ = people.take_code(case_code_before, TakenCode(**requested.model_dump()))
    start = Start(clinic_id=clinic_id, **row.model_dump(exclude={"number", "relationship_id"}))
    before = known.relationships.get(row.relationship_id)
    clinician = _clinician(row, known)
    relationship, events = relationships.begin(before, row.relationship_id, start, clinician, client, now)
    if client_before is None:
        planned.clients[row.client_id] = client
    if case_code_before is None:
        planned.codes[case_code_id] = case_code
    if before is None:
        planned.relationships[row.relationship_id] = relationship, events


def _clinician(row: Row, known: Known) -> Clinician:
    if row.clinician_id not in known.clinicians:
        raise Unknown(
            "unknown-clinician",
            f"Clinician {row.clinician_id} is not known here; register them first: PUT /clinicians/{row.clinician_id}.",
        )
    return known.clinicians[row.clinician_id]
