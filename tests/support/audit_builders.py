"""Lines of the audit of two clinics, and the keys of their chains."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from shared.access.clinic_id import ClinicId
from shared.access.roles import Role
from shared.access.table.row import Service
from shared.audit.keys import AuditKey, AuditKeys
from shared.audit.line import Actor, AuditLine, AuditTarget, Outcome

ELM = ClinicId(UUID("e1000000-0000-4000-8000-000000000001"))
OAK = ClinicId(UUID("0a000000-0000-4000-8000-000000000002"))
ANNA = UUID("aaaaaaaa-0000-4000-8000-000000000001")
BEN = UUID("bbbbbbbb-0000-4000-8000-000000000002")
NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)

KEY = AuditKey("2026-11", bytes(range(32)))
OLD_KEY = AuditKey("2025-11", bytes(range(1, 33)))
KEYS = AuditKeys(KEY, {KEY.id: KEY, OLD_KEY.id: OLD_KEY})


def make_line(
    operation: str = "read_session",
    *targets: UUID,
    by: UUID = ANNA,
    role: Role = "clinician",
    clinic_id: ClinicId = ELM,
    service: Service = "sessions",
    minutes: float = 0,
    outcome: Outcome = "allowed",
    line_id: UUID | None = None,
) -> AuditLine:
    """A line about a person who read or changed sessions."""
    return AuditLine(
        id=line_id or uuid4(),
        at=NOW + timedelta(minutes=minutes),
        clinic_id=clinic_id,
        service=service,
        operation=operation,
        actor=Actor(kind="person", id=by, role=role),
        targets=tuple(AuditTarget(kind="session", id=target) for target in targets),
        outcome=outcome,
        address="192.0.2.7",
        request_id=uuid4(),
    )


def make_lines(count: int, clinic_id: ClinicId = ELM) -> list[AuditLine]:
    """As many lines, each about a session of its own."""
    return [make_line("read_session", uuid4(), clinic_id=clinic_id, minutes=n) for n in range(count)]
