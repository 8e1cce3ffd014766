"""Builds a relationship and its sessions of the sessions service."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

from services.sessions.domain.appointment import RequestOptions, complete, schedule
from services.sessions.domain.links import add_link_if_possible
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Completed, Session
from shared.access.clinic_id import ClinicId
from shared.events import Answer, ClinicUpdated, Tension

STARTS_AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
"""When the session begins."""
NOW = STARTS_AT + timedelta(hours=1)
"""After the end of the session."""
CLINIC = ClinicId(UUID(int=1))
OTHER_CLINIC = ClinicId(UUID(int=2))
CLINICIAN = UUID(int=3)
WINDOW = timedelta(hours=72)
REQUEST_OPTIONS = RequestOptions(response_window=WINDOW, lapse_grace=timedelta(0))
COMPLETION = Completed(ended_at=STARTS_AT + timedelta(minutes=50), minutes=50)


def clinic_updated(name: str, day: int) -> ClinicUpdated:
    return ClinicUpdated(
        id=uuid5(CLINIC, name),
        occurred_at=STARTS_AT + timedelta(days=day),
        clinic_id=CLINIC,
        name=name,
        time_zone="Europe/Berlin",
        crisis_contact="the duty desk",
        crisis_numbers=("112",),
    )


def make_relationship(
    consent: bool = True,
    ended_at: datetime | None = None,
    relationship_id: UUID | None = None,
    clinic_id: ClinicId | None = CLINIC,
) -> Relationship:
    return Relationship(
        relationship_id=relationship_id or uuid4(),
        started_at=STARTS_AT - timedelta(days=9),
        clinic_id=clinic_id,
        clinician_id=CLINICIAN,
        consent=consent,
        ended_at=ended_at,
    )


def scheduled_session(relationship: Relationship) -> Session:
    return schedule(None, uuid4(), relationship, STARTS_AT, 50, STARTS_AT - timedelta(days=7))[0]


def completed_session(relationship: Relationship, client_link: str = "c1", clinician_link: str = "t1") -> Session:
    """A session with one link to each form; a client without consent has none."""
    session = complete(scheduled_session(relationship), relationship, COMPLETION, NOW, REQUEST_OPTIONS)[0]
    session = add_link_if_possible(session, relationship, "client", client_link, NOW)
    return add_link_if_possible(session, relationship, "clinician", clinician_link, NOW)


def make_answer(rating: float = 8, tension: Tension | None = None) -> Answer:
    return Answer(ratings={"trust": rating}, tension=tension)
