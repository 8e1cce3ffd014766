"""Clients' forms that wait for an answer, each of a relationship with good past sessions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from bench.workload import RELATIONSHIPS_PER_CLINICIAN
from shared.events import Event
from tests.support.builders import RelationshipBuilder
from tools.sandbox.network.course import Clinic, Clinician

PAST_SESSIONS = 3  # good sessions before the measured one, so that a fall raises an alert
ANSWERS_PER_ALERT = 5  # one answer in so many raises an alert: far more than in practice, to have enough alerts


@dataclass(frozen=True, slots=True)
class Form:
    """A client's form that waits for an answer."""

    builder: RelationshipBuilder
    clinician: Clinician
    session_id: UUID
    raises_alert: bool

    @property
    def clinician_id(self) -> UUID:
        return self.clinician.id

    @property
    def relationship_id(self) -> UUID:
        return self.builder.relationship_id

    def past_events(self) -> list[Event]:
        """The start of the relationship, and the good sessions."""
        weeks, builder = range(PAST_SESSIONS), self.builder
        changes = {"clinic_id": self.clinician.clinic_id, "clinician_id": self.clinician_id}
        started = builder.started().model_copy(update=changes)
        sessions = [event for week in weeks for event in (builder.completed(week), builder.feedback(week))]
        return [started, builder.consent_changed(-0.1, given=True), *sessions]


FormWithLink = tuple[Form, str]
"""A form, and the link by which its client submits it."""


@dataclass(frozen=True, slots=True)
class AnsweredForm:
    """When a form was due, sent and acknowledged, in seconds of `time.perf_counter`."""

    form: Form
    due_at: float
    sent_at: float
    acknowledged_at: float


def make_forms(clinic: Clinic, count: int, now: datetime) -> list[Form]:
    """Forms of as many relationships of a clinic, a caseload for each clinician."""
    first_session_at = now - timedelta(weeks=PAST_SESSIONS + 1)
    clinicians = [
        Clinician(uuid4(), clinic.id, f"clinician-{number}", None, has_webhook=False)
        for number in range(-(-count // RELATIONSHIPS_PER_CLINICIAN))
    ]
    return [
        Form(
            RelationshipBuilder(uuid4(), first_session_at),
            clinicians[i // RELATIONSHIPS_PER_CLINICIAN],
            uuid4(),
            raises_alert=i % ANSWERS_PER_ALERT == 0,
        )
        for i in range(count)
    ]
