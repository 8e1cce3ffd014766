"""The decisions about an appointment: it is made or moved, and then held, missed or cancelled.

They are pure. Each takes a session and a request, and returns the session afterwards and the new events, or raises
Rejected. A repeated request changes nothing and gives no events. Event ids are derived from the session's id.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.sessions.domain.links import MIN_LINK_LIFETIME
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Cancelled, Completed, Decision, FeedbackRequest, Missed, Session
from shared.errors import Rejected
from shared.events import (
    FeedbackRequested,
    Rater,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
    UtcDatetime,
)
from shared.events.clock_skew import CLOCK_SKEW_TOLERANCE, reject_future

MAX_SCHEDULE_AHEAD = timedelta(days=730)
"""An appointment later than this has a mistyped year."""
MAX_SESSIONS = 2_000
"""Sessions of one relationship: one a day for more than five years. More come from a system that repeats itself."""
MAX_NOTICE_HOURS = 24 * 365.0
"""Longer notice is published as one year."""
ONE_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class RequestOptions:
    """How client and clinician are asked for feedback after a session."""

    response_window: timedelta
    """How long after the session an answer is due."""
    lapse_grace: timedelta
    """How long a session that is entered after its response window waits for its answers."""


def schedule(
    before: Session | None,
    session_id: UUID,
    relationship: Relationship,
    starts_at: UtcDatetime,
    minutes: int,
    now: UtcDatetime,
    predecessor_ids: Collection[UUID] = (),
) -> Decision:
    """Make an appointment, or move it: to another time, and to the relationship that followed by a transfer.

    `predecessor_ids` are the relationships that `relationship` follows.
    """
    if before is not None:
        is_transferred = before.relationship_id != relationship.relationship_id
        if is_transferred and before.relationship_id not in predecessor_ids:
            raise _belongs_elsewhere(session_id)
        if not is_transferred and (before.starts_at, before.minutes) == (starts_at, minutes):
            return before, ()
        if before.outcome is not None:
            raise outcome_conflict(before, "so it can no longer be moved; give the new appointment an id of its own")
    _reject_time(relationship, starts_at, now)
    scheduled_at = min(now, starts_at)  # an appointment entered late was made before it started
    if before is not None:
        return _scheduled(_move(before, relationship, starts_at, minutes, scheduled_at))
    return _scheduled(
        Session(
            session_id=session_id,
            relationship_id=relationship.relationship_id,
            clinic_id=relationship.clinic_id,
            starts_at=starts_at,
            minutes=minutes,
            scheduled_at=scheduled_at,
        )
    )


def _reject_time(relationship: Relationship, starts_at: UtcDatetime, now: UtcDatetime) -> None:
    if starts_at > now + MAX_SCHEDULE_AHEAD:
        raise Rejected("too-far-ahead", "starts_at is more than two years ahead; is the year right?")
    relationship.reject_before_start(starts_at)
    relationship.reject_after_end(starts_at)


def reject_too_many(session_count: int, relationship: Relationship) -> None:
    """Raise Rejected if `relationship` already has as many sessions as it may have."""
    if session_count >= MAX_SESSIONS:
        raise Rejected(
            "too-many-sessions",
            f"Relationship {relationship.relationship_id} has {MAX_SESSIONS} sessions, which is the limit. Check "
            "whether a system enters the same sessions again under other ids. If the two really go on, end the "
            "relationship and start it again under another id.",
        )


def _belongs_elsewhere(session_id: UUID) -> Rejected:
    return Rejected(
        "session-of-another-relationship",
        f"Session {session_id} belongs to another relationship. An appointment moves only to the relationship that "
        "followed by a transfer. Otherwise, cancel it, and make the new appointment under another id.",
    )


def _move(
    before: Session, relationship: Relationship, starts_at: UtcDatetime, minutes: int, scheduled_at: UtcDatetime
) -> Session:
    is_transferred = before.relationship_id != relationship.relationship_id
    appointment = {
        "relationship_id": relationship.relationship_id,
        "clinic_id": relationship.clinic_id,
        "starts_at": starts_at,
        "minutes": minutes,
        "scheduled_at": max(scheduled_at, before.scheduled_at + ONE_MILLISECOND),
        # Links of the clinician before must not open the form of the next one.
        "feedback": {} if is_transferred else before.feedback,
    }
    return before.model_copy(update={**appointment, "moves": before.moves + 1})


def _scheduled(session: Session) -> Decision:
    scheduled = SessionScheduled(
        id=session.derive_id(f"scheduled {session.moves}"),
        relationship_id=session.relationship_id,
        occurred_at=session.scheduled_at,
        session_id=session.session_id,
        starts_at=session.starts_at,
        minutes=session.minutes,
    )
    return session, (scheduled,)


def complete(
    session: Session, relationship: Relationship, completion: Completed, now: UtcDatetime, options: RequestOptions
) -> Decision:
    """Record that the session was held, and ask for feedback."""
    if session.outcome == completion:
        return session, ()
    if session.outcome is not None:
        raise outcome_conflict(session)
    after, (completed,) = publish_completion(session, relationship, completion, now)
    raters: tuple[Rater, ...] = ("client", "clinician") if relationship.consent else ("clinician",)
    due_at = completion.ended_at + options.response_window
    request = FeedbackRequest(
        due_at=due_at,
        lapses_at=max(due_at, now + options.lapse_grace),
        expires_at=max(due_at, now + MIN_LINK_LIFETIME),
    )
    # Links that were sent before the completion was taken back work again.
    requests = {rater: request.model_copy(update=_links_of(session, rater)) for rater in raters}
    after = after.model_copy(update={"feedback": requests})
    requested = [
        FeedbackRequested(
            id=session.derive_outcome_id(f"{rater} feedback requested"),
            relationship_id=session.relationship_id,
            occurred_at=completion.ended_at,
            session_id=session.session_id,
            rater=rater,
            due_at=due_at,
        )
        for rater in raters
    ]
    return after, (completed, *requested)


def _links_of(session: Session, rater: Rater) -> dict[str, Any]:
    known = session.feedback.get(rater)
    return {} if known is None else known.model_dump(include={"token_hash", "earlier_token_hashes"})


def publish_completion(
    session: Session, relationship: Relationship, completion: Completed, now: UtcDatetime
) -> Decision:
    """Record that the session was held, and ask nobody for feedback."""
    _reject_before_start(session, now)
    _reject_end(session, completion.ended_at, now)
    relationship.reject_after_end(session.starts_at)
    completed = SessionCompleted(
        id=session.derive_outcome_id("completed"),
        relationship_id=session.relationship_id,
        occurred_at=completion.ended_at,
        session_id=session.session_id,
        minutes=completion.minutes,
        planned_minutes=session.minutes,
        correction=len(session.corrections),
        recorded_at=_corrected_at(session, now),
    )
    return session.model_copy(update={"outcome": completion}), (completed,)


def mark_missed(session: Session, relationship: Relationship, now: UtcDatetime) -> Decision:
    """Record that the client did not come."""
    if session.outcome == Missed():
        return session, ()
    if session.outcome is not None:
        raise outcome_conflict(session)
    _reject_before_start(session, now)
    relationship.reject_after_end(session.starts_at)
    missed = SessionMissed(
        id=session.derive_outcome_id("missed"),
        relationship_id=session.relationship_id,
        occurred_at=session.starts_at,
        session_id=session.session_id,
        correction=len(session.corrections),
        recorded_at=_corrected_at(session, now),
    )
    return session.model_copy(update={"outcome": Missed()}), (missed,)


def cancel(session: Session, cancellation: Cancelled, now: UtcDatetime) -> Decision:
    """Record that the session was cancelled. Allowed after the end of the relationship, when it often happens."""
    if session.outcome == cancellation:
        return session, ()
    if session.outcome is not None:
        raise outcome_conflict(session)
    reject_future("cancelled_at", cancellation.cancelled_at, now)
    notice = (session.starts_at - cancellation.cancelled_at) / timedelta(hours=1)
    cancelled = SessionCancelled(
        id=session.derive_outcome_id("cancelled"),
        relationship_id=session.relationship_id,
        occurred_at=cancellation.cancelled_at,
        session_id=session.session_id,
        by=cancellation.by,
        notice_hours=min(max(0.0, notice), MAX_NOTICE_HOURS),
        correction=len(session.corrections),
        recorded_at=_corrected_at(session, now),
    )
    return session.model_copy(update={"outcome": cancellation}), (cancelled,)


def outcome_conflict(session: Session, consequence: str = "so it cannot have another outcome") -> Rejected:
    """The rejection of a request that contradicts the session's outcome."""
    status = session.outcome.what if session.outcome else "scheduled"
    return Rejected(
        f"session-already-{status}",
        f"Session {session.session_id} is already recorded as {status}, {consequence}. If that is a mistake, "
        f"correct it: PUT /sessions/{session.session_id}/corrections/{{an id that you choose}}.",
    )


def _corrected_at(session: Session, now: UtcDatetime) -> UtcDatetime | None:
    return now if session.corrections else None


def _reject_before_start(session: Session, now: UtcDatetime) -> None:
    reject_future("the session's starts_at", session.starts_at, now)


def _reject_end(session: Session, ended_at: UtcDatetime, now: UtcDatetime) -> None:
    reject_future("ended_at", ended_at, now)
    if ended_at < session.starts_at - CLOCK_SKEW_TOLERANCE:
        raise Rejected(
            "ended-before-it-began",
            "ended_at is before the session's start; if it was held earlier than planned, move it first, and take back "
            "its outcome before that, if it has one.",
        )
