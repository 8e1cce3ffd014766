"""The correction of an outcome that was recorded by mistake: another outcome, or none.

As in `appointment`, the decision is pure and idempotent. The events of a session carry how often its outcome was
corrected; consumers let the highest number count, so no event has to be deleted.
"""

from datetime import datetime
from typing import assert_never

from services.sessions.domain.appointment import (
    ONE_MILLISECOND,
    RequestOptions,
    cancel,
    complete,
    mark_missed,
    publish_completion,
)
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import (
    Cancelled,
    Completed,
    Decision,
    FeedbackRequest,
    Missed,
    OutcomeCorrection,
    Session,
)
from shared.errors import Rejected
from shared.events import Rater, SessionReinstated

MAX_CORRECTIONS = 10
"""Of one session: each is kept in its document, and causes a refold in alliance."""


def correct(
    session: Session, relationship: Relationship, correction: OutcomeCorrection, now: datetime, options: RequestOptions
) -> Decision:
    """Replace the session's outcome, or take it back. The same correction sent again changes nothing."""
    known = {c.correction_id: c for c in session.corrections}.get(correction.correction_id)
    if known is not None:
        return _check_same(known, correction, session), ()
    if session.outcome is None:
        raise Rejected(
            "nothing-to-correct",
            f"Session {session.session_id} has no outcome. Record it: POST /sessions/{session.session_id}/completion, "
            "/missed or /cancellation.",
        )
    _reject_if_answered(session, correction)
    if len(session.corrections) >= MAX_CORRECTIONS:
        raise Rejected(
            "corrected-too-often",
            f"The outcome of session {session.session_id} was corrected {MAX_CORRECTIONS} times, which is the most. "
            f"Check the system that sends the corrections; GET /sessions/{session.session_id} shows what is recorded.",
        )
    if session.outcome == correction.outcome:  # remembered, so that a late repetition does not undo a later correction
        return session.model_copy(update={"corrections": (*session.corrections, correction)}), ()
    return _apply(session, relationship, correction, now, options)


def _apply(
    session: Session, relationship: Relationship, correction: OutcomeCorrection, now: datetime, options: RequestOptions
) -> Decision:
    corrected = session.model_copy(update={"outcome": None, "corrections": (*session.corrections, correction)})
    match correction.outcome:
        case Completed() if isinstance(session.outcome, Completed):
            return publish_completion(corrected, relationship, correction.outcome, now)
        case Completed():
            return complete(corrected, relationship, correction.outcome, now, options)
        case Missed():
            return mark_missed(_stop_asking(corrected, now), relationship, now)
        case Cancelled():
            return cancel(_stop_asking(corrected, now), correction.outcome, now)
        case None:
            return _reinstate(_stop_asking(corrected, now), now)
        case _:
            assert_never(correction.outcome)


def _reinstate(session: Session, now: datetime) -> Decision:
    at = max(now, session.scheduled_at + ONE_MILLISECOND)
    reinstated = SessionReinstated(
        id=session.derive_outcome_id("reinstated"),
        relationship_id=session.relationship_id,
        occurred_at=at,
        session_id=session.session_id,
        starts_at=session.starts_at,
        minutes=session.minutes,
        correction=len(session.corrections),
        recorded_at=now,
    )
    return session.model_copy(update={"scheduled_at": at}), (reinstated,)


def _stop_asking(session: Session, now: datetime) -> Session:
    """Nobody is asked about a session that was not held: the forms are over, and missing answers mean nothing."""
    feedback: dict[Rater, FeedbackRequest] = {
        rater: request.model_copy(
            update={"status": "withdrawn" if request.status == "awaiting" else request.status, "expires_at": now}
        )
        for rater, request in session.feedback.items()
    }
    return session.model_copy(update={"feedback": feedback})


def _check_same(known: OutcomeCorrection, correction: OutcomeCorrection, session: Session) -> Session:
    if known == correction:
        return session
    raise Rejected(
        "correction-id-used",
        f"Correction {known.correction_id} of session {session.session_id} said something else. For another correction "
        "choose a new id.",
    )


def _reject_if_answered(session: Session, correction: OutcomeCorrection) -> None:
    """What a client says counts: it cannot be removed by noting that the session was not held."""
    answered = [rater for rater, request in session.feedback.items() if request.answer is not None]
    if answered and not isinstance(correction.outcome, Completed):
        raise Rejected(
            "session-answered",
            f"The {' and the '.join(answered)} answered about session {session.session_id}, so it was held. Its end "
            "and its length can be corrected in the same way, and an answer by "
            f"PUT /sessions/{session.session_id}/feedback/{answered[0]}.",
        )
