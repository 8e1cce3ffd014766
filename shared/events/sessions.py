"""Events that sessions publishes about appointments, and whether they took place."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.events.model import Correction, Count, RelationshipEvent, UtcDatetime
from shared.events.topics import SESSIONS, Topic


class SessionEvent(RelationshipEvent):
    """Something that happened to one session."""

    TOPIC: ClassVar[Topic] = SESSIONS

    session_id: UUID


class SessionScheduled(SessionEvent):
    """An appointment was made, or moved to another time."""

    type: Literal["clinic.session.scheduled.v1"] = "clinic.session.scheduled.v1"
    starts_at: UtcDatetime
    minutes: Count = Field(ge=5, le=480)


class OutcomeEvent(SessionEvent):
    """What became of an appointment. Of several events about one, those with the highest correction count."""

    correction: Correction = 0
    """How often the outcome was corrected, this time included."""
    recorded_at: UtcDatetime | None = None
    """When the correction was stored; null if it is none."""


class AbsenceEvent(OutcomeEvent):
    """The session was not held."""

    source_gap: bool = False
    """Whether the clinic's scheduling source was stale then. It counts for nothing, unless a correction says without
    a gap what became of the appointment."""


class SessionCompleted(OutcomeEvent):
    """The session was held; it occurred when it ended."""

    type: Literal["clinic.session.completed.v1"] = "clinic.session.completed.v1"
    minutes: Count = Field(ge=1, le=480)
    planned_minutes: Count = Field(ge=5, le=480)


class SessionMissed(AbsenceEvent):
    """The client did not come and did not cancel; it occurred when the session would have begun."""

    type: Literal["clinic.session.missed.v1"] = "clinic.session.missed.v1"


class SessionCancelled(AbsenceEvent):
    """The session was cancelled; it occurred when it was cancelled."""

    type: Literal["clinic.session.cancelled.v1"] = "clinic.session.cancelled.v1"
    by: Literal["client", "clinician", "clinic"]
    notice_hours: float = Field(ge=0, le=24 * 365)
    """Hours from the cancellation to the planned start; 0 if it was cancelled at the start or later."""


class SessionReinstated(OutcomeEvent):
    """The outcome was recorded by mistake: the appointment has none. It occurred when that was corrected."""

    type: Literal["clinic.session.reinstated.v1"] = "clinic.session.reinstated.v1"
    starts_at: UtcDatetime
    minutes: Count = Field(ge=5, le=480)
