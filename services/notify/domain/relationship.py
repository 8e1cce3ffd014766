"""What alerts need to know about a relationship, as a pure function of its events.

The order and repetition of events do not matter. Of several starts or ends, the one that occurred last counts; of
alliance's updates, the highest version, and of one version one that names an open episode; of an appointment's times,
the one scheduled last; of consents and withdrawals, the last of each counts, and a withdrawal wins over a consent of
the same moment. Of a cancellation, and of an end, the highest correction counts. Erasure is final.
"""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias, assert_never
from uuid import UUID

from pydantic import ConfigDict

from shared.access.clinic_id import ClinicId
from shared.clinical.ends import latest_end
from shared.events import (
    AllianceUpdated,
    CaseCode,
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    SessionCancelled,
    SessionReinstated,
    SessionScheduled,
    UtcDatetime,
)
from shared.runtime.model import Model

MAX_APPOINTMENTS = 100
"""Only the soonest are stored, so that the document stays small: one session a week for two years."""

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every appointment was made."""

HistoryEvent: TypeAlias = (
    RelationshipStarted
    | RelationshipEnded
    | RelationshipReopened
    | ConsentGiven
    | ConsentWithdrawn
    | ClientErased
    | SessionScheduled
    | SessionCancelled
    | SessionReinstated
    | AllianceUpdated
)


class Appointment(Model):
    """The time of a session, as it was scheduled last, and whether it was cancelled."""

    model_config = ConfigDict(frozen=True)

    session_id: UUID
    starts_at: UtcDatetime
    scheduled_at: UtcDatetime
    """When it was made or last moved, by the clock of sessions; NEVER while only its cancellation is known."""
    cancelled: bool = False
    correction: int = 0
    """How often that was corrected."""


class Relationship(Model):
    """The part of a relationship that notify needs."""

    model_config = ConfigDict(frozen=True)

    relationship_id: UUID
    clinic_id: ClinicId | None = None
    """None until `RelationshipStarted` has arrived, and in documents of older versions until it is filled in."""
    clinician_id: UUID | None = None
    """None until `RelationshipStarted` has arrived; alerts wait for it."""
    case_code: CaseCode | None = None
    started_at: UtcDatetime | None = None
    ended_at: UtcDatetime | None = None
    end_correction: int = 0
    """How often the end was corrected."""
    erased: bool = False
    consent_given_at: UtcDatetime | None = None
    consent_withdrawn_at: UtcDatetime | None = None
    """When the client last gave and last withdrew consent."""
    alliance_version: int = 0
    open_episode_id: UUID | None = None
    """The episode that was open at `alliance_version`."""
    appointments: tuple[Appointment, ...] = ()

    @property
    def is_consent_withdrawn(self) -> bool:
        """Whether the client withdrew consent and has not given it again."""
        withdrawn_at, given_at = self.consent_withdrawn_at, self.consent_given_at
        return withdrawn_at is not None and (given_at is None or given_at <= withdrawn_at)

    def next_session_at(self, now: datetime) -> datetime | None:
        """The start of the first session after `now`; None if there is none or the relationship has ended."""
        if self.ended_at is not None:
            return None
        return min((a.starts_at for a in self.appointments if a.starts_at > now and not a.cancelled), default=None)


def evolve(relationship: Relationship, event: HistoryEvent) -> Relationship:
    """Apply an event, in any order and any number of times."""
    if relationship.erased:
        return relationship
    match event:
        case RelationshipStarted():
            return _start(relationship, event)
        case RelationshipEnded() | RelationshipReopened():
            correction, ended_at = latest_end((relationship.end_correction, relationship.ended_at), event)
            return relationship.model_copy(update={"ended_at": ended_at, "end_correction": correction})
        case ConsentGiven() | ConsentWithdrawn():
            return _with_consent(relationship, event)
        case ClientErased():
            return Relationship(relationship_id=relationship.relationship_id, erased=True)
        case SessionScheduled() | SessionCancelled() | SessionReinstated():
            return _with_appointment(relationship, _appointment(event))
        case AllianceUpdated():
            if _alliance_rank(event.version, event.open_episode_id) <= _alliance_rank(
                relationship.alliance_version, relationship.open_episode_id
            ):
                return relationship
            return relationship.model_copy(
                update={"alliance_version": event.version, "open_episode_id": event.open_episode_id}
            )
        case _:
            assert_never(event)


def _with_consent(relationship: Relationship, event: ConsentGiven | ConsentWithdrawn) -> Relationship:
    name = "consent_given_at" if isinstance(event, ConsentGiven) else "consent_withdrawn_at"
    return relationship.model_copy(update={name: _later(getattr(relationship, name), event.occurred_at)})


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def _start(relationship: Relationship, event: RelationshipStarted) -> Relationship:
    start = (event.occurred_at, event.clinician_id, event.case_code, str(event.clinic_id))
    # Documents of an older version lack the time; then the event counts.
    if relationship.started_at is not None and relationship.clinician_id is not None and relationship.case_code:
        known = (relationship.started_at, relationship.clinician_id, relationship.case_code)
        if start <= (*known, str(relationship.clinic_id or "")):
            return relationship
    return relationship.model_copy(
        update={
            "started_at": event.occurred_at,
            "clinic_id": event.clinic_id,
            "clinician_id": event.clinician_id,
            "case_code": event.case_code,
        }
    )


def _alliance_rank(version: int, open_episode_id: UUID | None) -> tuple[int, str]:
    return version, str(open_episode_id or "")


def _appointment(event: SessionScheduled | SessionCancelled | SessionReinstated) -> Appointment:
    """What the event says about the appointment.

    A cancelled one is stored until it would have begun: a late event about it must not bring it back.
    """
    if isinstance(event, SessionCancelled):
        return Appointment(
            session_id=event.session_id,
            starts_at=event.occurred_at + timedelta(hours=event.notice_hours),
            scheduled_at=NEVER,
            cancelled=True,
            correction=event.correction,
        )
    return Appointment(
        session_id=event.session_id,
        starts_at=event.starts_at,
        scheduled_at=event.occurred_at,
        correction=event.correction if isinstance(event, SessionReinstated) else 0,
    )


def _with_appointment(relationship: Relationship, appointment: Appointment) -> Relationship:
    by_session = {a.session_id: a for a in relationship.appointments}
    existing = by_session.get(appointment.session_id, appointment)
    by_session[appointment.session_id] = _merge(existing, appointment)
    last_scheduled_at = max(a.scheduled_at for a in by_session.values())
    upcoming = sorted(
        (a for a in by_session.values() if a.starts_at >= last_scheduled_at), key=lambda a: (a.starts_at, a.session_id)
    )
    return relationship.model_copy(update={"appointments": tuple(upcoming[:MAX_APPOINTMENTS])})


def _merge(one: Appointment, other: Appointment) -> Appointment:
    """What the two together say about an appointment.

    A cancellation counts whatever its time, until it is corrected: its sender set that time, while sessions set that of
    the scheduling, so the two cannot be compared.
    """
    status = max(one, other, key=lambda a: (a.correction, a.cancelled))
    schedule = max(one, other, key=lambda a: (a.scheduled_at, a.starts_at))
    return schedule.model_copy(update={"cancelled": status.cancelled, "correction": status.correction})
